"""What a manifest's columns are taken for. Holds guesses; makes none (`training.drafting.roles` does)."""

from dataclasses import dataclass, field


@dataclass
class Guess:
    """Columns by what they are for, each with a remark on what was seen; and what a person should know."""

    roles: dict[str, dict[str, str]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def names(self, role: str) -> list[str]:
        """The columns of a role, in order."""
        return list(self.roles.get(role, {}))

    def name(self, role: str) -> str | None:
        """The column of a role that only one can have."""
        return next(iter(self.roles.get(role, {})), None)

    def take(self, role: str, name: str, seen: str) -> None:
        """Give a column its role."""
        self.roles.setdefault(role, {})[name] = seen
