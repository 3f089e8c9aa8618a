import json
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tiny import ROOT, write_pairs
from training import commands
from training.__main__ import main

OLD = str(ROOT / "tests" / "data" / "old" / "1")
RECIPE = """
name = "tiny"
[data.columns]
image = "image"
text = "name"
labels = ["shape", "colour"]
split = "split"
[preprocessing.image]
side_px = 32
[preprocessing.text]
[network.image]
backbone = "test_efficientnet"
[network.text]
[stages.joint]
epochs = 1
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE)
    return path


def test_check_says_what_training_would_see(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = write_pairs(recipe.parent)
    assert main(["check", str(recipe), "--data", str(manifest)]) == 0
    out = capsys.readouterr().out
    assert out == f"{manifest}: no faults. 24 rows (train 16  val 4  test 4), 24 distinct images.\n"


def test_faults_are_printed_without_a_traceback(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = write_pairs(recipe.parent)
    manifest.write_text(manifest.read_text().replace("\n3.png", "\nnone.png").replace("\n18.png", "\nnothing.png"))
    assert main(["check", str(recipe), "--data", str(manifest)]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert "2 fault(s) in the manifest:\npairs.csv:5: " in output.err
    assert "Traceback" not in output.err


def test_the_manifest_of_the_recipe_is_relative_to_it(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_pairs(recipe.parent / "deeper")
    recipe.write_text(RECIPE.replace("[data.columns]", '[data]\nmanifest = "deeper/pairs.csv"\n[data.columns]'))
    assert main(["check", str(recipe)]) == 0
    assert "no faults" in capsys.readouterr().out


def test_without_a_manifest_the_remedy_is_told(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(recipe)]) == 1
    assert "Give one with --data." in capsys.readouterr().err


def test_a_name_that_is_no_name_is_refused(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = write_pairs(recipe.parent)
    assert main(["train", str(recipe), "--data", str(manifest), "--name", "../x"]) == 1
    assert "--name is not valid: name:" in capsys.readouterr().err


def test_evaluate_refuses_a_folder_that_is_no_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(tmp_path), "pairs.csv"]) == 1
    assert "not whole" in capsys.readouterr().err


@pytest.mark.parametrize("split", ["holdout", "val"])
def test_evaluate_refuses_a_split_that_is_not_there(
    tmp_path: Path, split: str, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = tmp_path / "emoji.csv"
    rows = (ROOT / "samples" / "emoji.csv").read_text().splitlines()
    manifest.write_text(
        "\n".join([rows[0], *(row for row in rows if row.endswith(",test"))]).replace(
            "images/", f"{ROOT}/samples/images/"
        )
    )
    assert main(["evaluate", OLD, str(manifest), "--split", split]) == 1
    assert f"split {split}" in capsys.readouterr().err


def test_evaluate_says_what_the_recall_of_an_index_needs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("training.commands.find_spec", lambda _name: None)
    assert main(["evaluate", OLD, "pairs.csv", "--index-recall"]) == 1
    assert "--index-recall: needs faiss" in capsys.readouterr().err


@pytest.fixture
def few(tmp_path: Path) -> Path:
    """The samples' rows of val."""
    manifest = tmp_path / "emoji.csv"
    rows = (ROOT / "samples" / "emoji.csv").read_text().splitlines()
    kept = [row for row in rows if row.endswith(",val")]
    manifest.write_text("\n".join([rows[0], *kept]).replace("images/", f"{ROOT}/samples/images/"))
    return manifest


def test_evaluate_prints_figures_and_writes_a_report_with_the_same(
    tmp_path: Path, few: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "deep" / "report"
    assert main(["evaluate", OLD, str(few), "--split", "val", "--report", str(report)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert set(printed["subsets"]) == {"image", "text", "image+text"}
    accuracy = printed["subsets"]["image+text"]["category"]["accuracy"]
    words = (report / "REPORT.md").read_text()
    assert words.startswith("# tiny/1 on emoji.csv, split val\n")
    assert f"| {accuracy:.3f} ±" in words
    assert str(tmp_path) not in words
    assert all((report / name).is_file() for name in re.findall(r"\]\((.+?)\)", words))
    written = json.loads((report / "metrics.json").read_text())
    assert {name: written[name] for name in printed} == printed


def test_evaluate_names_every_row_whose_file_is_broken(
    tmp_path: Path, few: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    header, *lines = few.read_text().splitlines()
    column = header.split(",").index("image")
    for line in (2, 11):
        cells = lines[line].split(",")
        (tmp_path / f"{line}.png").write_text("no picture")
        cells[column] = f"{line}.png"
        lines[line] = ",".join(cells)
    few.write_text("\n".join([header, *lines]))
    assert main(["evaluate", OLD, str(few), "--split", "val"]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert "2 fault(s) in the manifest:\nemoji.csv:4: 2.png: " in output.err
    assert "\nemoji.csv:13: 11.png: " in output.err


@pytest.fixture
def sigint_interrupts() -> Iterator[None]:
    """Python's own handler, which a process that was started with SIGINT ignored does not have."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize(
    ("command", "remedy"), [("train", "the same command with --resume"), ("compare", "the same command again")]
)
def test_a_signal_interrupts_a_command_which_says_how_to_go_on(
    recipe: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    sigint_interrupts: None,
    number: signal.Signals,
    status: int,
    command: str,
    remedy: str,
) -> None:
    def work(_options: object) -> int:
        signal.raise_signal(number)
        return 0

    monkeypatch.setattr(commands, command, work)
    former = signal.getsignal(signal.SIGTERM)
    assert main([command, str(recipe)]) == status
    assert remedy in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is former


def test_curves_without_tensorboard_are_refused_before_anything_is_read(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert main(["train", str(recipe), "--data", "none.csv", "--tensorboard", str(recipe.parent)]) == 1
    assert "pip install tensorboard" in capsys.readouterr().err


def test_an_unknown_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["trian"])
    assert "invalid choice" in capsys.readouterr().err
