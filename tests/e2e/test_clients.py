"""The programs of docs/protocols.md and client/README.md, run as they stand against the shipped models."""

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


def section(document: str, title: str) -> str:
    """The code of one section of a document, which is one program."""
    text = (ROOT / document).read_text(encoding="utf-8")
    [part] = [part for part in re.split(r"^##? ", text, flags=re.MULTILINE) if part.startswith(title)]
    return "\n".join(re.findall(r"```python\n(.*?)```", part, flags=re.DOTALL))


@pytest.mark.parametrize(
    ("document", "title", "printed"),
    [
        ("docs/protocols.md", "Open Inference Protocol", r"Tshirts 0\.99\d+\n"),
        ("docs/protocols.md", "OpenAI", r"2 128 [5-9]\n2\n128\n"),
        (
            "client/README.md",
            "intermodal-client",
            r"Tshirts \['\d+', '\d+', '\d+'\]\n\{'kind': 'shoe'\}\n\['1'\]\nfour zero seven nine two\nnum_labels\n"
            r"\['Dresses', 415, 'Watches'\]\n",
        ),
    ],
)
def test_the_programs_of_the_documents_run_as_they_stand(
    folder: Path, address: str, document: str, title: str, printed: str
) -> None:
    code = section(document, title)
    assert "127.0.0.1:8000" in code
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code.replace("127.0.0.1:8000", address)],
        cwd=folder,
        env={**environment(), "PYTHONPATH": str(ROOT / "client")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(printed, done.stdout), done.stdout
