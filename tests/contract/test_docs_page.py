"""/docs works without internet, behind a proxy and under a strict policy; a slash too many leads nowhere."""

import re
from urllib.parse import urljoin

import httpx
import pytest

from tests.contract.conftest import Start


def test_the_page_loads_only_what_this_service_has(client: httpx.Client) -> None:
    page = client.get("/docs")
    assert page.status_code == 200
    assert page.headers["Content-Type"].startswith("text/html")
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self';")
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert "docs/swagger-ui-bundle.js" in loaded
    for address in loaded:
        assert not re.match(r"\w+:|//|/", address), address
        answer = client.get(urljoin("/docs", address))
        assert answer.status_code == 200
        assert answer.content
    assert client.get("/docs/swagger-ui-bundle.js").headers["Content-Type"].startswith("text/javascript")
    assert client.get("/docs/swagger-ui.css").headers["Content-Type"].startswith("text/css")
    assert 'url: "openapi.json"' in client.get("/docs/start.js").text
    assert not re.search(r"<script>|\son\w+=", page.text)  # which the policy would not run


@pytest.mark.parametrize("path", ["/docs/nothing.js", "/docs/..%2fmain.py", "/docs/oauth2-redirect", "/redoc"])
def test_there_is_nothing_else(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/problem+json")


@pytest.mark.parametrize("root_path", ["", "/shop"])
@pytest.mark.parametrize("path", ["/predict/", "/models/", "/docs/", "/galleries/fashion/search/"])
def test_a_slash_too_many_is_told_and_not_redirected(start: Start, root_path: str, path: str) -> None:
    answer = start(root_path=root_path).request("POST" if "predict" in path else "GET", path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/problem+json")
    assert "none ends with a slash" in answer.json()["detail"]


def test_behind_a_proxy_the_document_says_where_the_service_is(start: Start) -> None:
    assert start(root_path="/shop").get("/openapi.json").json()["servers"] == [{"url": "/shop"}]
