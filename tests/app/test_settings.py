"""Settings: by variable and by flag, and refused with the remedy."""

from pathlib import Path

import pytest

from app.__main__ import main
from app.settings import Settings, flag
from app.settings_reading import load_settings, unknown_variables
from models.errors import ConfigError


def test_a_flag_wins_over_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERMODAL_PORT", "9001")
    monkeypatch.setenv("INTERMODAL_MAX_TOP_K", "7")
    settings = load_settings(["--port", "9002"])
    assert (settings.port, settings.max_top_k) == (9002, 7)


def test_models_are_named_with_or_without_a_version() -> None:
    assert load_settings(["--models", "fashion, digits@2"]).wanted_models == [("fashion", None), ("digits", 2)]
    assert Settings().wanted_models == []


def test_a_host_that_is_none_is_refused_with_what_it_takes() -> None:
    with pytest.raises(ConfigError, match=r"INTERMODAL_URL_HOSTS .*'https://a\.example' is no host"):
        load_settings(["--url-hosts", "b.example, https://a.example"])
    assert not Settings().allowed_hosts


@pytest.mark.parametrize(("given", "kept"), [("", ""), ("/", ""), ("a/b/", "/a/b"), ("/a", "/a")])
def test_root_path_has_one_leading_slash(given: str, kept: str) -> None:
    assert Settings(root_path=given).root_path == kept


def test_workers_times_threads_do_not_exceed_the_cores() -> None:
    assert Settings(num_workers=3).workers() == 3
    assert Settings(num_threads=256).workers() == 1


def test_every_fault_names_variable_flag_and_what_it_takes() -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(["--port", "99999", "--models", "a b"])
    first, second = str(caught.value).splitlines()
    assert first.startswith("INTERMODAL_PORT (--port) is '99999'")
    assert "65535" in first
    assert second.startswith("INTERMODAL_MODELS (--models)")
    assert "fashion,digits@2" in second


def test_a_misspelt_variable_is_told_the_nearest_name() -> None:
    [warning] = unknown_variables({"INTERMODAL_PROT": "1", "INTERMODAL_PORT": "1", "PATH": ""})
    assert "INTERMODAL_PROT" in warning
    assert "INTERMODAL_PORT?" in warning


def test_every_setting_is_described() -> None:
    assert all(field.description for field in Settings.model_fields.values())


@pytest.mark.usefixtures("own_logs")
def test_wrong_settings_end_with_status_2_and_no_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "--port", "x"]) == 2
    assert "INTERMODAL_PORT (--port) is 'x'" in capsys.readouterr().err
    assert main(["--port", "0", "--checkpoints", str(tmp_path)]) == 2
    assert "python -m training train" in capsys.readouterr().err


@pytest.mark.usefixtures("own_logs")
def test_a_port_in_use_is_a_setting_that_cannot_be_had(capsys: pytest.CaptureFixture[str]) -> None:
    from app.listening import bind

    with bind(Settings(port=0)) as listener:
        listener.listen()
        assert main(["--port", str(listener.getsockname()[1])]) == 2
    assert "INTERMODAL_PORT" in capsys.readouterr().err


KEY_HASH = "ab" * 32


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("API_KEYS", "my-secret-key", "python -m app hash-key"),
        ("API_KEYS_FILE", "/nowhere/keys", "cannot be read"),
        ("REQUIRE_KEY", "reads", "'writes', 'all' or 'none'"),
        ("REQUIRE_KEY", "all", "hash-key --generate"),
        ("CORS_ORIGINS", "shop.example", "https://shop.example"),
        ("FORWARDED_ALLOW_IPS", "proxy", "addresses, networks, or *"),
        ("LOG_FORMAT", "xml", "'json' or 'text'"),
        ("SHUTDOWN_TIMEOUT_SECONDS", "-1", "greater than or equal to 0"),
    ],
)
def test_a_wrong_variable_is_refused_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str, remedy: str
) -> None:
    monkeypatch.setenv(f"INTERMODAL_{name}", value)
    assert main([]) == 2
    error = capsys.readouterr().err
    assert f"INTERMODAL_{name}" in error
    assert remedy in error
    assert "my-secret-key" not in error


def test_an_empty_variable_is_an_absent_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERMODAL_API_KEYS_FILE", "")
    monkeypatch.setenv("INTERMODAL_PORT", "")
    assert (load_settings([]).api_keys_file, load_settings([]).port) == (None, 8000)


def test_keys_come_from_the_variable_and_the_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# rotated in May\n\nshop:{'cd' * 32}  # theirs\n")
    settings = Settings(api_keys=f"ci:{KEY_HASH}, {'ef' * 32}", api_keys_file=file)
    assert len(settings.keys) == 3
    assert KEY_HASH not in repr(settings)


def write(folder: Path, *lines: str) -> Path:
    file = folder / "intermodal.env"
    file.write_text("\n".join(["# a comment", *lines]))
    return file


def test_the_file_of_the_folder_is_read_and_variables_and_flags_win(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "INTERMODAL_PORT=9001", "INTERMODAL_MAX_TOP_K=7", "INTERMODAL_NUM_WORKERS=3", "")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("INTERMODAL_SETTINGS_FILE")
    monkeypatch.setenv("INTERMODAL_MAX_TOP_K", "8")
    settings = load_settings(["--port", "9002"])
    assert (settings.port, settings.max_top_k, settings.num_workers) == (9002, 8, 3)
    assert Settings().num_workers == 0  # objects read no file


def test_without_a_file_in_the_folder_nothing_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("INTERMODAL_SETTINGS_FILE")
    assert load_settings([]) == Settings()


@pytest.mark.parametrize("by_flag", [True, False])
def test_another_file_may_be_named_and_must_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, by_flag: bool
) -> None:
    def load(file: Path) -> Settings:
        monkeypatch.setenv("INTERMODAL_SETTINGS_FILE", "/dev/null" if by_flag else str(file))
        return load_settings([f"--settings-file={file}"] if by_flag else [])

    settings = load(write(tmp_path, "INTERMODAL_NUM_THREADS=2"))
    assert (settings.num_threads, settings.settings_file) == (2, tmp_path / "intermodal.env")
    with pytest.raises(ConfigError, match=r"--settings-file.*not there.*doctor --out"):
        load(tmp_path / "other.env")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("INTERMODAL_NUM_THREADS=0", "INTERMODAL_NUM_THREADS is '0'"),
        ("INTERMODAL_NUM_THREAD=2", "INTERMODAL_NUM_THREAD is no setting. Did you mean INTERMODAL_NUM_THREADS?"),
        ("NUM_THREADS=2", "NUM_THREADS is no setting. Did you mean INTERMODAL_NUM_THREADS?"),
        ("OTHER=2", "OTHER is no setting."),
    ],
)
def test_a_fault_of_the_file_is_told_with_its_name(tmp_path: Path, line: str, told: str) -> None:
    file = write(tmp_path, line)
    with pytest.raises(ConfigError) as caught:
        load_settings(["--settings-file", str(file)])
    assert str(caught.value).startswith(f"{file}: {told}")
    assert "\n" not in str(caught.value)


def test_only_faults_of_the_file_are_laid_on_it(tmp_path: Path) -> None:
    file = write(tmp_path, "INTERMODAL_PORT=70000", "INTERMODAL_NUM_WORKERS=-1")
    with pytest.raises(ConfigError) as caught:
        load_settings(["--settings-file", str(file), "--port", "80000"])
    port, workers = str(caught.value).splitlines()
    assert port.startswith("INTERMODAL_PORT (--port) is '80000'")
    assert workers.startswith(f"{file}: INTERMODAL_NUM_WORKERS is '-1'")


@pytest.mark.parametrize("content", [b"INTERMODAL_PORT=\xff", None])
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "intermodal.env"
    if content is None:
        file.mkdir()
    else:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match="settings-file"):
        load_settings(["--settings-file", str(file)])


@pytest.mark.parametrize("value", ["inf", "nan", "1e300", "-1"])
@pytest.mark.parametrize(
    "name", [name for name, field in Settings.model_fields.items() if field.annotation is float]
)
def test_a_time_is_a_number_that_a_clock_can_run_out_of(name: str, value: str) -> None:
    with pytest.raises(
        ConfigError, match=rf"INTERMODAL_{name.upper()} \(--[a-z-]+\) is '{value}': Input should be"
    ):
        load_settings([flag(name), value])
