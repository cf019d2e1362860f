"""The official SDKs as clients, typed as Any: their unions are not what these tests are about."""

from __future__ import annotations

import ssl
from typing import Any

import anthropic
import openai
from google import genai
from google.genai import types

TIMEOUT = 20.0


def anthropic_sdk(
    base_url: str | None = None, *, ca: ssl.SSLContext, proxy: str | None = None, key: str = "k"
) -> Any:
    http = anthropic.DefaultHttpxClient(verify=ca, proxy=proxy)
    return anthropic.Anthropic(
        api_key=key, base_url=base_url, http_client=http, max_retries=0, timeout=TIMEOUT
    )


def openai_sdk(
    base_url: str | None = None, *, ca: ssl.SSLContext, proxy: str | None = None, key: str = "k"
) -> Any:
    http = openai.DefaultHttpxClient(verify=ca, proxy=proxy)
    return openai.OpenAI(api_key=key, base_url=base_url, http_client=http, max_retries=0, timeout=TIMEOUT)


def google_sdk(
    base_url: str | None = None, *, ca: ssl.SSLContext, proxy: str | None = None, key: str = "k"
) -> Any:
    args = {"verify": ca, "proxy": proxy, "timeout": TIMEOUT}
    return genai.Client(api_key=key, http_options=types.HttpOptions(base_url=base_url, client_args=args))


def for_threads(context: ssl.SSLContext) -> ssl.SSLContext:
    """`context` for a client that reads in one thread and writes in another, as `websockets.sync` does.

    With TLS 1.3 the server's session tickets come after the handshake; where the `ssl` module has no lock of its own
    (Python before 3.13.1), reading them while the request is written now and then loses the request.
    """
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context
