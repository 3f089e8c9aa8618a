import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny import ROOT
from training.__main__ import main
from training.recipe import read_recipe


@pytest.fixture
def manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the samples below the current folder."""
    shutil.copytree(ROOT / "samples", tmp_path / "my data")
    monkeypatch.chdir(tmp_path)
    return Path("my data/emoji.csv")


def test_init_writes_a_recipe_that_check_takes(manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(manifest)]) == 0
    assert "Wrote recipe.toml.\n" in capsys.readouterr().out
    assert read_recipe(Path("recipe.toml")).name == "emoji"
    assert main(["check", "recipe.toml"]) == 0
    assert "no faults. 216 rows (train 150  val 30  test 36)" in capsys.readouterr().out


def test_the_manifest_is_written_relative_to_the_recipe(manifest: Path) -> None:
    assert main(["init", str(manifest), "--out", "recipes/deep/r.toml", "--name", "mine"]) == 0
    recipe = read_recipe(Path("recipes/deep/r.toml"))
    assert recipe.data.manifest == "../../my data/emoji.csv"
    assert recipe.name == "mine"


def test_the_next_command_is_quoted_for_the_shell(manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(manifest), "--out", "my data/r.toml"]) == 0
    assert "python -m training train 'my data/r.toml'" in capsys.readouterr().out


def test_a_recipe_that_is_there_is_kept_without_force(manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("recipe.toml").write_text("mine")
    assert main(["init", str(manifest)]) == 1
    assert "--force" in capsys.readouterr().err
    assert Path("recipe.toml").read_text() == "mine"
    assert main(["init", str(manifest), "--force"]) == 0


def test_a_name_that_is_no_name_writes_nothing(manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(manifest), "--name", "../x"]) == 1
    assert "name: " in capsys.readouterr().err
    assert not Path("recipe.toml").exists()


def test_a_folder_gives_its_name_to_the_model(manifest: Path) -> None:
    for kind in ("cat", "dog"):
        Path(f"pets (2)/{kind}").mkdir(parents=True)
    for number, image in enumerate(sorted(Path("my data/images").iterdir())[:40]):
        shutil.copy(image, f"pets (2)/{('cat', 'dog')[number % 2]}")
    assert main(["init", "pets (2)"]) == 0
    assert read_recipe(Path("recipe.toml")).name == "pets-2"


def test_init_does_not_wait_for_torch() -> None:
    code = "import sys, training.__main__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
