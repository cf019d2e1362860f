"""URLs, hosts, addresses and header fields of the configuration."""

from __future__ import annotations

import pytest

from router_core.config.problems import Problem, nearest, shown
from router_core.config.values import (
    base_url_faults,
    header_faults,
    is_host,
    is_loopback,
    parse_address,
    proxy_faults,
)


@pytest.mark.parametrize(
    "url",
    [
        "https://api.openai.com/v1",
        "https://h:8443",
        "http://127.0.0.1:8000/v1",
        "http://[::1]:80",
        "http://localhost/",
        "http://a.localhost",
    ],
)
def test_base_urls_that_are_taken(url: str) -> None:
    assert base_url_faults(url, insecure=False) == []


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("api.openai.com/v1", "is not a URL"),
        ("ftp://h/x", "is not a URL"),
        ("https://", "is not a URL"),
        ("https://h:port/", "is not a URL"),
        ("https://h:99999/", "is not a URL"),
        ("https://exa mple/", "is not a URL"),
        ("https://h\\@evil/", "is not a URL"),
        ("https://*.example.com/", "is not a URL"),
        ("https://1.2.3/", "is not a URL"),
        ("https://user:hunter2@h/", "holds a user or a password"),
        ("https://h/v1?key=x", "has a query or a fragment"),
        ("https://h/v1#x", "has a query or a fragment"),
        ("https://h/v1/../admin", "goes through . or .."),
        ("https://h/%2e%2e/admin", "goes through . or .."),
        ("http://10.0.0.1:8000/v1", "over plain http"),
        ("http://localhost.example.com/", "over plain http"),
    ],
)
def test_base_urls_that_are_not(url: str, what: str) -> None:
    faults = base_url_faults(url, insecure=False)
    assert any(what in fault for fault, _ in faults)
    assert "hunter2" not in str(faults)


def test_plain_http_where_it_was_allowed() -> None:
    assert base_url_faults("http://10.0.0.1/v1", insecure=True) == []


@pytest.mark.parametrize(
    "url", ["http://u:p@h:3128", "https://h:1", "socks5://h:1080", "socks5h://127.0.0.1:9050/"]
)
def test_proxies_that_are_taken(url: str) -> None:
    assert proxy_faults(url) == []


@pytest.mark.parametrize("url", ["h:3128", "ftp://h", "http://h:1/path", "http://u:hunter2@h:1/?q"])
def test_proxies_that_are_not(url: str) -> None:
    faults = proxy_faults(url)
    assert len(faults) == 1
    assert "hunter2" not in str(faults)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("[::1]:0", ("::1", 0)),
        ("localhost:80", ("localhost", 80)),
        ("box.lan:65535", ("box.lan", 65535)),
        ("127.0.0.1", None),
        (":8080", None),
        ("::1:8080", None),
        ("[::g]:80", None),
        ("[127.0.0.1]:80", None),
        ("127.0.0.1:65536", None),
        ("127.0.0.1:8o", None),
        ("127.0.0.1:٨", None),
        ("http://127.0.0.1:80", None),
        ("", None),
    ],
)
def test_addresses(text: str, address: tuple[str, int] | None) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("api.example.com", True),
        ("API.Example.com.", True),
        ("localhost", True),
        ("127.0.0.1", True),
        ("::1", True),
        ("_acme.example.com", True),
        ("*.example.com", False),
        ("example.com:443", False),
        ("https://example.com", False),
        ("example..com", False),
        ("-a.com", False),
        ("1.2.3", False),
        ("a" * 64 + ".com", False),
        ("", False),
        ("bücher.de", False),
    ],
)
def test_hosts(text: str, good: bool) -> None:
    assert is_host(text) is good


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("[::1]", True),
        ("0.0.0.0", False),
        ("::", False),
        ("127.0.0.1.evil.com", False),
    ],
)
def test_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_header_fields() -> None:
    assert header_faults({"x-team": "blue", "X_Y": ""}) == []
    found = header_faults({"x team": "1", "x-a": "b\r\nx-evil: 1", "Host": "h"})
    assert [name for name, _ in found] == ["x team", "x-a", "Host"]
    assert "evil" not in str([fault for _, fault in found])


@pytest.mark.parametrize(
    "secret",
    [
        "sk-ant-api03-abcdefghij",
        "sk-proj-0123456789",
        "AIzaSyA1234567",
        "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
        "ck_12.abcdefghijklmnopqrstuvwx",
        "xai-abcdefgh12345678",
        "Bearer abcdefgh",
        "0123456789abcdef0123456789abcdef",
        "x" * 300,
    ],
)
def test_a_secret_in_the_wrong_place_is_not_shown(secret: str) -> None:
    assert secret[3:] not in shown(secret)
    assert secret[3:] not in shown(f"before {secret} after")


def test_what_is_harmless_is_shown() -> None:
    assert shown("anthropic/claude-sonnet-4-5") == "'anthropic/claude-sonnet-4-5'"
    assert shown("http://user:pw@h:1") == "'http://***@h:1'"
    assert shown("a\nb") == r"'a\nb'"
    assert (shown(3), shown(True), shown(None), shown([1])) == ("3", "True", "None", "list")


def test_nearest_name() -> None:
    assert nearest("antropic", ["openai", "anthropic"]) == "did you mean 'anthropic'?"
    assert nearest("zzz", ["openai", "anthropic"]) == ""


def test_a_problem_as_one_line() -> None:
    assert str(Problem("c.yaml", 3, "wrong", "mend it")) == "c.yaml:3: wrong; mend it"
    assert str(Problem("c.yaml", 0, "cannot be read")) == "c.yaml: cannot be read"
