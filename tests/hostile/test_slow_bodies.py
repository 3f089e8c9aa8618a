"""Bodies that trickle: cut off in time, without harm to others."""

import json
import socket
import threading
import time
from pathlib import Path

import pytest

from app.settings import Settings
from tests.fakes import image_file, make_service, serving

HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n"


@pytest.mark.clock
@pytest.mark.parametrize("first_bytes", [0, 10, 2_000_000])
def test_a_body_that_trickles_is_told_so_and_delays_nobody(tmp_path: Path, first_bytes: int) -> None:
    settings = Settings(request_timeout_seconds=2)  # of those that ask meanwhile too
    with serving(settings, lambda settings: make_service(tmp_path, settings)) as client:
        address = (client.base_url.host, client.base_url.port or 80)
        answers: list[bytes] = []

        def trickle() -> None:
            with socket.create_connection(address, timeout=10) as connection:
                connection.sendall(HEAD % 5_000_000 + b"x" * first_bytes)
                connection.settimeout(0.05)
                answer = b""
                end = time.monotonic() + 10
                while b"}" not in answer and time.monotonic() < end:
                    try:
                        connection.sendall(b"x")
                        answer += connection.recv(65_536)
                    except TimeoutError:
                        continue
                answers.append(answer)

        slow = [threading.Thread(target=trickle) for _ in range(8)]
        for thread in slow:
            thread.start()
        answered = 0
        while any(thread.is_alive() for thread in slow):
            response = client.post("/predict", content=image_file("red"), headers={"Content-Type": "image/png"})
            assert response.status_code == 200
            answered += 1
        for thread in slow:
            thread.join()
    assert answered > 20  # in the two seconds that the slow ones had; a hundred times as many on an idle machine
    assert len(answers) == len(slow)
    for answer in answers:
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 408")
        assert "did not arrive within 2 s" in json.loads(body)["detail"]
