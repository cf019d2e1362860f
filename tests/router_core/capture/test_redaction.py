"""Secrets in every place of the wire, and words that are none."""

from __future__ import annotations

import base64
import itertools
import json
import re
from urllib.parse import quote

import pytest
from hypothesis import given, strategies as st

from router_core.capture.chunks import ChunkRedactor
from router_core.capture.placeholders import PLACEHOLDER
from router_core.capture.redaction import Redactor
from router_core.capture.spans import place_of

KEY = b"k" * 32
SECRET = "sk-ant-api03-Planted_0123456789abcdef"

TOKENS = [
    SECRET,
    "sk-proj-abcdefghijkl0123",
    "ck_abc123.Secret-part_99",
    "AIzaSyA1234567890abcdefghijklmnopqrstuv",
    "ya29.a0AfH6SMBxxxxxxxxxxxx-yyyy",
    "1//0gabcdefghijklmnopqrstuv",
    "gho_abcdefghijklmnopqrst0123456789",
    "github_pat_11ABCDEFG0abcdefghijkl",
    "xai-abcdefghijklmnopqrstuvwx",
    "gsk_abcdefghijklmnopqrstuvwx",
    "hf_abcdefghijklmnopqrstuvwx",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.sig_nature-x",
    "AKIAIOSFODNN7EXAMPLE",
    "0123456789abcdef0123456789abcdef.AbCdEfGhIjKlMnOp",
    "eyJhbGciOiJSU0EtT0FFUCJ9.ZW5jcnlwdGVk.aXYwMTIz.Y2lwaGVydGV4dA.dGFnMDEy",
]
HEADERS = [
    ("authorization", f"Bearer {SECRET}"),
    ("Authorization", "Basic dXNlcjpwYXNzd29yZA=="),
    ("proxy-authorization", "Basic dXNlcjpwYXNzd29yZA=="),
    ("x-api-key", "anything at all"),
    ("api-key", "0123"),
    ("X-Goog-Api-Key", "shape-that-nobody-knows"),
    ("x-amz-security-token", "FwoGZXIvYXdzE"),
    ("x-csrf-token", "abcdef"),
    ("cookie", "session=planted; theme=planted"),
    ("set-cookie", "session=planted; Path=/; HttpOnly"),
    ("chatgpt-account-id", "planted"),
    ("openai-organization", "org-planted"),
    ("location", "https://app.example/cb?code=planted&state=planted"),
    ("referer", "https://app.example/#access_token=planted"),
    ("x-anything", f"see {SECRET}"),
    ("authentication", "planted"),
    ("x-functions-key", "planted"),
    ("x-csrftoken", "planted"),
    ("set-cookie2", "planted"),
    ("x-enterprise-id", "planted"),
    ("x-original-url", "/cb?code=planted"),
    ("sec-websocket-protocol", "realtime, openai-insecure-api-key.planted-key-1"),
]


@pytest.fixture
def redactor() -> Redactor:
    return Redactor(KEY)


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize(
    "around",
    ["{}", 'x "{}" y', '{{"text":"line\\n{}"}}', "see {}, please", "a=%20{}&b", "\\u0041 {}", "({})"],
)
def test_a_token_is_known_by_its_shape_wherever_it_stands(redactor, token, around):
    out = redactor.text(around.format(token))
    assert token not in out
    assert PLACEHOLDER.search(out)
    assert PLACEHOLDER.sub("{}", out) == around.format("{}")


@pytest.mark.parametrize(("name", "value"), HEADERS)
def test_headers_that_carry_credentials_or_accounts(redactor, name, value):
    [(same_name, out)] = redactor.headers([(name, value)])
    assert same_name == name
    assert PLACEHOLDER.search(out)
    for secret in ("planted", SECRET, "dXNlcj", "anything at all", "0123", "shape-that", "FwoGZ", "abcdef"):
        assert secret not in PLACEHOLDER.sub("", out)


def test_what_is_public_in_a_header_stays(redactor):
    out = dict(redactor.headers(HEADERS))
    assert out["authorization"].startswith("Bearer redacted-secret-")
    assert re.fullmatch(r"session=\S+; theme=\S+", out["cookie"])
    assert out["set-cookie"].endswith("; Path=/; HttpOnly")
    assert out["sec-websocket-protocol"].startswith("realtime, openai-insecure-api-key.redacted-")


@pytest.mark.parametrize(
    "header",
    [
        ("anthropic-ratelimit-input-tokens-remaining", "4000"),
        ("x-ratelimit-remaining-tokens", "149984"),
        ("x-request-id", "req_011CSHoEeqs5C35K2UUqR7Fy"),
        ("user-agent", "claude-cli/2.0.14 (external, cli)"),
        ("www-authenticate", 'Bearer authorization_uri="https://login.example/x"'),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("idempotency-key", "stainless-python-retry-0f8fad5b"),
        ("content-type", "text/event-stream; charset=utf-8"),
    ],
)
def test_headers_that_are_no_secret_stay(redactor, header):
    assert redactor.headers([header]) == [header]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "/v1beta/models/g:generateContent?key=AIza&alt=sse",
            r"/v1beta/models/g:generateContent\?key=P&alt=sse",
        ),
        ("https://h/cb?code=a%2Fb&state=x#y", r"https://h/cb\?code=P&state=P#y"),
        ("https://user:pass@h/p", r"https://P@h/p"),
        ("https://h/p#access_token=abc&token_type=bearer", r"https://h/p#access_token=P&token_type=bearer"),
        (f"https://h/keys/{SECRET}/x", r"https://h/keys/P/x"),
        ("https://h/p?X-Amz-Signature=abc&page=2", r"https://h/p\?X-Amz-Signature=P&page=2"),
        ("https://h/p?api%5Fkey=abc&user[password]=b", r"https://h/p\?api%5Fkey=P&user\[password\]=P"),
        (
            "https://h/in?next=https%3A%2F%2Fx%3Fcode%3Dabc%26a%3D1",
            r"https://h/in\?next=https%3A%2F%2Fx%3Fcode%3DP%26a%3D1",
        ),
        (
            "https://h/api/organizations/0f8fad5b-d9cb-469f-a165-70867728950e/x",
            r"https://h/api/organizations/P/x",
        ),
        ("https://h/api/organizations/metrics_enabled", r"https://h/api/organizations/metrics_enabled"),
        ("https://h/p?pageToken=abc0123456789def", r"https://h/p\?pageToken=abc0123456789def"),
        ("https://h/v1/models?after_id=abc&limit=20", r"https://h/v1/models\?after_id=abc&limit=20"),
    ],
)
def test_urls(redactor, url, expected):
    assert re.fullmatch(expected.replace("P", PLACEHOLDER.pattern), redactor.url(url))


@pytest.mark.parametrize(
    "member",
    [
        '"access_token": "planted"',
        '"refreshToken":"planted"',
        '"client_secret" : "planted"',
        '"OPENAI_API_KEY": "planted"',
        '"password": "pla\\"nted"',
        '"private_key": "-----BEGIN PRIVATE KEY-----\\nplanted and more\\n-----END PRIVATE KEY-----"',
        '"arguments": "{\\"api_key\\": \\"planted\\"}"',
        '"arguments": "{\\\\\\"password\\\\\\": \\\\\\"planted\\\\\\"}"',
        '"user_id": "user_planted_account_planted"',
        '"organization_uuid":"planted"',
        '"account_id": 123450000',
        '"email": "planted@home"',
        '"text": "write to some.body@example.org now"',
        '"text": "ANTHROPIC_API_KEY=planted0123456789"',
        '"api_keys": ["planted", "planted-2"]',
        '"env": [{"name": "OPENAI_API_KEY", "value": "planted"}]',
        '"headers": [["authorization", "Token planted0123456789"]]',
        '"token": "planted0123456789"',
        '"text": "curl -H \\"Authorization: Token planted0123456789\\" -u me:planted"',
        '"text": "tool --api-key planted0123456789"',
        '"text": "postgres://me:planted@db/x and https://h/x?a=1&sig=planted0123456789"',
        '"text": "<apiKey>planted</apiKey>"',
        '"text": "Authorization: Basic cGxhbnRlZDpwbGFudGVk"',
    ],
)
def test_members_of_a_json_body(redactor, member):
    body = f'{{"a": 1, {member}, "z": "Z"}}'
    out = redactor.redact(body.encode()).decode()
    for secret in ("planted", "nted", "123450000", "some.body", "cGxhbnRl"):
        assert secret not in out
    assert json.loads(out)["z"] == "Z"


@pytest.mark.parametrize(
    "body",
    [
        '{"max_tokens": 100, "usage": {"output_tokens": 5}, "token": " the", "next_page_token": "abc"}',
        '{"logprobs": [{"token": "Hello", "logprob": -0.1}]}',
        '{"properties": {"password": {"type": "string"}, "email": {"type": "string"}}}',
        '{"text": "password = get_password()\\n@app.route(x)\\nimport key; key: value"}',
        '{"text": "git@github.com:a/b.git and icon@2x.png, api_key=os.environ"}',
        '{"signature": "EqQBCgIYAhIkMDEyMzQ1Njc4OWFiY2RlZg==", "encrypted_content": "gAAAAABo1234567890"}',
        '{"api_key": "$OPENAI_API_KEY", "secret": "***", "password": ""}',
        '{"id": "chatcmpl-CXnZgXq3pLFbZz4jJ2sVw7nH0aR1k", "system_fingerprint": "fp_0123456789abcdef"}',
        '{"code": "rate_limit_exceeded", "state": "done", "key": "value"}',
        '{"text": "Enter your password:", "type": "text", "z": ["my secret=\\\\", "api_key: \'"]}',
        '{"text": "Basic authentication", "pwd": "/home/user1/project", "secrets": ["GITHUB_TOKEN"], "credentials": "include"}',
        '{"required": ["password", "email"], "url": "https://h/?key=value&page=2"}',
    ],
)
def test_words_that_only_look_secret_stay(redactor, body):
    assert redactor.redact(body.encode()).decode() == body


def test_forms_and_login_traffic(redactor):
    place = place_of("auth.example.com", "/oauth/token", "application/x-www-form-urlencoded")
    body = b"grant_type=authorization_code&code=planted&code_verifier=planted&client_id=app&client_secret=pl%2Fanted&username=planted"
    out = redactor.redact(body, place)
    assert b"planted" not in out and b"anted" not in out
    assert out.startswith(b"grant_type=authorization_code&code=redacted-secret-")
    assert b"&client_id=app&" in out
    answer = redactor.redact(b'{"access_token":"planted","code":"planted","expires_in":3600}', place)
    assert b"planted" not in answer and b'"expires_in":3600' in answer


def test_what_a_login_gave_out_is_redacted_later_too(redactor):
    place = place_of("auth.example.com", "/oauth/token", "application/json")
    redactor.redact(b'{"access_token":"no-known-shape-1234567890"}', place)
    assert b"no-known" not in redactor.redact(b'{"echo":"you sent no-known-shape-1234567890"}')


@pytest.mark.parametrize("name", ['name="client_secret"', "name=client_secret", 'filename="f"; name="key"'])
@pytest.mark.parametrize("value", ["planted", "two lines:\r\nplanted"])
def test_multipart_forms(redactor, name, value):
    field = "--b\r\nContent-Disposition: form-data; {}\r\nContent-Type: text/plain\r\n\r\n{}\r\n"
    body = (field.format(name, value) + field.format('name="purpose"', "batch") + "--b--\r\n").encode()
    place = place_of("h", "/upload", "multipart/form-data; boundary=b")
    chunks = ChunkRedactor(redactor, place)
    pieces = [piece for line in body.splitlines(True) for piece in chunks.feed([(0.0, line)])]
    for out in (redactor.redact(body, place), b"".join(p.data for p in (*pieces, *chunks.close()))):
        assert b"planted" not in out and b"batch" in out and out.endswith(b"--b--\r\n")


def test_json_whose_values_are_on_other_lines_than_their_keys(redactor):
    chunks = ChunkRedactor(redactor, place_of("h", "/x", "application/json"))
    body = b'{\n"a": 1,\n"access_token":\n\n"planted",\n"api_keys": [\n"planted",\n"planted"\n],\n"z": "Z"}\n'
    pieces = [piece for line in body.splitlines(True) for piece in chunks.feed([(0.0, line)])]
    out = b"".join(p.data for p in (*pieces, *chunks.close()))
    assert b"planted" not in out and json.loads(out)["z"] == "Z"


def test_forms_hold_urls_and_json(redactor):
    place = place_of("h", "/x", "application/x-www-form-urlencoded")
    body = b"payload=%7B%22password%22%3A%22planted%22%7D&api%5Fkey=planted&user%5Bpassword%5D=planted&z=1"
    out = redactor.redact(body, place)
    assert b"planted" not in out and out.startswith(b"payload=%7B%22password%22%3A%22redacted-secret-")
    assert out.endswith(b"&z=1")


@pytest.mark.parametrize("count", [1, 3, len(SECRET)])
@pytest.mark.parametrize("escape", ["\\u{:04x}", "\\u{:04X}", "%{:02x}", "\\\\u{:04x}"])
def test_needless_escapes_hide_nothing(redactor, count, escape):
    escaped = "".join(escape.format(ord(c)) for c in SECRET[:count]) + SECRET[count:]
    placeholder = redactor.placeholder("secret", SECRET.encode()).decode()
    expected = f'{{"text":"is {placeholder}."}}'
    if "\\\\" in escape:
        # The placeholder of JSON within JSON is its own.
        assert SECRET[count:] not in redactor.text(f'{{"text":"is {escaped}."}}') or count == len(SECRET)
        assert "redacted-secret-" in redactor.text(f'{{"text":"is {escaped}."}}')
    else:
        assert redactor.text(f'{{"text":"is {escaped}."}}') == expected
    assert "planted" not in redactor.text('{"api\\u005fkey":"planted"}')


@pytest.mark.parametrize("before", ["", "a:", "me:", "you:"])
def test_a_known_secret_within_base64(redactor, before):
    secret = "Zq8Lm3Vt7Pw2Rk5Nd1Xy"
    redactor.know([secret])
    encoded = base64.b64encode(f"{before}{secret}:".encode()).decode().rstrip("=")
    out = PLACEHOLDER.sub("", redactor.text(f'{{"text":"{encoded}"}}'))
    assert not any(encoded[at : at + 8] in out for at in range(len(before) * 2, len(encoded) - 8))
    assert redactor.placeholder("secret", secret.encode()).decode() in redactor.text(f"({encoded})")
    assert secret.encode().hex() not in redactor.text(secret.encode().hex())


def test_the_length_that_protocol_buffers_write_before_a_text_hides_nothing(redactor):
    token = SECRET + "x" * (ord("l") - len(SECRET))
    assert token.encode() not in redactor.redact(b"\0\0\0\0\x70\x0al" + token.encode() + b"\x12\x01a")


@pytest.mark.parametrize("secret", ["hunter2", "p/ss+w=rd with spaces", "schlüssel-ü-0123456789", SECRET])
def test_known_secrets_are_redacted_in_every_spelling(redactor, secret):
    redactor.know([secret])
    spellings = [
        secret,
        quote(secret, safe=""),
        json.dumps(secret)[1:-1],
        base64.b64encode(secret.encode()).decode(),
    ]
    placeholder = redactor.placeholder("secret", secret.encode()).decode()
    for spelling in spellings:
        assert redactor.text(f"<{spelling}>") == f"<{placeholder}>"


def test_one_secret_has_one_placeholder_everywhere(redactor):
    places = [
        redactor.header("authorization", f"Bearer {SECRET}"),
        redactor.header("x-api-key", SECRET),
        redactor.url(f"/p?key={SECRET}"),
        redactor.redact(f'{{"api_key":"{SECRET}"}}'.encode()).decode(),
        redactor.redact(f"Incorrect API key provided: {SECRET}.".encode()).decode(),
    ]
    found = {PLACEHOLDER.search(place)[2] for place in places}
    assert len(found) == 1
    assert found == {PLACEHOLDER.search(Redactor(KEY).header("x-api-key", SECRET))[2]}
    assert found != {PLACEHOLDER.search(Redactor(b"x" * 32).header("x-api-key", SECRET))[2]}


def test_placeholders_are_not_redacted_again(redactor):
    body = f'{{"api_key":"{SECRET}","email":"a.b@example.org","user_id":"u1234"}}'.encode()
    once = redactor.redact(body)
    assert redactor.redact(once) == once
    assert redactor.header("x-api-key", "redacted-secret-0123456789ab") == "redacted-secret-0123456789ab"


UUID = "0f8fad5b-d9cb-469f-a165-70867728950e"
IDENTITIES = {
    "anthropic profile": (
        "https://api.anthropic.com/api/oauth/profile",
        {"account": {"uuid": UUID, "full_name": "Planted Name", "email": "planted@example.org"},
         "organization": {"uuid": UUID, "name": "Planted Corp", "organization_type": "claude_max"}},
    ),
    "anthropic tokens": (
        "https://console.anthropic.com/v1/oauth/token",
        {"access_token": "planted-1", "expires_in": 28800, "account": {"uuid": UUID, "email_address": "planted@example.org"},
         "organization": {"uuid": UUID, "name": "Planted Corp"}},
    ),
    "anthropic roles": (
        "https://api.anthropic.com/api/oauth/claude_cli/roles",
        {"organization_uuid": UUID, "organization_name": "Planted Corp", "organization_role": "admin"},
    ),
    "anthropic metadata": (
        "https://api.anthropic.com/v1/messages",
        {"model": "m", "metadata": {"user_id": f"user_planted_account_{UUID}_session_1"}},
    ),
    "chatgpt usage": (
        "https://chatgpt.com/backend-api/wham/usage",
        {"user_id": "user-planted", "account_id": UUID, "email": "planted@example.org", "plan_type": "plus"},
    ),
    "openai me": (
        "https://api.openai.com/v1/me",
        {"object": "user", "id": "user-planted", "name": "Planted Name", "orgs": {"data": [{"id": "org-planted0123456789ab"}]}},
    ),
    "openai error": (
        "https://api.openai.com/v1/chat/completions",
        {"error": {"message": "Rate limit reached for gpt-5 in organization org-planted0123456789ab on tokens"}},
    ),
    "google userinfo": (
        "https://www.googleapis.com/oauth2/v2/userinfo",
        {"id": "104700000000000000001", "email": "planted@example.org", "name": "Planted Name", "picture": "https://h/planted"},
    ),
    "code assist": (
        "https://cloudcode-pa.googleapis.com/v1internal:streamGenerateContent?alt=sse",
        {"model": "gemini-3-pro", "project": "planted-gear-123456", "request": {"contents": []}},
    ),
    "code assist setup": (
        "https://cloudcode-pa.googleapis.com/v1internal:loadCodeAssist",
        {"cloudaicompanionProject": "planted-gear-123456", "currentTier": {"id": "free-tier"}},
    ),
    "copilot": (
        "https://api.github.com/copilot_internal/v2/token",
        {"token": "tid=planted0123456789;exp=1", "tracking_id": "planted0123456789", "expires_at": 1},
    ),
    "copilot organisations": (
        "https://api.github.com/copilot_internal/v2/token",
        {"organization_list": ["planted0123456789", "planted9876543210"], "enterprise_list": [1047000001], "sku": "plus"},
    ),
    "copilot user": (
        "https://api.github.com/copilot_internal/user",
        {"login": "planted", "organization_login_list": ["planted-corp", "the-planted"], "copilot_plan": "plus",
         "organization_list": [{"login": "planted-corp", "name": "Planted Corp"}], "analytics_tracking_id": "planted0"},
    ),
    "github": (
        "https://api.github.com/user",
        {"login": "planted", "id": 1047000001, "name": "Planted Name", "email": None, "company": "@planted",
         "avatar_url": "https://avatars.githubusercontent.com/u/1047000001?v=4", "html_url": "https://github.com/planted",
         "node_id": "planted", "url": "https://api.github.com/users/planted", "plan": {"name": "Planted"}},
    ),
    "github organisations": (
        "https://api.github.com/user/orgs",
        [{"login": "planted-corp", "id": 1047000001, "repos_url": "https://api.github.com/orgs/planted-corp/repos"}],
    ),
}  # fmt: skip
KEPT = {"claude_max", "28800", "admin", "plus", "gemini-3-pro", "free-tier"}
"""What says nothing about anybody."""


def shape(value):
    """`value` with its keys and lists, without what they hold."""
    if isinstance(value, dict):
        return {key: shape(v) for key, v in value.items()}
    return [shape(v) for v in value] if isinstance(value, list) else None


@pytest.mark.parametrize("place", IDENTITIES)
def test_accounts_are_hidden_where_providers_name_them(place):
    url, document = IDENTITIES[place]
    host, _, path = url.removeprefix("https://").partition("/")
    body = json.dumps(document)
    redacted = Redactor(KEY).redact(body.encode(), place_of(host, f"/{path}", "application/json")).decode()
    assert shape(json.loads(redacted)) == shape(document)
    for planted in ("planted", UUID, "1047000001", "104700000000000000001"):
        assert planted not in redacted.lower(), redacted
    assert [word for word in KEPT if word in body and word not in redacted] == []


def test_names_of_a_conversation_are_no_accounts():
    body = b'{"tools":[{"name":"f"}],"messages":[{"content":[{"type":"tool_use","id":"toolu_1","name":"f","input":{"project":"p","title":"t"}}]}]}'
    place = place_of("api.anthropic.com", "/v1/messages", "application/json")
    assert Redactor(KEY).redact(body, place) == body
    assert Redactor(KEY).text("the user-authentication-middleware of org-wide") == (
        "the user-authentication-middleware of org-wide"
    )


def test_the_users_own_patterns_and_names():
    redactor = Redactor(KEY, [r"project-\w+", r"ticket (\d+)"], ["x-team", "customer"])
    assert redactor.redact(b"on project-falcon") == b"on " + redactor.placeholder(
        "pattern", b"project-falcon"
    )
    assert redactor.redact(b"ticket 4711") == b"ticket " + redactor.placeholder("pattern", b"4711")
    assert b"blue" not in redactor.redact(b'{"customer": "blue"}')
    assert "blue" not in redactor.header("x-team", "blue")
    assert "blue" not in redactor.url("/p?customer=blue")


def test_a_bad_pattern_is_refused():
    with pytest.raises(re.error):
        Redactor(KEY, ["("])


@given(st.binary(max_size=400))
def test_any_bytes_can_be_redacted(data):
    redactor = Redactor(KEY)
    spans = redactor.spans(data)
    assert all(a.end <= b.start for a, b in itertools.pairwise(spans))
    assert all(0 <= s.start < s.end <= len(data) for s in spans)


WORDS = st.lists(
    st.sampled_from(
        [
            "password:",
            "api_key=",
            '"secret":',
            "secret='",
            "'",
            '"',
            "\\",
            "a@b.example",
            "-----BEGIN PRIVATE KEY-----",
            "Bearer ",
            SECRET,
            "email",
            "\n",
            "1234",
            ", ",
            "[",
            "{",
            "--api-key ",
            "https://u:pw1@h/?sig=",
            "%41",
        ]
    ),
    max_size=5,
).map("".join)
"""Texts that look as if a secret or a JSON document began in them."""


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20) | WORDS,
        lambda c: (
            st.lists(c, max_size=3)
            | st.dictionaries(
                st.sampled_from(["api_key", "api_keys", "text", "email", "password", "a", "user_id"]),
                c,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_json_stays_json(document):
    data = json.dumps(document).encode()
    json.loads(Redactor(KEY).redact(data))
