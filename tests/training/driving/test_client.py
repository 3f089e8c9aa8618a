"""Against servers that echo what they are asked."""

import json
import threading
from base64 import b64decode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from models.errors import ConfigError
from training.driving import client
from training.driving.client import NO_ANSWER, Posts, Stream, reach


class EchoPosts(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer(422 if not asked else 200, {"path": self.path, **asked})

    def do_GET(self) -> None:
        if self.path == "/models/locked" and self.headers["Authorization"] != "Bearer secret":
            return self.answer(401, {})
        if self.path.endswith("/predict/stream"):  # a WebSocket that is not there
            return self.answer(404, {})
        driver = ["steer", "gas", "brake"]
        heads = {"/models/driving": driver, "/models/locked": driver, "/models/fashion": ["price"]}.get(self.path)
        return self.answer(200 if heads else 404, {"values": {head: {} for head in heads or []}})

    def answer(self, status: int, content: dict[str, object]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def posts_url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), EchoPosts)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def stream_url() -> Iterator[str]:
    def echo(socket: ServerConnection) -> None:
        assert socket.request is not None
        for message in socket:
            assert isinstance(message, bytes)
            length = int.from_bytes(message[:4])
            head, rest = json.loads(message[4 : 4 + length]), message[4 + length :]
            socket.send(json.dumps({"status": 200, "path": socket.request.path, **head, "rest": rest.decode()}))

    with serve(echo, "127.0.0.1", 0, process_request=described) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()
        thread.join()


def test_a_stream_sends_fields_and_files_in_one_frame(stream_url: str) -> None:
    service = reach(stream_url, "driving")
    assert isinstance(service, Stream)
    reply = service.ask({"text": "go"}, {"image": b"pixels", "audio": b"sound"})
    assert reply.status == 200
    assert reply.content["path"] == "/models/driving/predict/stream"
    assert reply.content["text"] == "go"
    assert reply.content["files"] == {"image": 6, "audio": 5}
    assert reply.content["rest"] == "pixelssound"
    assert reply.seconds > 0
    service.close()


def test_a_service_without_streams_is_asked_by_posts(posts_url: str) -> None:
    service = reach(posts_url, "driving")
    assert isinstance(service, Posts)
    reply = service.ask({"text": "go"}, {"image": b"pixels"})
    assert reply.content["path"] == "/models/driving/predict"
    assert b64decode(reply.content["image"]) == b"pixels"
    service.close()


def test_nobody_there_is_said() -> None:
    with pytest.raises(ConfigError, match="no service answers there"):
        reach("http://127.0.0.1:9", "driving")


def test_a_model_that_cannot_drive_or_is_not_there_is_said(posts_url: str) -> None:
    with pytest.raises(ConfigError, match="--model fashion: gives no steer, gas, brake"):
        reach(posts_url, "fashion")
    with pytest.raises(ConfigError, match="answers 404 for the model 'other'"):
        reach(posts_url, "other")


def described(socket: ServerConnection, request: Request) -> Response | None:
    if request.path.endswith("/predict/stream"):
        return None
    return socket.respond(200, json.dumps({"values": {head: {} for head in ("steer", "gas", "brake")}}))


def test_a_stream_that_was_closed_meanwhile_is_opened_anew_and_one_that_is_gone_gives_no_answer() -> None:
    def answer_once(socket: ServerConnection) -> None:
        for _ in socket:
            socket.send(json.dumps({"status": 200}))
            return  # which closes it, as a service does with who was idle for long

    with serve(answer_once, "127.0.0.1", 0, process_request=described) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        service = reach(f"http://127.0.0.1:{server.socket.getsockname()[1]}", "driving")
        assert [service.ask({"text": "go"}, {}).status for _ in range(3)] == [200, 200, 200]
        server.shutdown()
        thread.join()
    reply = service.ask({"text": "go"}, {})
    assert reply.status == NO_ANSWER
    assert reply.content["detail"]
    service.close()


def test_an_answer_that_hangs_is_not_taken_for_the_next_question_s(monkeypatch: pytest.MonkeyPatch) -> None:
    waited = threading.Event()

    def answer(socket: ServerConnection) -> None:
        for message in socket:
            assert isinstance(message, bytes)
            asked = json.loads(message[4 : 4 + int.from_bytes(message[:4])])
            if asked["text"] == "go":
                waited.wait()
            socket.send(json.dumps({"status": 200, **asked}))

    with serve(answer, "127.0.0.1", 0, process_request=described) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        service = reach(f"http://127.0.0.1:{server.socket.getsockname()[1]}", "driving")
        with monkeypatch.context() as patch:
            patch.setattr(client, "TIMEOUT_SECONDS", 0.1)
            patch.setattr(service, "close", lambda: (waited.set(), Stream.close(service)))
            assert service.ask({"text": "go"}, {}).status == NO_ANSWER
        assert service.ask({"text": "stop"}, {}).content["text"] == "stop"
        service.close()
        server.shutdown()
        thread.join()


def test_what_answers_with_no_json_object_is_no_answer() -> None:
    def answer(socket: ServerConnection) -> None:
        for _ in socket:
            socket.send("[1]")

    with serve(answer, "127.0.0.1", 0, process_request=described) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        service = reach(f"http://127.0.0.1:{server.socket.getsockname()[1]}", "driving")
        assert service.ask({"text": "go"}, {})[:2] == (NO_ANSWER, {"detail": "it answers with no JSON object"})
        service.close()
        server.shutdown()
        thread.join()


def test_a_key_is_sent_and_its_lack_is_said(posts_url: str) -> None:
    with pytest.raises(ConfigError, match=r"wants an API key.*--key-file"):
        reach(posts_url, "locked")
    reach(posts_url, "locked", post=True, key="secret").close()


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "localhost:8000", "ftp://127.0.0.1:9", "http://", "nonsense"])
def test_what_is_no_address_is_said_by_the_flag_that_gave_it(url: str) -> None:
    with pytest.raises(ConfigError, match=r"--policy .*is no address of a service"):
        reach(url, "driving", flag="--policy")
