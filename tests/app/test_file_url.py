"""URLs taken apart, redirects joined, and hosts allowed."""

import contextlib
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.file_url import AllowedHosts, FileUrl, UrlError


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("http://a.example", ("http", "a.example", 80, "/")),
        ("HTTPS://A.Example/B?c=D", ("https", "a.example", 443, "/B?c=D")),
        ("https://a.example?c", ("https", "a.example", 443, "/?c")),
        ("https://a.example:8443/#part", ("https", "a.example", 8443, "/")),
        ("https://a.example./b", ("https", "a.example", 443, "/b")),
        ("https://a.example/b@c:d", ("https", "a.example", 443, "/b@c:d")),
        ("https://xn--bcher-kva.example/", ("https", "xn--bcher-kva.example", 443, "/")),
        ("http://1.2.3.4/", ("http", "1.2.3.4", 80, "/")),
        ("http://1.2.3.4./", ("http", "1.2.3.4", 80, "/")),
        ("http://[2606:4700:0:0::1111]:80/", ("http", "2606:4700::1111", 80, "/")),
    ],
)
def test_a_url_is_taken_apart(text: str, parts: tuple[str, str, int, str]) -> None:
    url = FileUrl.parse(text)
    assert (url.scheme, url.host, url.port, url.target) == parts


ODD = (
    "", "a.example/b", "//a.example/", "http:a.example", "http:/a.example", "http:///a", "http://", "http://:80/",
    "ftp://a.example/", "file:///etc/passwd", "data:image/png;base64,AAAA", "gopher://a.example/",
    "javascript:alert(1)", "unix:///run/x", "http+unix://a/",
    "http://good@evil.example/", "http://a:b@evil.example/", "http://good.example:80@evil.example/",
    "http://a.example\\@evil.example/", "http:\\\\a.example\\", "http://a.example/b\\c",
    "http://a.example/\r\nHost: b", "http://a.example/a b", "http://a.exa\tmple/", " http://a.example/",
    "http://a.example/\n", "http://a.example\x00.evil.example/", "http://a.example/\x7f", "http://a.example/\ud800",
    "http://bücher.example/", "http://ⓐ.example/", "http://a。example/", "http://\uff11\uff12\uff17.0.0.1/",
    "http://a%2eexample/", "http://a.example:/", "http://a.example:0/", "http://a.example:65536/",
    "http://a.example:80:80/", "http://a.example:+80/", "http://a.example:٨٠/", "http://a..example/",
    "http://.example/", "http://a.example../", "http://-a.example/", "http://a-.example/", "http://a,b.example/",
    f"http://{'a' * 64}.example/", f"http://{'a.' * 127}example/", f"http://a.example/{'b' * 2048}",
    "http://2130706433/", "http://017700000001/", "http://0x7f000001/", "http://0x7f.0.0.1/", "http://0177.0.0.1/",
    "http://127.1/", "http://127.0.0.01/", "http://1.2.3.4.5/", "http://256.0.0.1/", "http://a.1/", "http://a.0x1/",
    "http://1.2.3.0x4/", "http://0x/", "http://[::1/", "http://[1.2.3.4]/", "http://[]/", "http://[::1]a/",
    "http://[fe80::1%25eth0]/", "http://[v1.a]/", "http://::1/",
)  # fmt: skip


@pytest.mark.parametrize("text", ODD)
def test_an_odd_spelling_is_refused(text: str) -> None:
    with pytest.raises(UrlError, match=r"\. |spelt"):
        FileUrl.parse(text)


@given(st.text() | st.from_regex(r"https?://[!-~]{0,30}", fullmatch=True))
def test_what_is_taken_has_one_plain_host(text: str) -> None:
    with contextlib.suppress(UrlError):
        url = FileUrl.parse(text)
        assert FileUrl.parse(f"{url.scheme}://{url.authority}{url.target}") == url
        assert url.target[0] == "/"
        assert url.target.isascii()
        assert url.target.isprintable()
        if url.host.rpartition(".")[2].isdigit() or ":" in url.host:
            assert str(ip_address(url.host)) == url.host


@pytest.mark.parametrize(
    ("location", "whither"),
    [
        ("/c", "https://a.example/c"),
        ("c", "https://a.example/b/c"),
        ("?c", "https://a.example/b/?c"),
        ("//c.example/d", "https://c.example/d"),
        ("https://c.example:8443/d", "https://c.example:8443/d"),
    ],
)
def test_a_redirect_is_followed_from_where_it_stands(location: str, whither: str) -> None:
    assert FileUrl.parse("https://a.example/b/").join(location) == FileUrl.parse(whither)


@pytest.mark.parametrize(
    "location",
    [
        "http://a.example/",
        "file:///etc/passwd",
        "ftp://a.example/",
        "\\\\evil.example/",
        "/a b",
        "//[",
        "//u@b/",
        "é",
    ],
)
def test_a_redirect_that_no_image_needs_is_refused(location: str) -> None:
    with pytest.raises(UrlError):
        FileUrl.parse("https://a.example/b/").join(location)


def test_a_way_from_http_to_https_is_allowed() -> None:
    url = FileUrl.parse("http://a.example/").join("https://a.example/")
    assert (url.scheme, url.port) == ("https", 443)


@pytest.mark.parametrize(
    ("entries", "text"),
    [
        ("a.example", "https://A.example./b"),
        ("A.Example.", "http://a.example/"),
        ("*.a.example", "http://b.a.example/"),
        ("*.a.example", "http://c.b.a.example/"),
        ("*", "https://b.example/"),
        ("a.example:8443", "https://a.example:8443/"),
        ("b.example,a.example", "http://a.example/"),
        ("[2606:4700:0::1]", "http://[2606:4700::1]/"),
        ("[2606:4700::1]:81", "http://[2606:4700::1]:81/"),
    ],
)
def test_a_host_on_the_list_is_allowed(entries: str, text: str) -> None:
    AllowedHosts.parse(entries.split(",")).check(FileUrl.parse(text))


@pytest.mark.parametrize(
    ("entries", "text"),
    [
        ("a.example", "https://b.a.example/"),
        ("a.example", "https://xa.example/"),
        ("a.example", "https://a.example.evil.example/"),
        ("a.example", "https://a.example:8443/"),
        ("a.example:8443", "https://a.example/"),
        ("*.a.example", "https://a.example/"),
        ("*.a.example", "https://xa.example/"),
        ("*", "http://a.example:6379/"),
        ("a.example", "http://1.2.3.4/"),
    ],
)
def test_any_other_is_refused(entries: str, text: str) -> None:
    with pytest.raises(UrlError, match="not allowed here"):
        AllowedHosts.parse(entries.split(",")).check(FileUrl.parse(text))


@pytest.mark.parametrize(
    "entry",
    ["http://a.example", "a.example/b", "a.*", "*a.example", "*:80", "**", "a b", "127.1", "::1", "u@a", "a:b"],
)
def test_an_entry_that_is_no_host_is_refused_with_a_remedy(entry: str) -> None:
    with pytest.raises(ValueError, match=r"is no host. Write shop\.example"):
        AllowedHosts.parse([entry])
