"""A message of /predict/stream beside a request of /predict: the same service, the same fields, in turns.

    python -m benchmarks.predict_stream --url http://127.0.0.1:8000 --fields '{"text": "blue t-shirt"}' --out FILE

Rounds alternate. A round is so many questions, each asked when the one before is answered, over one
connection (http.client) and over one socket. Times are the client's, its own work included."""

import argparse
import http.client
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from websockets.sync.client import connect


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--fields", default='{"text": "blue t-shirt"}', help="JSON, of /predict")
    parser.add_argument("--image", type=Path, help="sent as a part of a form, and behind the JSON of a frame")
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    fields = {**json.loads(args.fields), "retrieve": False, "num_labels": 1}
    image = args.image.read_bytes() if args.image else None
    place = urlsplit(args.url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port)
    body, kind = _body(fields, image)
    message = _message(fields, image)
    with connect(f"ws://{place.netloc}/predict/stream", compression=None) as socket:

        def post() -> None:
            connection.request("POST", "/predict", body, {"Content-Type": kind})
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            answer.read()

        def ask() -> None:
            socket.send(message)
            assert json.loads(socket.recv())["status"] == 200

        ways = {"post": post, "stream": ask}
        for way in ways.values():
            _round(way, args.questions)
        rounds = [{name: _round(way, args.questions) for name, way in ways.items()} for _ in range(args.rounds)]
    found = {
        "fields": fields,
        "image_bytes": len(image or b""),
        "questions": args.questions,
        "rounds": rounds,
        "median_ms": {name: statistics.median(one[name]["p50_ms"] for one in rounds) for name in ways},
        "ratio_p50": statistics.median(one["stream"]["p50_ms"] / one["post"]["p50_ms"] for one in rounds),
        "saved_ms": statistics.median(one["post"]["p50_ms"] - one["stream"]["p50_ms"] for one in rounds),
    }
    print(json.dumps({name: found[name] for name in ("median_ms", "ratio_p50", "saved_ms")}, indent=1))
    if args.out:
        args.out.write_text(json.dumps(found, indent=1) + "\n")


def _round(ask: Callable[[], None], count: int) -> dict[str, float]:
    times = []
    for _ in range(count):
        start = time.perf_counter()
        ask()
        times.append((time.perf_counter() - start) * 1000)
    times.sort()
    return {"p50_ms": round(times[count // 2], 3), "p99_ms": round(times[count * 99 // 100], 3)}


def _body(fields: dict[str, object], image: bytes | None) -> tuple[bytes, str]:
    if image is None:
        return json.dumps(fields).encode(), "application/json"
    parts = [("image", image, '; filename="a"')]
    parts += [(n, (v if isinstance(v, str) else json.dumps(v)).encode(), "") for n, v in fields.items()]
    body = b"".join(
        f'--x\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + data + b"\r\n"
        for name, data, more in parts
    )
    return body + b"--x--\r\n", "multipart/form-data; boundary=x"


def _message(fields: dict[str, object], image: bytes | None) -> str | bytes:
    head = json.dumps(fields)
    return head if image is None else len(head).to_bytes(4, "big") + head.encode() + image


if __name__ == "__main__":
    main()
