"""The page's files as they are served: bounded, cached, closed to everything foreign."""

import re

import httpx
import pytest

from app.static_files import MEDIA_TYPES, WEB, read_files

FILES = sorted(path.name for path in WEB.iterdir())
MAX_BYTES = 200_000


def test_the_page_and_all_of_its_parts_are_served(client: httpx.Client) -> None:
    page = client.get("/")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    parts = re.findall(r'(?:src|href)="(web/[^"]+)"', page.text)
    assert {part.removeprefix("web/") for part in parts} == set(FILES) - {"index.html"}
    for part in parts:
        assert client.get(f"/{part}").status_code == 200, part


def test_it_is_small(client: httpx.Client) -> None:
    assert sum(len(client.get(f"/web/{name}").content) for name in FILES) < MAX_BYTES


def test_every_file_has_a_type_and_is_in_the_package() -> None:
    assert set(FILES) == set(read_files())
    assert all(f".{name.rpartition('.')[2]}" in MEDIA_TYPES for name in FILES)


@pytest.mark.parametrize("path", ["/", "/web/main.js", "/web/style.css", "/web/icon.svg"])
def test_it_is_kept_by_browsers_and_asked_for_again(client: httpx.Client, path: str) -> None:
    whole = client.get(path)
    assert whole.headers["Cache-Control"] == "no-cache"
    tag = whole.headers["ETag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}'):
        same = client.get(path, headers={"If-None-Match": known})
        assert (same.status_code, same.content, same.headers["ETag"]) == (304, b"", tag)
    assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize("path", ["/", "/web/main.js"])
def test_head_is_get_without_a_body(client: httpx.Client, path: str) -> None:
    head, whole = client.head(path), client.get(path)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("Content-Length", "Content-Type", "ETag", "Content-Security-Policy"):
        assert head.headers[name] == whole.headers[name]


@pytest.mark.parametrize("path", ["/", "/web/main.js"])
def test_nothing_foreign_and_nothing_inline_may_run(client: httpx.Client, path: str) -> None:
    headers = client.get(path).headers
    policy = dict(rule.split(" ", 1) for rule in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_no_file_names_another_host_or_writes_markup() -> None:
    for name in FILES:
        text = (WEB / name).read_text()
        links = set(re.findall(r"https?://[\w./-]+", text)) - {"http://www.w3.org/2000/svg"}
        assert not links, name
        assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|eval\(|style=\"|\son\w+=\"", text), (
            name
        )


@pytest.mark.parametrize(
    "name",
    [
        "../settings.py",
        "%2e%2e%2fsettings.py",
        "..%2F..%2FREADME.md",
        "....//main.py",
        "%2Fetc%2Fpasswd",
        "main.js%00.svg",
        "",
        "nothing.js",
        "..%5Cmain.py",
    ],
)
def test_no_path_leads_out(client: httpx.Client, name: str) -> None:
    answer = client.send(
        httpx.Request("GET", httpx.URL(str(client.base_url)).copy_with(raw_path=f"/web/{name}".encode()))
    )
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_the_page_is_no_part_of_the_document(client: httpx.Client) -> None:
    assert not [
        path for path in client.get("/openapi.json").json()["paths"] if path == "/" or path.startswith("/web")
    ]
