"""What docs/protocols.md shows, run as it stands against the shipped models, served as README's command does."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents import ROOT, environment, free_port, make_clone, service


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clone(tmp_path_factory.mktemp("clone"))


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with service(".venv/bin/python -m app serve", folder, free_port()) as address:
        yield address


def section(title: str) -> str:
    """The code of one section of the document, which is one program."""
    document = (ROOT / "docs/protocols.md").read_text(encoding="utf-8")
    [text] = [part for part in document.split("\n## ")[1:] if part.startswith(title)]
    return "\n".join(re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL))


@pytest.mark.parametrize(
    ("title", "printed"),
    [
        ("Open Inference Protocol", r"Tshirts 0\.99\d+\n"),
        ("OpenAI", r"2 128 [5-9]\n2\n128\n"),
    ],
)
def test_the_programs_of_the_document_run_as_they_stand(
    folder: Path, address: str, title: str, printed: str
) -> None:
    code = section(title)
    assert "127.0.0.1:8000" in code
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code.replace("127.0.0.1:8000", address)],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(printed, done.stdout), done.stdout
