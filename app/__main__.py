"""`python -m app [serve] [--flags]`: serve trained models over HTTP."""

import logging
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.settings import Settings

# One thread for each worker: BLAS and OpenMP read these when numpy is first imported.
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")


def main(arguments: Sequence[str]) -> int:
    """Serve until a signal. Returns the process's exit status: 2 for a setting that cannot be used."""
    from app.settings import load_settings
    from models.errors import ConfigError, IntermodalError
    from retrieval.errors import RetrievalError

    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    try:
        settings = load_settings(arguments[1:] if arguments[:1] == ["serve"] else arguments, os.environ)
        logging.getLogger().setLevel(settings.log_level.upper())
        _serve(settings)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except (IntermodalError, RetrievalError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _serve(settings: "Settings") -> None:
    from app.loading import load_service
    from app.server import bind, serve

    with bind(settings) as listener:
        serve(load_service(settings, _say), listener, _say)


def _say(line: str) -> None:
    print(line, flush=True)  # a pipe would keep it back


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
