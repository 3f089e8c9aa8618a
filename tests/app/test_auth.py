"""Who may ask, over HTTP, of an application with a route that writes."""

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.auth import WriteKey, is_loopback
from app.keys import hash_key
from app.main import create_app
from app.settings import Settings
from tests.fakes import make_service

KEY = "a-key-of-the-shop"
HASHES = f"shop:{hash_key(KEY.encode())},{hash_key(b'another')}"
ELSEWHERE = "203.0.113.9"


Asking = Callable[..., AbstractContextManager[TestClient]]


@pytest.fixture
def asking(seed_folder: Path) -> Asking:
    """A client at `host` of a service with the settings given, and a route PUT /note."""

    @contextmanager
    def start(host: str = ELSEWHERE, **values: object) -> Iterator[TestClient]:
        settings = Settings(num_workers=1, **values)
        app = create_app(settings, load=lambda settings: make_service(seed_folder, settings))

        @app.put("/note", dependencies=[WriteKey])
        async def note() -> str:
            return "written"

        with TestClient(app, "http://127.0.0.1:8000", client=(host, 50_000), follow_redirects=False) as client:
            yield client

    return start


@pytest.mark.parametrize(
    "headers", [{"Authorization": f"Bearer {KEY}"}, {"X-API-Key": KEY}, {"authorization": f"bEARER  {KEY}"}]
)
def test_a_write_from_elsewhere_needs_a_key_in_either_header(asking: Asking, headers: dict[str, str]) -> None:
    with asking(api_keys=HASHES) as client:
        assert client.put("/note", headers=headers).json() == "written"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {KEY}"},
        {"X-API-Key": hash_key(KEY.encode())},
        {"Authorization": "Bearer "},
    ],
)
def test_a_write_from_elsewhere_without_a_known_key_is_401_with_the_remedy(
    asking: Asking, headers: dict[str, str]
) -> None:
    with asking(api_keys=HASHES) as client:
        answer = client.put("/note", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "X-API-Key" in answer.json()["detail"]
    assert "wrong" not in answer.text


def test_a_write_from_elsewhere_is_refused_where_there_are_no_keys(asking: Asking) -> None:
    with asking() as client:
        assert client.put("/note", headers={"X-API-Key": KEY}).status_code == 401
        assert client.get("/models").status_code == 200


def test_this_machine_writes_without_a_key(asking: Asking) -> None:
    with asking("127.0.0.1") as client:
        assert client.put("/note").status_code == 200
        assert client.put("/note", headers={"Origin": "http://127.0.0.1:8000"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "127.0.0.1"},
        {"Forwarded": "for=127.0.0.1"},
        {"Via": "1.1 proxy"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Host": "evil.example:8000", "Origin": "http://evil.example:8000"},
        {"Origin": "http://["},
        {"X-Forwarded-Proto": "https"},
        {"Host": "["},
    ],
)
def test_a_proxy_or_a_web_page_on_this_machine_is_not_this_machine(
    asking: Asking, headers: dict[str, str]
) -> None:
    with asking("127.0.0.1") as client:
        assert client.put("/note", headers=headers).status_code == 401


@pytest.mark.parametrize("behind", [{"root_path": "/shop"}, {"forwarded_allow_ips": "127.0.0.1"}])
def test_behind_a_proxy_nobody_is_this_machine(asking: Asking, behind: dict[str, str]) -> None:
    """nginx, by its defaults, sends Host: 127.0.0.1:8000 and no header of its own."""
    with asking("127.0.0.1", **behind) as client:
        assert client.put("/note").status_code == 401


def test_none_lets_everyone_write(asking: Asking) -> None:
    with asking(require_key="none") as client:
        assert client.put("/note").status_code == 200


@pytest.mark.parametrize("root_path", ["", "/shop"])
def test_all_needs_a_key_for_everything_but_health(asking: Asking, root_path: str) -> None:
    with asking("127.0.0.1", require_key="all", api_keys=HASHES, root_path=root_path) as client:
        for path in ("/models", "/metrics", "/docs", "/openapi.json", "/nowhere", "/healthy", "/health", "/webs"):
            assert client.get(f"{root_path}{path}").status_code == 401
        assert client.put("/note").status_code == 401
        for path in ("/health/live", "/health/ready", "/health/startup", "/", "/web/main.js"):
            assert client.get(f"{root_path}{path}").status_code == 200
        assert client.get(f"{root_path}/openapi.json", headers={"X-API-Key": KEY}).status_code == 200
        assert client.put("/note", headers={"X-API-Key": KEY}).status_code == 200


def test_the_log_knows_the_name_of_a_key_and_never_the_key(
    asking: Asking, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG), asking(api_keys=HASHES) as client:
        client.put("/note", headers={"X-API-Key": KEY})
        client.put("/note", headers={"X-API-Key": "a-wrong-one"})
    good, bad = (made.fields for made in caplog.records if made.name == "app.telemetry")
    assert good["key"] == "shop"
    assert (bad["status"], bad.get("key")) == (401, None)
    assert not any(word in str(made.__dict__) for made in caplog.records for word in (KEY, "a-wrong-one"))


def test_the_document_states_both_ways_to_send_a_key(asking: Asking) -> None:
    with asking(api_keys=HASHES) as client:
        document = client.get("/openapi.json").json()
    assert len(document["paths"]["/note"]["put"]["security"]) == 2
    assert "security" not in document["paths"]["/predict"]["post"]


PREFLIGHT = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}


def test_no_site_may_ask_from_a_browser_unless_it_is_named(asking: Asking) -> None:
    with asking() as client:
        assert client.options("/predict", headers=PREFLIGHT).status_code == 405
        answer = client.get("/models", headers={"Origin": "https://shop.example"})
        assert "Access-Control-Allow-Origin" not in answer.headers
    with asking(cors_origins="https://shop.example", require_key="all", api_keys=HASHES) as client:
        answer = client.options("/predict", headers=PREFLIGHT)
        assert answer.headers["Access-Control-Allow-Origin"] == "https://shop.example"
        assert (
            client.options("/predict", headers={**PREFLIGHT, "Origin": "https://evil.example"}).status_code == 400
        )


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),  # noqa: S104
        ("10.0.0.1", False),
        ("shop.example", False),
    ],
)
def test_loopback_is_this_machine(host: str, own: bool) -> None:
    assert is_loopback(host) is own
