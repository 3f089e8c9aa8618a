"""Files by URL: attacks by whoever names it, by the name server, and by the host that is asked for it."""

import base64
import contextlib
import gzip
import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from shutil import which
from typing import Any

import httpx
import pytest

from app.addresses import Address, is_public
from app.remote import Fetcher
from app.resolver import look_up
from app.settings import Settings
from tests.fakes import image_file, make_hearing_service, make_service, recording, serving
from tests.hostile.sites import Site, answer, redirect, site

RED, BLUE = image_file("red"), image_file("blue")
LARGE = 5000
HERE, TRAP = ip_address("127.0.0.1"), ip_address("127.0.0.2")
ROUTES = ("/predict", "/embed", "/search")


def dribble(connection: socket.socket, first: bytes, piece: bytes, pause_seconds: float = 0.0) -> None:
    """Send without end, until the other side hangs up or ten seconds are over."""
    connection.sendall(first)
    end = time.monotonic() + 10
    while time.monotonic() < end:
        connection.sendall(piece)
        time.sleep(pause_seconds)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
GOOD = {
    "/red": answer(RED),
    "/lying-type": answer(RED, "Content-Type: text/html"),
    "/chunked": CHUNKED + chunk(RED[:50]) + chunk(RED[50:]) + chunk(b""),
    "/no-length": b"HTTP/1.0 200 OK\r\n\r\n" + RED,
    "/more-than-declared": answer(RED) + b"HTTP/1.1 200 OK\r\n\r\n",
    "/identity": answer(RED, "Content-Encoding: identity"),
    "/early-hints": b"HTTP/1.1 103 Early Hints\r\n\r\n" + answer(RED),
    **{f"/{status}": redirect("/red", f"{status} X") for status in (301, 302, 303, 307, 308)},
    "/thrice": redirect("/twice"),
    "/twice": redirect("/once"),
    "/once": redirect("/red"),
}
# path: (what is sent, status, what the detail says)
BAD: dict[str, tuple[bytes | Callable[[socket.socket], object], int, str]] = {
    "/404": (answer(RED, status="404 Not Found"), 422, "answered 404"),
    "/500": (answer(RED, status="500 X"), 422, "answered 500"),
    "/206": (answer(RED, status="206 Partial Content"), 422, "answered 206"),
    "/204": (b"HTTP/1.1 204 No Content\r\n\r\n", 422, "answered 204"),
    "/304": (b"HTTP/1.1 304 Not Modified\r\n\r\n", 422, "answered 304"),
    "/101": (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n" + RED, 422, "broke off"),
    "/empty": (answer(b""), 422, "empty file"),
    "/html": (answer(b"<!doctype html><p>hello", "Content-Type: image/png"), 415, "Send JPEG, PNG"),
    "/svg": (answer(b"<svg xmlns='http://www.w3.org/2000/svg'/>"), 415, "Send JPEG, PNG"),
    "/gzip": (answer(gzip.compress(RED), "Content-Encoding: gzip"), 422, "compressed"),
    "/bomb": (answer(gzip.compress(bytes(10_000_000)), "Content-Encoding: gzip, gzip"), 422, "compressed"),
    "/bomb-as-it-is": (answer(gzip.compress(bytes(1_000_000)), "Content-Type: image/png"), 415, "Send JPEG, PNG"),
    "/large": (answer(bytes(LARGE + 1)), 413, "5,000 bytes, which is the limit"),
    "/large-declared": (answer(b"", length=10**12), 413, "5,000 bytes"),
    "/large-without-length": (b"HTTP/1.0 200 OK\r\n\r\n" + bytes(LARGE + 1), 413, "5,000 bytes"),
    "/large-chunks": (lambda connection: dribble(connection, CHUNKED, chunk(bytes(1000))), 413, "5,000 bytes"),
    "/less-than-declared": (answer(RED, length=len(RED) + 1), 422, "broke off"),
    "/absurd-length": (answer(RED, length=-1), 422, "broke off"),
    "/two-lengths": (answer(RED, "Content-Length: 5"), 422, "broke off"),
    "/endless-length": (answer(RED).replace(b"Length: ", b"Length: " + b"9" * 5000), 422, "broke off"),
    "/crumbs": (lambda connection: dribble(connection, CHUNKED, chunk(b"x") * 5000), 422, "in crumbs"),
    "/no-http": (b"220 mail.example ESMTP\r\n", 422, "broke off"),
    "/nothing": (b"", 422, "broke off"),
    "/huge-header": (answer(RED, "X: " + "y" * 200_000), 422, "broke off"),
    "/endless-header": (
        lambda connection: dribble(connection, b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 1000), 422, "broke off",
    ),
    "/slow-head": (lambda connection: dribble(connection, b"", b"H", 0.1), 504, "within 0.4 s"),
    "/slow-body": (
        lambda connection: dribble(connection, answer(b"", length=LARGE), b"x", 0.1), 504, "within 0.4 s",
    ),
    "/silent": (lambda _: time.sleep(1), 504, "within 0.4 s"),
    "/endless-hints": (
        lambda connection: dribble(connection, b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000),
        422, "broke off",
    ),
    "/loop": (redirect("/loop"), 422, "more than 3 times"),
    "/four-times": (redirect("/thrice"), 422, "more than 3 times"),
    "/nowhere": (answer(b"", status="302 Found"), 422, "answered 302"),
    "/to-file": (redirect("file:///etc/passwd"), 422, "after a redirect, the URL is none"),
    "/to-ftp": (redirect("ftp://pictures.test/"), 422, "after a redirect, the URL is none"),
    "/to-data": (redirect("data:image/png;base64,AAAA"), 422, "after a redirect, the URL is none"),
    "/to-user": (redirect("//good@trap.test/"), 422, "after a redirect, the URL is none"),
    "/to-backslash": (redirect("/\\trap.test/"), 422, "after a redirect, the redirect's URL"),
    "/to-control": (redirect("/red\tx"), 422, "after a redirect, the redirect's URL"),
    "/to-number": (redirect("http://2130706433/"), 422, "after a redirect, the URL's host is no address"),
    "/to-other-port": (redirect("http://pictures.test:6379/"), 422, "'pictures.test:6379' is not allowed"),
    "/to-other-host": (redirect("http://elsewhere.test/"), 422, "'elsewhere.test' is not allowed"),
    "/to-loopback": (redirect("http://127.0.0.1/"), 422, "'127.0.0.1' is not allowed"),
}  # fmt: skip


class Names:
    """A name server that a test holds: a list of answers for each host, the last for good."""

    def __init__(self, **answers: Sequence[Sequence[str]]) -> None:
        self.asked: list[str] = []
        self._answers = {f"{name}.test": list(found) for name, found in answers.items()}

    def __call__(self, host: str) -> list[Address]:
        self.asked.append(host)
        found = self._answers.get(host)
        if found is None:
            raise OSError("no such name")
        return [ip_address(text) for text in (found.pop(0) if len(found) > 1 else found[0])]


def here_is_public(address: Address) -> bool:
    """The one exception for these tests: the site's own address."""
    return address == HERE or is_public(address)


@contextlib.contextmanager
def service(
    folder: Path,
    hosts: str,
    names: Callable[[str], Sequence[Address]],
    may_connect: Callable[[Address], bool] = here_is_public,
    tls: ssl.SSLContext | None = None,
    **more: Any,
) -> Iterator[httpx.Client]:
    settings = Settings(num_workers=2, url_hosts=hosts, **more)
    fetcher = Fetcher(settings, look_up=names, may_connect=may_connect, tls=tls)
    with serving(settings, lambda settings: make_service(folder, settings, fetcher=fetcher)) as client:
        yield client


def ask(client: httpx.Client, url: object, route: str = "/predict") -> httpx.Response:
    return client.post(route, json={"image": {"url": url}})


def refused(response: httpx.Response, status: int, says: str) -> None:
    """A problem that names the field, the fault and a remedy, and no address but one that was sent."""
    problem = response.json()
    assert (response.status_code, problem["status"]) == (status, status), problem
    assert response.headers["Content-Type"] == "application/problem+json"
    assert problem["field"] == "image"
    assert says in problem["detail"]
    assert any(word in problem["detail"] for word in ("Send", "Check", "Try", "Write")), problem["detail"]


@pytest.fixture(scope="module")
def pictures() -> Iterator[Site]:
    with site({**GOOD, **{path: sent for path, (sent, _, _) in BAD.items()}}) as running:
        yield running


@pytest.fixture(scope="module")
def trap(pictures: Site) -> Iterator[Site]:
    """What must never be reached: it has the pictures' port, and what it serves would be taken."""
    try:
        with site({"/red": answer(RED)}, address=str(TRAP), port=pictures.port) as running:
            yield running
    except OSError:
        pytest.skip("this system has one loopback address only")


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory, pictures: Site) -> Iterator[httpx.Client]:
    names = Names(pictures=[[str(HERE)]])
    folder = tmp_path_factory.mktemp("gallery")
    hosts = f"pictures.test:{pictures.port}"
    with service(folder, hosts, names, max_image_bytes=LARGE, url_timeout_seconds=0.4) as client:
        yield client


@pytest.mark.parametrize("path", GOOD)
def test_an_image_by_url_is_as_one_that_was_sent(asking: httpx.Client, pictures: Site, path: str) -> None:
    response = ask(asking, f"http://pictures.test:{pictures.port}{path}")
    sent = asking.post("/predict", json={"image": base64.b64encode(RED).decode()})
    assert response.status_code == 200, response.text
    for key in ("classes", "matches", "modalities_used"):
        assert response.json()[key] == sent.json()[key]
    assert "fetch;dur=" in response.headers["Server-Timing"]
    assert "fetch" not in sent.headers["Server-Timing"]


@pytest.mark.parametrize("route", ROUTES)
def test_every_route_takes_one(asking: httpx.Client, pictures: Site, route: str) -> None:
    by_url = ask(asking, f"http://pictures.test:{pictures.port}/red", route).json()
    sent = asking.post(route, json={"image": base64.b64encode(RED).decode()}).json()
    by_url.pop("request_id"), sent.pop("request_id")
    assert by_url == sent


@pytest.mark.clock
def test_a_recording_by_url_is_as_one_that_was_sent(tmp_path: Path) -> None:
    wav, names = recording(0.9, 0.9, 0.9), Names(pictures=[[str(HERE)]])
    found = {"/wav": answer(wav), "/png": answer(RED), "/large": answer(bytes(LARGE + 1))}
    with site(found) as running:
        url = f"http://pictures.test:{running.port}"
        settings = Settings(
            num_workers=1, url_hosts=f"pictures.test:{running.port}", max_audio_bytes=LARGE, max_audio_seconds=0.5
        )
        fetcher = Fetcher(settings, look_up=names, may_connect=here_is_public)
        with serving(settings, partial(make_hearing_service, tmp_path, fetcher=fetcher)) as client:
            for route in ("/models/speech/predict", "/transcribe"):
                by_url = client.post(route, json={"audio": {"url": f"{url}/wav"}})
                sent = client.post(route, content=wav, headers={"Content-Type": "audio/wav"})
                assert {**by_url.json(), "request_id": ""} == {**sent.json(), "request_id": ""}
                assert "fetch;dur=" in by_url.headers["Server-Timing"]
                for path, status in (("/png", 415), ("/large", 413)):
                    refusal = client.post(route, json={"audio": {"url": f"{url}{path}"}})
                    assert (refusal.status_code, refusal.json()["field"]) == (status, "audio")


@pytest.mark.parametrize("path", BAD)
def test_a_hostile_host_gets_a_problem_and_nothing_else(asking: httpx.Client, pictures: Site, path: str) -> None:
    _, status, says = BAD[path]
    refused(ask(asking, f"http://pictures.test:{pictures.port}{path}"), status, says)
    assert asking.post("/predict", json={"text": "red"}).status_code == 200


def test_a_bad_url_fails_alone_in_a_batch(asking: httpx.Client, pictures: Site) -> None:
    here = f"http://pictures.test:{pictures.port}"
    urls = [f"{here}/red", f"{here}/404", f"{here}/silent", "http://elsewhere.test/", "ftp://x/", f"{here}/red"]
    items: list[dict[str, object]] = [{"image": {"url": url}} for url in urls]
    answered = asking.post("/predict/batch", json={"items": [*items, {"text": "red"}]})
    results = answered.json()["results"]
    assert [result["status"] for result in results] == [200, 422, 504, 422, 422, 200, 200]
    assert "answered 404" in results[1]["problem"]["detail"]
    assert [results[index]["problem"]["field"] for index in (1, 2, 3, 4)] == ["image"] * 4
    assert "fetch;dur=" in answered.headers["Server-Timing"]


def test_the_host_learns_nothing_of_the_caller(asking: httpx.Client, pictures: Site) -> None:
    for _ in range(2):
        answered = asking.post(
            "/predict",
            json={"image": {"url": f"http://pictures.test:{pictures.port}/red#mine"}},
            headers={"Cookie": "a=b", "Authorization": "Bearer secret", "X-Request-ID": "abc", "Referer": "x"},
        )
        assert answered.status_code == 200
    request, *headers = pictures.heads[-1].strip().split("\r\n")
    assert request == "GET /red HTTP/1.1"
    named = dict(header.split(": ") for header in headers)
    assert set(named) == {"Host", "User-Agent", "Accept", "Accept-Encoding", "Connection"}
    assert named["Host"] == f"pictures.test:{pictures.port}"
    assert named["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"url": 5}, "nothing more. Write"),
        ({"url": None}, "nothing more. Write"),
        ({"url": ["http://pictures.test/"]}, "nothing more. Write"),
        ({"url": "http://pictures.test/", "method": "POST"}, "nothing more. Write"),
        ({"url": ""}, "the URL is none"),
        ({"url": "http://pictures.test/" + "x" * 1_000_000}, "the URL is none"),
        ({"url": "http://\ud800/"}, "the URL is none"),
        ({"url": "http://elsewhere.test/"}, "'elsewhere.test' is not allowed"),
        ({"url": "http://127.0.0.1/"}, "'127.0.0.1' is not allowed"),
        ({"url": "http://0177.0.0.1/"}, "no address"),
    ],
)
def test_a_faulty_url_is_refused_before_anything_is_asked(
    asking: httpx.Client, pictures: Site, value: object, says: str
) -> None:
    num_asked = len(pictures.heads)
    content = json.dumps({"image": value})  # ASCII, also of a lone surrogate, which httpx would not encode
    headers = {"Content-Type": "application/json"}
    refused(asking.post("/predict", content=content, headers=headers), 422, says)
    assert len(pictures.heads) == num_asked


def test_an_image_that_the_model_does_not_know_is_not_fetched(asking: httpx.Client, pictures: Site) -> None:
    num_asked = len(pictures.heads)
    response = ask(asking, f"http://pictures.test:{pictures.port}/red", "/models/words/predict")
    assert response.status_code == 422
    assert "does not know it" in response.json()["detail"]
    assert len(pictures.heads) == num_asked


@pytest.mark.parametrize("route", ROUTES)
def test_it_is_off_by_default(client: httpx.Client, route: str) -> None:
    refused(ask(client, "https://pictures.test/red", route), 422, "switched off here. Send the file itself")
    answered = client.post("/predict/batch", json={"items": [{"image": {"url": "https://pictures.test/red"}}]})
    assert "switched off" in answered.json()["results"][0]["problem"]["detail"]


def test_the_document_describes_it(client: httpx.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    for route in ROUTES:
        image = paths[route]["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"]["image"]
        assert [kind["type"] for kind in image["oneOf"]] == ["string", "object"]


INNER = (
    "0.0.0.1", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.8.8.8", "168.63.129.16",
    "169.254.169.254", "172.16.0.1", "192.0.0.192", "192.168.1.1", "198.18.0.1", "203.0.113.9", "224.0.0.1",
    "240.0.0.1", "255.255.255.255", "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:1.1.1.1",
    "64:ff9b::127.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b:1::1", "2001::1", "2001:db8::1", "2002:7f00:1::",
    "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1",
)  # fmt: skip


@pytest.fixture(scope="module")
def everywhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A service that allows any public host, by the rules that it ships with."""
    names = Names(
        **{f"n{number}": [[address]] for number, address in enumerate(INNER)},
        **{f"mixed{number}": [["1.1.1.1", address]] for number, address in enumerate(INNER)},
        none=[[]],
    )
    with service(tmp_path_factory.mktemp("gallery"), "*", names, is_public) as client:
        yield client


@pytest.mark.parametrize("number", range(len(INNER)), ids=INNER.__getitem__)
def test_an_inner_address_is_refused(everywhere: httpx.Client, number: int) -> None:
    bare = f"[{INNER[number]}]" if ":" in INNER[number] else INNER[number]
    says = "is not known, or not public"
    for host in (f"n{number}.test", f"mixed{number}.test"):
        response = ask(everywhere, f"http://{host}/red")
        refused(response, 422, says)
        assert INNER[number] not in response.json()["detail"].replace(host, "")
    refused(ask(everywhere, f"http://{bare}/red"), 422, says)


@pytest.mark.parametrize("host", ["unknown.test", "none.test", "localhost", "metadata.google.internal"])
def test_an_unknown_name_is_told_in_the_words_of_an_inner_one(everywhere: httpx.Client, host: str) -> None:
    told = ask(everywhere, f"http://{host}/").json()["detail"].replace(host, "x")
    assert told == ask(everywhere, "http://n1.test/").json()["detail"].replace("n1.test", "x")


@pytest.mark.parametrize("port", [22, 6379, 8080])
def test_any_public_host_is_its_web_ports_only(everywhere: httpx.Client, port: int) -> None:
    refused(ask(everywhere, f"http://n1.test:{port}/"), 422, "not allowed here")


def test_the_systems_own_names_for_this_machine_are_refused(tmp_path: Path, pictures: Site) -> None:
    hosts = f"localhost:{pictures.port},[::ffff:127.0.0.1]:{pictures.port},127.0.0.1:{pictures.port}"
    num_asked = len(pictures.heads)
    with service(tmp_path, hosts, look_up, is_public) as client:
        for host in ("localhost", "LOCALHOST.", "127.0.0.1", "[::ffff:7f00:1]"):
            refused(ask(client, f"http://{host}:{pictures.port}/red"), 422, "not public")
    assert len(pictures.heads) == num_asked


def test_a_name_is_looked_up_once_and_its_address_kept(tmp_path: Path, pictures: Site, trap: Site) -> None:
    names = Names(pictures=[[str(HERE)], [str(TRAP)]])
    with service(tmp_path, f"pictures.test:{pictures.port}", names) as client:
        url = f"http://pictures.test:{pictures.port}/red"
        assert ask(client, url).status_code == 200
        assert names.asked == ["pictures.test"]
        refused(ask(client, url), 422, "not public")  # the next request looks anew, at all of it
    assert trap.heads == []


def test_a_redirect_is_looked_up_and_checked_anew(tmp_path: Path, pictures: Site, trap: Site) -> None:
    names = Names(pictures=[[str(HERE)], [str(TRAP)]])
    with service(tmp_path, f"pictures.test:{pictures.port}", names) as client:
        refused(ask(client, f"http://pictures.test:{pictures.port}/once"), 422, "after a redirect, the host")
    assert names.asked == ["pictures.test"] * 2
    assert trap.heads == []


def test_a_redirect_inside_is_refused(tmp_path: Path, trap: Site) -> None:
    places = ("trap.test", str(TRAP), "[::1]", "169.254.169.254")
    scripts = {f"/{number}": redirect(f"//{place}:{trap.port}/red") for number, place in enumerate(places)}
    names = Names(pictures=[[str(HERE)]], trap=[[str(TRAP)]])
    with site(scripts) as pictures:
        hosts = ",".join(f"{place}:{trap.port}" for place in places) + f",pictures.test:{pictures.port}"
        with service(tmp_path, hosts, names) as client:
            for path in scripts:
                refused(ask(client, f"http://pictures.test:{pictures.port}{path}"), 422, "not public")
    assert trap.heads == []


def test_no_proxy_of_the_environment_is_asked(
    tmp_path: Path, pictures: Site, trap: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://{TRAP}:{trap.port}")
        monkeypatch.setenv(name.upper(), f"http://{TRAP}:{trap.port}")
    with (
        service(tmp_path, f"pictures.test:{pictures.port}", Names(pictures=[[str(HERE)]])) as running,
        httpx.Client(base_url=running.base_url, trust_env=False) as client,
    ):
        assert ask(client, f"http://pictures.test:{pictures.port}/red").status_code == 200
    assert trap.heads == []


def test_where_one_address_takes_no_connection_the_next_is_tried(tmp_path: Path, pictures: Site) -> None:
    dead = "127.0.0.3"
    names = Names(pictures=[[dead, str(HERE)]], dead=[[dead]])
    hosts = f"pictures.test:{pictures.port},dead.test:{pictures.port}"

    def here_or_dead(address: Address) -> bool:
        return here_is_public(address) or str(address) == dead

    with service(tmp_path, hosts, names, here_or_dead) as client:
        assert ask(client, f"http://pictures.test:{pictures.port}/red").status_code == 200
        response = ask(client, f"http://dead.test:{pictures.port}/red")
        refused(response, 422, "'dead.test' took no connection")
        assert dead not in response.text


@pytest.mark.clock
def test_a_name_server_that_is_silent_costs_its_callers_alone(tmp_path: Path, pictures: Site) -> None:
    found = threading.Event()

    def silent(host: str) -> Sequence[Address]:
        if host == "silent.test":
            found.wait(20)
        return [HERE]

    hosts = f"*.test:{pictures.port}"
    try:
        with service(tmp_path, hosts, silent, url_timeout_seconds=0.4, max_url_fetches=4) as client:
            with ThreadPoolExecutor(3) as pool:
                silent_url = f"http://silent.test:{pictures.port}/red"
                for response in pool.map(lambda _: ask(client, silent_url), range(3)):
                    refused(response, 504, "within 0.4 s")
            assert ask(client, f"http://pictures.test:{pictures.port}/red").status_code == 200
            vector = client.post("/embed", json={"text": "red"}).json()["embedding"]
            assert client.post("/search", json={"vector": vector}).status_code == 200  # runs in the loop's threads
    finally:
        found.set()


@pytest.mark.clock
def test_only_so_many_are_fetched_at_once(tmp_path: Path) -> None:
    def unhurried(connection: socket.socket) -> None:
        time.sleep(0.05)
        connection.sendall(answer(RED))

    with site({"/red": unhurried}) as pictures:
        names = Names(pictures=[[str(HERE)]])
        hosts = f"pictures.test:{pictures.port}"
        with service(tmp_path, hosts, names, max_url_fetches=2) as client, ThreadPoolExecutor(8) as pool:
            url = f"http://pictures.test:{pictures.port}/red"
            assert [r.status_code for r in pool.map(lambda _: ask(client, url), range(8))] == [200] * 8
        assert pictures.most_open == 2


def test_more_bytes_than_may_be_held_are_refused_for_now(tmp_path: Path) -> None:
    with site({"/large": answer(bytes(3000)), "/red": answer(RED)}) as pictures:
        names = Names(pictures=[[str(HERE)]])
        hosts = f"pictures.test:{pictures.port}"
        with service(tmp_path, hosts, names, max_pending_bytes=2000) as client:
            response = ask(client, f"http://pictures.test:{pictures.port}/large")
            assert response.status_code == 429
            assert response.headers["Retry-After"] == "1"
            for _ in range(20):  # and what was answered is held no more
                assert ask(client, f"http://pictures.test:{pictures.port}/red").status_code == 200


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for pictures.test, signed by itself."""
    if which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    path = tmp_path_factory.mktemp("tls") / "pictures.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", "2", "-subj", "/CN=pictures.test", "-addext", "subjectAltName=DNS:pictures.test",
         "-keyout", str(path), "-out", str(path.with_suffix(".crt"))],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return path


def test_a_certificate_is_verified_by_name_though_the_address_is_pinned(tmp_path: Path, certificate: Path) -> None:
    speaks = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    speaks.load_cert_chain(certificate.with_suffix(".crt"), certificate)
    believes = ssl.create_default_context(cafile=str(certificate.with_suffix(".crt")))
    names = Names(pictures=[[str(HERE)]], other=[[str(HERE)]])
    with site({"/red": answer(RED)}, tls=speaks) as pictures:
        port = pictures.port
        hosts = f"*.test:{port},127.0.0.1:{port}"
        with service(tmp_path, hosts, names, tls=believes) as client:
            assert ask(client, f"https://pictures.test:{port}/red").status_code == 200
            # Not over the connection that is already there, nor as the address that it leads to.
            for host in ("other.test", "127.0.0.1"):
                refused(
                    ask(client, f"https://{host}:{port}/red"), 422, "no certificate that is valid for that name"
                )
            refused(ask(client, f"http://pictures.test:{port}/red"), 422, "broke off")
        assert pictures.names == ["pictures.test", "other.test", None]
        with service(tmp_path, hosts, names) as client:  # which does not know who signed it
            refused(ask(client, f"https://pictures.test:{port}/red"), 422, "no certificate that is valid")
        assert len(pictures.heads) == 1


def test_a_host_that_speaks_no_tls_is_told(asking: httpx.Client, pictures: Site) -> None:
    refused(ask(asking, f"https://pictures.test:{pictures.port}/red"), 422, "does not speak TLS")
