"""The servers that are compared: how each is started, what it is sent, and the settings that are tried for it.

Of several settings a short run chooses the best, as whoever tuned it would. What is missing, and why:
Infinity serves only embedding models in the formats of a hub, not a network of one's own with heads and a gallery;
Triton and TorchServe's successor come as container images, and there was no container engine; MLServer wants a
FastAPI of before 0.116, so it cannot share an environment with the others."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.serving.requests import Pair, msgpack, multipart

CORES = len(os.sched_getaffinity(0))
FORMS = ("torch", "graphs")
_SPLITS = ({"WORKERS": 1, "THREADS": CORES}, {"WORKERS": CORES, "THREADS": 1})
"""The cores given to one process, or one core to each of several."""

Settings = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Rival:
    """A server of somebody else's.

    command: from the rivals' python, the port, and the settings.
    settings: those to be tried; each becomes an environment variable RIVAL_<NAME>.
    pack: a pair to a request.
    """

    name: str
    command: Callable[[str, int, Settings], list[str]]
    settings: Sequence[Settings]
    pack: Callable[[Pair], bytes] = multipart
    environment: Mapping[str, str] | None = None

    def variables(self, form: str, checkpoint: str, port: int, settings: Settings) -> dict[str, str]:
        """The environment that it is started with."""
        chosen = {f"RIVAL_{name}": str(value) for name, value in settings.items()}
        named = {"RIVAL_FORM": form, "RIVAL_CHECKPOINT": checkpoint, "RIVAL_PORT": str(port)}
        return {**named, **chosen, **(self.environment or {})}


def _uvicorn(module: str) -> Callable[[str, int, Settings], list[str]]:
    def command(python: str, port: int, settings: Settings) -> list[str]:
        words = [python, "-m", "uvicorn", f"benchmarks.rivals.{module}:app", "--port", str(port)]
        return [*words, "--log-level", "warning", "--workers", str(settings["WORKERS"])]

    return command


def _module(name: str, *flags: str) -> Callable[[str, int, Settings], list[str]]:
    def command(python: str, port: int, _: Settings) -> list[str]:
        return [python, "-m", f"benchmarks.rivals.{name}", *(flag.format(port=port) for flag in flags)]

    return command


def _bentoml(python: str, port: int, _: Settings) -> list[str]:
    words = [python, "-m", "bentoml", "serve", "benchmarks.rivals.bentoml_server:Fashion"]
    return [*words, "--host", "127.0.0.1", "--port", str(port)]


RIVALS = (
    Rival("FastAPI as in tutorials", _uvicorn("fastapi_tutorial"), [{"WORKERS": 1, "THREADS": CORES}]),
    Rival(
        "FastAPI with care",
        _uvicorn("fastapi_care"),
        [
            {"WORKERS": 1, "THREADS": 1, "AT_ONCE": CORES},
            {"WORKERS": 1, "THREADS": CORES, "AT_ONCE": 1},
            {"WORKERS": CORES, "THREADS": 1, "AT_ONCE": 1},
        ],
    ),
    Rival(
        "LitServe",
        _module("litserve_server"),
        [
            *(split | {"BATCH": batch, "FAST_QUEUE": 0} for split in _SPLITS for batch in (4, 8)),
            _SPLITS[1] | {"BATCH": 4, "FAST_QUEUE": 1},
        ],
    ),
    Rival(
        "mosec",
        _module("mosec_server", "--address", "127.0.0.1", "--port", "{port}", "--timeout", "30000"),
        [split | {"BATCH": batch} for split in _SPLITS for batch in (4, 8)],
        pack=msgpack,
    ),
    Rival(
        "BentoML",
        _bentoml,
        _SPLITS,
        environment={
            "BENTOML_CONFIG_OPTIONS": "api_server.logging.access.enabled=false",
            "BENTOML_DO_NOT_TRACK": "True",
        },
    ),
    Rival(
        "Ray Serve",
        _module("ray_server"),
        [_SPLITS[1] | {"BATCH": 4}],
        environment={"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"},
    ),
)

OURS = "Intermodal"
