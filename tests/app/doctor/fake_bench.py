"""A bench that answers from what it is told."""

from collections.abc import Callable, Mapping, Sequence

from app.doctor.choice import Pair
from app.doctor.tuning import Tuning, tune

ONE_BY_TWO, TWO_BY_ONE = Pair(1, 2), Pair(2, 1)


def quiet(_: str) -> None:
    pass


class FakeBench:
    """Answers from what it is told."""

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


def tuned(bench: FakeBench, *, accelerator: bool = False, cores: int = 2) -> Tuning:
    return tune(bench, accelerator=accelerator, progress=quiet, cores=cores)
