"""What may be sent again, and what is refused with the remedy."""

from __future__ import annotations

import pytest

from router_core.capture.record import Hop
from router_core.capture.replay import Refused, prepare
from tests.router_core.capture.samples import BODY, URL, record

AUTH = [("x-api-key", "sk-now")]
REMEDY = "name one: --to claude-work"


def hop() -> Hop:
    return record().attempts[1]


def test_the_current_credential_takes_the_place_of_the_recorded_one():
    made = prepare(hop(), AUTH, None, REMEDY)
    assert (made.method, made.url, made.body) == ("POST", URL, BODY)
    assert made.headers == [("content-type", "application/json"), ("x-api-key", "sk-now")]
    assert "sk-now" not in repr(made)


def test_without_a_credential_the_refusal_says_which_to_name():
    with pytest.raises(Refused, match=r"carried a credential \(x-api-key\).*--to claude-work"):
        prepare(hop(), None, None, REMEDY)


def test_another_address_gets_no_placeholder():
    made = prepare(hop(), None, "http://127.0.0.1:8317/anthropic/", REMEDY)
    assert made.url == "http://127.0.0.1:8317/anthropic/v1/messages"
    assert made.headers == [("content-type", "application/json")]


def test_a_key_of_the_query_is_taken_out():
    one = hop()
    one.request.url = "https://h/v1beta/x?key=redacted-secret-0123456789ab&alt=sse"
    assert prepare(one, [("x-goog-api-key", "k")], None, REMEDY).url == "https://h/v1beta/x?alt=sse"
    one.request.headers = []
    with pytest.raises(Refused, match=r"\(key\)"):
        prepare(one, None, None, REMEDY)


def test_account_headers_and_cookies_are_left_out_and_said():
    one = hop()
    one.request.headers += [
        ("chatgpt-account-id", "redacted-account-0123456789ab"),
        ("Cookie", "a=redacted-cookie-0123456789ab"),
    ]
    made = prepare(one, AUTH, None, REMEDY)
    assert made.left_out == ["chatgpt-account-id", "Cookie"]
    assert len(made.headers) == 2


def test_a_secret_inside_the_body_is_not_sent():
    one = hop()
    one.request.body.data = b'{"refresh_token":"redacted-secret-0123456789ab"}'
    with pytest.raises(Refused, match="--with-placeholders"):
        prepare(one, AUTH, None, REMEDY)
    assert prepare(one, AUTH, None, REMEDY, with_placeholders=True).body == one.request.body.data


def test_an_account_inside_the_body_is_content():
    one = hop()
    one.request.body.data = b'{"metadata":{"user_id":"redacted-account-0123456789ab"}}'
    assert prepare(one, AUTH, None, REMEDY).body == one.request.body.data


def test_what_had_no_credential_needs_none():
    one = hop()
    one.request.headers = [("accept", "*/*")]
    assert prepare(one, None, None, REMEDY).headers == [("accept", "*/*")]


def test_websockets_and_missing_requests_are_refused():
    one = hop()
    one.request.headers.append(("upgrade", "websocket"))
    with pytest.raises(Refused, match="WebSocket"):
        prepare(one, AUTH, None, REMEDY)
    with pytest.raises(Refused, match="no request"):
        prepare(Hop(), AUTH, None, REMEDY)
