"""docs/tutorial.md is followed to the letter: a model is trained, served and asked, and each fault is made.

Kinds of blocks: `train` (run in order), `serve`, `ask`, `answer` (of the same keys as the real one), `output`
(each shown line is printed, in order; … stands for any) and `skip`."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.documents import ROOT, blocks, commands, free_port, make_clone, service, shell

pytestmark = pytest.mark.slow

KINDS = ("train", "serve", "ask", "skip")
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
OUTPUTS = re.findall(r"<!-- test: output -->\n```console\n(.*?)```", TUTORIAL, flags=re.DOTALL)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which all that trains has been run."""
    folder = make_clone(tmp_path_factory.mktemp("tutorial"))
    for command in commands(TUTORIAL, "train"):
        run = shell(command, folder)
        assert run.returncode == 0, f"{command}\n{run.stdout}{run.stderr}"
    return folder


@pytest.fixture(scope="module")
def address(clone: Path) -> Iterator[str]:
    (command,) = commands(TUTORIAL, "serve")
    with service(command, clone, free_port()) as address:
        yield address


def test_every_block_says_how_it_is_tested() -> None:
    assert [text for kind, text in blocks(TUTORIAL) if kind not in KINDS] == []
    assert len(OUTPUTS) == TUTORIAL.count("```console")


def test_the_answer_is_like_the_one_that_is_shown(clone: Path, address: str) -> None:
    (command,) = commands(TUTORIAL, "ask")
    asked = shell(command.replace("127.0.0.1:8000", address), clone)
    shown = re.search(r"<!-- test: answer -->\n```json\n(.*?)```", TUTORIAL, flags=re.DOTALL)
    assert shown is not None
    answer, expected = json.loads(asked.stdout), json.loads(shown[1])
    assert keys(answer) == keys(expected)
    assert answer["classes"]["category"][0]["label"] == expected["classes"]["category"][0]["label"]


def keys(value: Any) -> Any:
    """The structure of an answer, without what training by another processor may change."""
    if isinstance(value, dict):
        return {key: keys(part) for key, part in value.items()}
    return [keys(part) for part in value] if isinstance(value, list) else type(value)


@pytest.mark.parametrize("text", OUTPUTS, ids=range(len(OUTPUTS)))
def test_what_is_shown_is_printed(text: str, clone: Path) -> None:
    lines = text.splitlines()
    runs = [shell(line.removeprefix("$ "), clone) for line in lines if line.startswith("$ ")]
    printed = [line for line in (runs[-1].stdout + runs[-1].stderr).splitlines() if line]
    shown = [line for line in lines if not line.startswith("$ ")]
    if "…" not in shown:
        assert printed == shown
    at = [next((n for n, line in enumerate(printed) if part in line), None) for part in shown if part != "…"]
    assert None not in at, printed
    assert at == sorted(at)  # type: ignore[type-var]
