"""`python -m app [serve] [--flags]`: serve trained models over HTTP.

`doctor`: check this machine, and measure the best settings. `gallery`: read galleries in, write them out, check
and copy them. `score`: predictions for the rows of a manifest. `hash-key`: what to set for an API key."""

import gc
import getpass
import logging
import os
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.settings import Settings

# Pydantic would look for plugins in the metadata of every package that is installed.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
# One thread for each worker: BLAS and OpenMP read these when numpy is first imported.
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

_SHORT_BYTES = 20


def main(arguments: Sequence[str]) -> int:
    """Serve until a signal, or run another command. Returns the process's exit status: 2 for a wrong setting."""
    if arguments[:1] == ["hash-key"]:
        return _hash_key(arguments[1:])
    gc.disable()  # a tenth of the start would be looking for garbage; `settle` enables it again
    from app.logs import configure_logs
    from app.settings_reading import load_settings, unknown_variables
    from models.errors import ConfigError, IntermodalError
    from retrieval.errors import RetrievalError

    try:
        if arguments[:1] in (["doctor"], ["gallery"], ["score"]):
            gc.enable()
        if arguments[:1] == ["doctor"]:
            from app.doctor.command import main as examine

            return examine(arguments[1:], _say)
        if arguments[:1] == ["gallery"]:
            from app.bulk.command import main as keep

            return keep(arguments[1:], _say)
        if arguments[:1] == ["score"]:
            from app.bulk.score_command import main as score

            return score(arguments[1:], _say)
        settings = load_settings(arguments[1:] if arguments[:1] == ["serve"] else arguments)
        configure_logs(settings.log_level, settings.log_format)
        for warning in unknown_variables(os.environ):
            logging.getLogger(__name__).warning(warning)
        if settings.settings_file.is_file():
            _say(f"Settings of {settings.settings_file} are in use")
        _serve(settings)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except (IntermodalError, RetrievalError) as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        gc.enable()
    return 0


def _serve(settings: "Settings") -> None:
    # The server has a handler of its own. Before that nothing is under way; and process 1 of a container
    # would not hear the signal at all without a handler.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    from app.listening import bind
    from app.readahead import Readahead

    with bind(settings) as listener:
        ahead = Readahead(settings, _say)  # beside the imports that follow
        from app.loading import load_service
        from app.server import serve

        serve(load_service(settings, _say, ahead), listener, _say)


def _hash_key(arguments: Sequence[str]) -> int:
    """Print the hash of the key on stdin's first line; with --generate, a new key and its hash."""
    from app.keys import hash_key, make_key

    if list(arguments) == ["--generate"]:
        key = make_key()
        print(f"key:  {key}\nhash: {hash_key(key.encode())}")
        return 0
    if arguments:
        print("usage: python -m app hash-key [--generate]  (reads a key from stdin)", file=sys.stderr)
        return 2
    given = getpass.getpass("Key: ").encode() if sys.stdin.isatty() else sys.stdin.buffer.readline()
    if not (given := given.strip()):
        print("No key on stdin. Make one: python -m app hash-key --generate", file=sys.stderr)
        return 2
    if len(given) < _SHORT_BYTES:
        print("This key is short, and could be guessed. Make one with --generate.", file=sys.stderr)
    print(hash_key(given))
    return 0


def _say(line: str) -> None:
    print(line, flush=True)  # a pipe would keep it back


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
