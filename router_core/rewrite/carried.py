"""What translated turns left in a conversation that goes on in the client's own format."""

from __future__ import annotations

from typing import Final

from router_core.formats.carried import without_carriers
from router_core.formats.carrier import MARK
from router_core.json_document import Json
from router_core.rewrite.context import Context
from router_core.rewrite.rule import Rule

_MARK: Final = MARK.encode()


def leave_carriers(body: Json, context: Context) -> Json:
    surface, request = context.exchange.surface, context.exchange.request
    if context.format is not surface.format:
        # The translation has read them.
        return body
    encoded = context.headers.get("content-encoding") is not None
    return without_carriers(surface.format, body) if encoded or _MARK in request.body else body


RULES: Final = (
    Rule(
        name="carried-reasoning",
        reason="A conversation that was translated for some turns carries the reasoning of another format's model, "
        "which the provider of the client's own format refuses as a damaged signature.",
        source="router_core/formats/carrier.py",
        own=True,
        request=leave_carriers,
    ),
)
