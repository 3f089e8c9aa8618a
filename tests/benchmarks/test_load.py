"""The load generator, a real process, against a server that does what each case says."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.serving.load import Result, Workload
from benchmarks.serving.requests import Request, post
from benchmarks.serving.servers import free_port

ASK = post("/predict", "application/json", b"{}")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
BUSY = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}"


@contextmanager
def answering(reply: bytes, *, and_close: bool = False) -> Iterator[int]:
    """A server that gives `reply` to every request, and its port."""

    def serve(connection: socket.socket) -> None:
        with connection:
            try:
                while connection.recv(65536):
                    connection.sendall(reply)
                    if and_close:
                        return
            except OSError:
                return

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def seen(port: int, request: Request) -> Result:
    return Workload([request]).closed(port, 2, 0.3).wait()


def verdicts(result: Result) -> set[tuple[int, str]]:
    return {(record.status, record.verdict) for record in result.records}


def test_an_answer_of_a_wanted_status_is_right_and_any_other_is_not() -> None:
    with answering(OK) as port:
        assert verdicts(seen(port, Request(data=ASK))) == {(200, "right")}
        assert verdicts(seen(port, Request(data=ASK, statuses=(404,)))) == {(200, "other")}
    with answering(BUSY, and_close=True) as port:
        assert verdicts(seen(port, Request(data=ASK))) == {(429, "other")}


def test_a_200_that_says_something_else_is_wrong() -> None:
    with answering(OK) as port:
        result = seen(port, Request(data=ASK, expected={"scores": {}, "cosines": {}}))
    assert verdicts(result) == {(200, "wrong")}
    assert result.faults


def test_half_an_answer_is_lost_and_a_closed_port_refuses() -> None:
    with answering(HALF, and_close=True) as port:
        assert verdicts(seen(port, Request(data=ASK))) == {(0, "lost")}
    assert verdicts(seen(free_port(), Request(data=ASK))) == {(0, "refused")}


def test_an_open_loop_sends_at_its_rate_even_while_nothing_is_answered() -> None:
    with answering(b"") as port:
        load = Workload([Request(data=ASK, cancel=True)]).open(port, 100, 1.0)
        result = load.wait()
    assert verdicts(result) == {(0, "cancelled")}
    assert 60 < len(result.records) < 140  # 100, give or take four deviations of a Poisson count
