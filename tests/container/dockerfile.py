"""A Dockerfile as its stages and their instructions."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Stage:
    """`FROM base AS name` and what follows; values are as written, with the lines of one joined."""

    base: str
    name: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def all(self, keyword: str) -> list[str]:
        """The values of every such instruction, in order."""
        return [value for found, value in self.instructions if found == keyword]

    def command(self, keyword: str) -> list[str]:
        """The words of CMD, or of HEALTHCHECK's, which must be in exec form."""
        [value] = self.all(keyword)
        words: list[str] = json.loads(value[value.index("[") :])
        return words

    def environment(self) -> dict[str, str]:
        """The variables of ENV."""
        return dict(part.split("=", 1) for value in self.all("ENV") for part in value.split())


def read_stages(path: Path = ROOT / "Dockerfile") -> dict[str, Stage]:
    """Stages by name, in order. ARGs before the first FROM are filled in."""
    arguments: dict[str, str] = {}
    stages: list[Stage] = []
    lines = (line for line in path.read_text().splitlines() if line and not line.lstrip().startswith("#"))
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        keyword, _, value = line.partition(" ")
        if keyword == "ARG" and not stages:
            name, _, default = value.partition("=")
            arguments[f"${{{name}}}"] = default
        elif keyword == "FROM":
            base, _, name = value.partition(" AS ")
            for variable, default in arguments.items():
                base = base.replace(variable, default)
            stages.append(Stage(base, name))
        else:
            stages[-1].instructions.append((keyword, value))
    return {stage.name: stage for stage in stages}
