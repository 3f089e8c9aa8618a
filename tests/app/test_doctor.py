"""The doctor: which settings it chooses from given figures, what it checks, and one real run of the command."""

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from app.__main__ import main
from app.doctor import checks, command, machine, report
from app.doctor.bench import ServiceBench, request_items
from app.doctor.choice import Pair, choose_pair, choose_size, choose_wait_ms
from app.doctor.rounds import MAX_ITEMS, NUM_ROUNDS, largest_that_fits, measure_pairs, measure_sizes, pairs_for
from app.doctor.tuning import Tuning, default_size, tune
from app.served import Model
from app.server import bind
from app.settings import PREFIX, Settings, load_settings
from models.engine import Engine
from models.errors import ConfigError
from tests.fakes import FakeEngine, make_gallery, make_predictor

ROOT = Path(__file__).resolve().parents[2]
ONE_BY_TWO, TWO_BY_ONE = Pair(1, 2), Pair(2, 1)


def quiet(_: str) -> None:
    pass


class FakeBench:
    """Answers from what it is told. `noise` of the round scales all of a round's figures, as a neighbour does."""

    kinds: Sequence[str] = ("images", "texts")

    def __init__(
        self,
        rates: Mapping[Pair, float],
        seconds: Mapping[int, float],
        *,
        batch: Callable[[str, int], float] = lambda _kind, _size: 100.0,
        fitting: int = 0,
    ) -> None:
        self.rates, self.seconds, self.batch, self.fitting = rates, seconds, batch, fitting
        self.calls: list[tuple[str, object]] = []

    def cost(self, kind: str) -> Mapping[str, int]:
        return {"image": 224 * 224, "text": 10} if kind == "images" else {"text": 10}

    def rate(self, pair: Pair) -> float:
        self.calls.append(("rate", pair))
        return self.rates[pair]

    def seconds_alone(self, threads: int) -> float:
        self.calls.append(("alone", threads))
        return self.seconds[threads]

    def batch_rate(self, pair: Pair, kind: str, size: int) -> float:  # noqa: ARG002
        self.calls.append((kind, size))
        return self.batch(kind, size)

    def fits(self, pair: Pair, kind: str, size: int) -> bool:  # noqa: ARG002
        return size <= self.fitting


def test_pairs_use_no_more_than_the_cores() -> None:
    assert pairs_for(1) == [(1, 1)]
    assert pairs_for(2) == [(1, 1), (1, 2), (2, 1)]
    assert pairs_for(6) == [
        (1, 1), (1, 2), (1, 4), (1, 6), (2, 1), (2, 2), (4, 1), (6, 1),
    ]  # fmt: skip
    assert pairs_for(4, accelerator=True) == [(1, 1), (1, 2), (1, 4)]


def test_every_round_measures_every_pair_and_the_order_turns() -> None:
    bench = FakeBench({Pair(1, 1): 60, ONE_BY_TWO: 100, TWO_BY_ONE: 90}, {1: 0.02, 2: 0.01})
    figures = measure_pairs(bench, pairs_for(2), ONE_BY_TWO, quiet)
    assert {pair: len(found) for pair, found in figures.rates.items()} == dict.fromkeys(pairs_for(2), NUM_ROUNDS)
    first, second = bench.calls[:5], bench.calls[5:10]
    assert first == [
        ("rate", (1, 1)), ("rate", (1, 2)), ("rate", (2, 1)), ("alone", 1), ("alone", 2),
    ]  # fmt: skip
    assert second[:3] == first[2::-1]


def test_a_hopeless_pair_is_dropped_after_a_round_but_never_the_default() -> None:
    bench = FakeBench({Pair(1, 1): 49, ONE_BY_TWO: 40, TWO_BY_ONE: 100}, {1: 0.02, 2: 0.01})
    figures = measure_pairs(bench, pairs_for(2), ONE_BY_TWO, quiet)
    assert {pair: len(found) for pair, found in figures.rates.items()} == {
        Pair(1, 1): 1, ONE_BY_TWO: NUM_ROUNDS, TWO_BY_ONE: NUM_ROUNDS,
    }  # fmt: skip


ALONE = {1: [0.020, 0.020, 0.020], 2: [0.012, 0.012, 0.012]}


def test_the_highest_throughput_wins() -> None:
    choice = choose_pair({ONE_BY_TWO: [100, 102, 98], TWO_BY_ONE: [120, 122, 118]}, ALONE, ONE_BY_TWO)
    assert choice.pair == TWO_BY_ONE
    assert choice.reason.startswith("20% more items a second")
    choice = choose_pair({ONE_BY_TWO: [100, 102, 98], TWO_BY_ONE: [80, 82, 78]}, ALONE, ONE_BY_TWO)
    assert choice.pair == ONE_BY_TWO


def test_within_three_percent_the_quicker_for_one_request_wins() -> None:
    choice = choose_pair({ONE_BY_TWO: [100, 100, 100], TWO_BY_ONE: [98, 98, 98]}, ALONE, ONE_BY_TWO)
    assert choice.pair == TWO_BY_ONE
    assert "one request is 67% quicker" in choice.reason
    beyond = choose_pair({ONE_BY_TWO: [100, 100, 100], TWO_BY_ONE: [96, 96, 96]}, ALONE, ONE_BY_TWO)
    assert beyond.pair == ONE_BY_TWO


def test_as_fast_and_as_quick_the_one_with_fewer_threads_wins() -> None:
    default = Pair(1, 8)
    rates = {default: [50, 50, 50], Pair(2, 4): [100, 100, 100], Pair(4, 2): [101, 101, 101]}
    seconds = {1: [0.04] * 3, 2: [0.0201] * 3, 4: [0.02] * 3}
    assert choose_pair(rates, seconds, default).pair == (2, 4)


def test_the_default_stays_where_rounds_differ_by_more_than_the_settings() -> None:
    noisy = {ONE_BY_TWO: [100, 100, 100], TWO_BY_ONE: [80, 110, 140]}
    choice = choose_pair(noisy, ALONE, ONE_BY_TWO)
    assert choice.pair == ONE_BY_TWO
    assert "2 x 1 betters the rate by 10%, and rounds differ by 30%: too noisy" in choice.reason
    unsure = {ONE_BY_TWO: [100, 100, 100], TWO_BY_ONE: [20, 100, 180]}  # by 80 %, for requests 67 % quicker
    assert choose_pair(unsure, ALONE, ONE_BY_TWO).pair == ONE_BY_TWO
    alone = {1: [0.02, 0.02, 0.02], 2: [0.01, 0.018, 0.04]}
    choice = choose_pair({ONE_BY_TWO: [100] * 3, TWO_BY_ONE: [100] * 3}, alone, ONE_BY_TWO)
    assert choice.pair == ONE_BY_TWO
    assert "one request's time by 11%, and rounds differ by 75%: too noisy" in choice.reason


def test_a_neighbour_that_slows_whole_rounds_hides_no_difference() -> None:
    rates = {ONE_BY_TWO: [100, 20, 60], TWO_BY_ONE: [120, 24, 72]}  # always 1.2 times
    assert choose_pair(rates, ALONE, ONE_BY_TWO).pair == TWO_BY_ONE


def test_the_smallest_batch_close_to_the_best_rate_is_chosen() -> None:
    rates = {1: [100.0] * 3, 4: [200.0] * 3, 8: [390.0] * 3, 16: [400.0] * 3, 32: [395.0] * 3}
    choice = choose_size(rates, default=4)
    assert (choice.size, choice.gain) == (8, 4.0)
    assert choice.reason.startswith("95% more items a second than the default, 4")


def test_the_default_batch_stays_where_nothing_is_clearly_better() -> None:
    assert choose_size({1: [98, 98], 4: [99, 99], 8: [100, 100]}, default=4).size == 4
    noisy = choose_size({1: [50, 50, 50], 4: [100, 100, 100], 8: [90, 110, 130]}, default=4)
    assert noisy.size == 4
    assert "8 betters the rate by 10%, and rounds differ by 20%: too noisy" in noisy.reason


def test_at_most_half_of_the_largest_batch_that_fits_is_chosen() -> None:
    rates = {size: [100.0 * size] * 3 for size in (1, 2, 4, 8, 16, 32)}
    assert choose_size(rates, default=4, largest=16).size == 8
    assert choose_size(rates, default=4, largest=4).size == 2
    assert choose_size(rates, default=4, largest=1).size == 1


def test_waiting_pays_only_where_batches_give_much_more_than_single_items() -> None:
    assert choose_wait_ms(1.1, 0.014) == 0
    assert choose_wait_ms(8.0, 0.004) == 2.0


def test_the_largest_batch_is_found_by_doubling() -> None:
    def largest(fitting: int) -> int:
        return largest_that_fits(FakeBench({}, {}, fitting=fitting), ONE_BY_TWO, "images", quiet)

    assert [largest(fitting) for fitting in (1, 7, 64, 10**6)] == [1, 4, 64, MAX_ITEMS]


def test_a_size_without_memory_and_all_beyond_it_are_left_out() -> None:
    def batch(_: str, size: int) -> float:
        if size > 8:
            raise MemoryError
        return 100.0

    rates = measure_sizes(FakeBench({}, {}, batch=batch), ONE_BY_TWO, "images", 4, None, quiet)
    assert {size: len(found) for size, found in rates.items()} == dict.fromkeys((1, 2, 4, 8), NUM_ROUNDS)


def test_the_default_sizes_are_those_that_the_settings_allow() -> None:
    assert default_size({"image": 224 * 224, "text": 10}) == 4
    assert default_size({"image": 512 * 512}) == 1
    assert default_size({"text": 10}) == 32
    assert default_size({"text": 100}) == 10


def tuned(bench: FakeBench, *, accelerator: bool = False, cores: int = 2) -> Tuning:
    return tune(bench, accelerator=accelerator, progress=quiet, cores=cores)


FLAT = FakeBench({Pair(1, 1): 55, ONE_BY_TWO: 100, TWO_BY_ONE: 90}, {1: 0.02, 2: 0.012})


def test_where_the_defaults_are_best_no_setting_is_written() -> None:
    assert tuned(FLAT).settings == {}
    text = report.settings_file(tuned(FLAT), {"hardware": "a machine"}, ["--models", "fashion"])
    assert [line for line in text.splitlines() if line and not line.startswith("#")] == []
    assert "# INTERMODAL_NUM_WORKERS=0  (the default)" in text


def test_a_card_gets_a_larger_batch_in_pixels_and_tokens_and_a_wait() -> None:
    bench = FakeBench(
        {Pair(1, 1): 500, ONE_BY_TWO: 800},
        {1: 0.005},
        batch=lambda kind, size: 250.0 * min(size, 64 if kind == "images" else 16),
        fitting=256,
    )
    tuning = tuned(bench, accelerator=True)
    assert tuning.batches["images"].largest == 256
    assert tuning.settings == {
        "max_batch_items": 64,
        "max_batch_pixels": 64 * 224 * 224,
        "max_batch_tokens": 640,
        "max_batch_wait_ms": 4.0,  # two workers with 250 single items a second: 8 ms each
    }


def test_the_file_says_where_it_is_from_and_the_service_reads_it(tmp_path: Path) -> None:
    bench = FakeBench({Pair(1, 1): 55, ONE_BY_TWO: 100, TWO_BY_ONE: 150}, {1: 0.02, 2: 0.012})
    about = {"hardware": "a machine, 2 usable cores", "model": "fashion@1 on onnx (cpu)"}
    text = report.settings_file(tuned(bench), about, ["--models", "fashion, emoji"])
    for line in (
        "# hardware: a machine, 2 usable cores",
        "# model: fashion@1 on onnx (cpu)",
        "# command: python -m app doctor --models 'fashion, emoji'",
        "#       2        1    150.0             0%             12.0  chosen",
    ):
        assert line in text.splitlines()
    file = tmp_path / "intermodal.env"
    report.write(file, text)
    settings = load_settings(["--settings-file", str(file)])
    assert (settings.num_threads, settings.num_workers, settings.max_batch_items) == (2, 1, 32)
    report.check_target(file, force=False)
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    "content", ["INTERMODAL_PORT=9000\n", f"{report.MARK}\nINTERMODAL_NUM_THREADS=1\nINTERMODAL_PORT=9000\n"]
)
def test_settings_of_somebody_else_are_not_lost_without_force(tmp_path: Path, content: str) -> None:
    file = tmp_path / "intermodal.env"
    file.write_text(content)
    assert main(["doctor", "--out", str(file)]) == 2
    with pytest.raises(ConfigError, match="--force"):
        report.check_target(file, force=False)
    report.check_target(file, force=True)
    assert file.read_text() == content


def test_what_is_no_file_is_never_replaced(tmp_path: Path) -> None:
    for out in (Path(os.devnull), tmp_path):
        with pytest.raises(ConfigError, match="no file"):
            report.check_target(out, force=True)
    with pytest.raises(ConfigError, match="no folder"):
        report.check_target(tmp_path / "absent" / "intermodal.env", force=True)


def test_a_variable_that_wins_over_the_file_is_told() -> None:
    bench = FakeBench({Pair(1, 1): 55, ONE_BY_TWO: 100, TWO_BY_ONE: 150}, {1: 0.02, 2: 0.012})
    [line] = command.overridden(tuned(bench), {f"{PREFIX}NUM_THREADS": "1", f"{PREFIX}PORT": "9"})
    assert "INTERMODAL_NUM_THREADS" in line


def engine(name: str, device: str) -> Engine:
    return cast(Engine, SimpleNamespace(name=name, device=device))


@pytest.mark.parametrize(
    ("asked", "chosen", "driver", "torch", "remedy"),
    [
        ("auto", ("onnx", "cpu"), False, False, ""),
        ("auto", ("onnx", "cpu"), True, False, "pip install"),
        ("auto", ("onnx", "cpu"), True, True, "no CUDA device"),
        ("auto", ("torch", "NVIDIA H100"), True, True, ""),
        ("onnx", ("onnx", "cpu"), True, True, ""),
        ("torch", ("torch", "cpu"), True, True, "no CUDA device"),
        ("torch", ("torch", "cpu"), False, True, ""),
    ],
)
def test_a_gpu_that_is_there_and_not_used_is_a_problem(
    monkeypatch: pytest.MonkeyPatch, asked: Any, chosen: tuple[str, str], driver: bool, torch: bool, remedy: str
) -> None:
    monkeypatch.setattr(checks.shutil, "which", lambda _: "/bin/nvidia-smi" if driver else None)
    monkeypatch.setattr(checks.importlib.util, "find_spec", lambda _: object() if torch else None)
    check = checks.check_engine(Settings(engine=asked), engine(*chosen))
    assert check.found.startswith(f"{chosen[0]} on {chosen[1]}")
    assert remedy in check.remedy
    assert check.ok == (not remedy)


def test_a_busy_port_few_files_and_a_full_folder_are_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    with bind(Settings(port=0)) as listener:
        listener.listen()
        assert "INTERMODAL_PORT" in checks.check_port(Settings(port=listener.getsockname()[1])).remedy
    assert checks.check_port(Settings(port=0)).ok
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    # 1000 connections, 256 files of uploads (256 MB by 1 MB), 100 others
    assert "ulimit -n 1356" in checks.check_open_files(Settings()).remedy
    assert checks.check_open_files(Settings(max_connections=400)).ok
    monkeypatch.setattr(checks.shutil, "disk_usage", lambda _: SimpleNamespace(free=255_999_999))
    assert "256 MB" in checks.check_temporary(Settings()).remedy
    assert checks.check_temporary(Settings(max_pending_bytes=255_999_999)).ok


def test_more_threads_than_cores_are_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "usable_cores", lambda: 2)
    assert checks.check_cores(Settings(num_workers=2)).ok
    assert "INTERMODAL_NUM_WORKERS" in checks.check_cores(Settings(num_workers=2, num_threads=2)).remedy


def test_too_little_memory_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "usable_cores", lambda: 2)
    monkeypatch.setattr(checks, "memory_bytes", lambda: 150_000_000)
    # 150 MB now, 256 MB of uploads, 50 megapixels of 4 bytes
    monkeypatch.setattr(checks, "memory_limit_bytes", lambda: 605_999_999)
    assert "INTERMODAL_MAX_PENDING_BYTES" in checks.check_memory(Settings()).remedy
    monkeypatch.setattr(checks, "memory_limit_bytes", lambda: 606_000_000)
    assert checks.check_memory(Settings()).ok


def test_a_containers_limit_on_memory_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without = machine.memory_limit_bytes()
    file = tmp_path / "memory.max"
    monkeypatch.setattr(machine, "_MEMORY_LIMITS", (file,))
    for content, expected in (("max\n", without), ("1000000\n", 1_000_000)):
        file.write_text(content)
        assert machine.memory_limit_bytes() <= max(expected, without)
        assert (machine.memory_limit_bytes() == 1_000_000) == (expected == 1_000_000)


def test_a_data_folder_that_cannot_be_made_is_a_problem(tmp_path: Path) -> None:
    assert checks.check_data(tmp_path / "not" / "yet").ok
    file = tmp_path / "file"
    file.touch()
    assert "INTERMODAL_DATA" in checks.check_data(file).remedy
    assert not (tmp_path / "not").exists()


def test_missing_compiled_modules_are_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = tmp_path / "server.pyc"
    monkeypatch.setattr(checks.importlib.util, "cache_from_source", lambda _: str(compiled))
    assert "compileall" in checks.check_compiled().remedy
    compiled.touch()
    assert checks.check_compiled().ok


def test_a_misspelt_variable_is_a_problem() -> None:
    assert "INTERMODAL_PORT?" in checks.check_variables(Settings(), {"INTERMODAL_PROT": "1"}).remedy


def test_the_bench_measures_gallery_items_through_the_model(tmp_path: Path) -> None:
    fake = FakeEngine()
    predictor = make_predictor(engine=fake)
    model = Model(predictor, make_gallery(tmp_path, predictor))
    # Three of four items have an image, three a text; two have both.
    assert len(request_items(model)) == 2
    bench = ServiceBench(Settings(models="fashion@1"), model, 0.02)
    assert bench.kinds == ["images", "texts"]
    assert bench.cost("images")["image"] == 16 * 16
    assert "image" not in bench.cost("texts")
    fake.batches.clear()
    assert bench.rate(ONE_BY_TWO) > 0
    assert bench.seconds_alone(1) > 0
    assert set(fake.batches) == {1}
    fake.batches.clear()
    assert bench.batch_rate(ONE_BY_TWO, "texts", 5) > 0
    assert bench.fits(ONE_BY_TWO, "images", 5)
    assert set(fake.batches) == {5}


def test_a_worker_without_memory_ends_the_others_and_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeEngine()
    model = Model(make_predictor(engine=fake))
    bench = ServiceBench(Settings(), model, 60.0)

    def no_memory(_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(model.predictor, "predict", no_memory)
    assert not bench.fits(ONE_BY_TWO, "images", 5)
    with pytest.raises(MemoryError):
        bench.batch_rate(ONE_BY_TWO, "images", 5)


def test_ctrl_c_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "tune", interrupted)
    monkeypatch.chdir(ROOT)
    assert main(["doctor", "--port", "0", "--out", str(tmp_path / "a.env")]) == 130
    assert "Nothing was written" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_broken_checkpoint_is_told_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    version = tmp_path / "checkpoints" / "shop" / "1"
    version.mkdir(parents=True)
    (version / "config.json").write_text("{}")
    out = tmp_path / "a.env"
    assert main(["doctor", "--port", "0", "--checkpoints", str(version.parents[1]), "--out", str(out)]) == 1
    printed = capsys.readouterr().out
    assert any(line.startswith("shop@1") and "problem" in line for line in printed.splitlines())
    assert not out.exists()


@pytest.mark.parametrize(
    ("flags", "told"),
    [(["--num-threads", "0"], "INTERMODAL_NUM_THREADS"), (["--models", "absent"], "There are: fashion@1")],
)
def test_wrong_settings_end_with_status_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    flags: list[str],
    told: str,
) -> None:
    monkeypatch.chdir(ROOT)
    assert main(["doctor", "--out", str(tmp_path / "a.env"), *flags]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("seconds", ["0", "nan", "inf", "soon"])
def test_seconds_are_a_number_above_0(capsys: pytest.CaptureFixture[str], seconds: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "--seconds", seconds])
    assert ended.value.code == 2
    assert "no number above 0" in capsys.readouterr().err


def test_a_file_that_cannot_be_written_leaves_no_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, *_: object, **__: object) -> None:
        self.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(ConfigError, match="No space left"):
        report.write(tmp_path / "a.env", "text")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_command_measures_the_shipped_model_and_writes_settings_that_serve_reads(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").symlink_to(ROOT / "checkpoints")
    program = (
        "import sys\n"
        "from app.__main__ import main\n"
        "status = main(['doctor', '--models', 'fashion', '--port', '0', '--seconds', '0.02'])\n"
        "assert 'torch' not in sys.modules, 'torch'\n"
        "sys.exit(status)\n"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=tmp_path,
        env=environment | {"INTERMODAL_ENGINE": "onnx", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert run.stderr == ""  # no terminal, no progress
    lines = run.stdout.splitlines()
    verdicts = [line for line in lines[: lines.index("")] if line]
    assert run.returncode == int(any(" problem " in line for line in verdicts)), run.stdout
    assert any(line.startswith("fashion@1") and " OK " in line for line in verdicts)
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoints", "intermodal.env"}
    text = (tmp_path / "intermodal.env").read_text()
    assert text.startswith(report.MARK)
    assert "fashion@1 on onnx" in text
    settings = load_settings(["--settings-file", str(tmp_path / "intermodal.env")])
    assert settings.num_threads * settings.workers >= 1
