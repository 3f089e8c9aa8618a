"""What the two road scripts ask of Python; only the standard library, for a venv with one extra has no more.

python .ci/roads.py absent MODULE…      fail if one of the modules is installed
python .ci/roads.py free-port           print a port that nothing listens on
python .ci/roads.py ask URL PID         wait until the service (process PID) is ready, then check one answer
"""

import importlib.util
import json
import os
import socket
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

IMAGE = Path("samples/images/t-shirt.png")
START_SECONDS = 120


def absent(modules: list[str]) -> None:
    """Fail if a module of the other road can be imported."""
    found = [name for name in modules if importlib.util.find_spec(name) is not None]
    if found:
        raise SystemExit(f"installed, and should not be: {', '.join(found)}")
    say(f"not installed, as it should be: {', '.join(modules)}")


def free_port() -> None:
    """Print a free port of the loopback address."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        say(str(server.getsockname()[1]))


def ask(url: str, pid: int) -> None:
    """Wait for /health/ready, post an image and a text, and check that the answer is to the contract."""
    wait_until_ready(url, pid)
    answer = predict(url, "t-shirt")
    if answer["modalities_used"] != ["image", "text"]:
        raise SystemExit(f"modalities_used is {answer['modalities_used']}")
    for head, labels in answer["classes"].items():
        scores = [label["score"] for label in labels]
        if not scores or scores != sorted(scores, reverse=True) or not all(0 <= score <= 1 for score in scores):
            raise SystemExit(f"{head}: no sorted probabilities: {labels}")
    if not answer["matches"]:
        raise SystemExit("no matches from the gallery")
    with urllib.request.urlopen(url + answer["matches"][0]["image_url"], timeout=30) as response:  # noqa: S310
        if response.status != 200 or not response.read():
            raise SystemExit("the first match has no image")
    best = {head: labels[0]["label"] for head, labels in answer["classes"].items()}
    say(f"answered: {json.dumps(best, ensure_ascii=False)}, {len(answer['matches'])} matches")


def wait_until_ready(url: str, pid: int) -> None:
    """Return once /health/ready says 200; fail if the process ends first, or takes too long."""
    start = time.monotonic()
    while time.monotonic() - start < START_SECONDS:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            raise SystemExit("the service ended before it was ready") from None
        try:
            with urllib.request.urlopen(f"{url}/health/ready", timeout=5):  # noqa: S310
                say(f"ready after {time.monotonic() - start:.1f} s")
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise SystemExit(f"not ready after {START_SECONDS} s")


def predict(url: str, text: str) -> dict[str, Any]:
    """POST /predict as multipart/form-data."""
    edge = "intermodal-edge"
    head = 'Content-Disposition: form-data; name="image"; filename="image.png"\r\nContent-Type: image/png'
    tail = 'Content-Disposition: form-data; name="text"'
    body = (
        f"--{edge}\r\n{head}\r\n\r\n".encode()
        + IMAGE.read_bytes()
        + f"\r\n--{edge}\r\n{tail}\r\n\r\n{text}\r\n--{edge}--\r\n".encode()
    )
    headers = {"Content-Type": f"multipart/form-data; boundary={edge}"}
    request = urllib.request.Request(f"{url}/predict", body, headers)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
            answer: dict[str, Any] = json.load(response)
            return answer
    except urllib.error.HTTPError as error:
        raise SystemExit(f"/predict answered {error.code}: {error.read().decode(errors='replace')}") from None


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["absent", *modules]:
            absent(modules)
        case ["free-port"]:
            free_port()
        case ["ask", url, pid]:
            ask(url, int(pid))
        case _:
            raise SystemExit(__doc__)
