"""What translated turns left in a conversation that goes on in the client's own format."""

from __future__ import annotations

from typing import Final

from router_core.formats.carried import without_carriers
from router_core.json_document import Json
from router_core.rewrite.context import Context
from router_core.rewrite.rule import Rule


def leave_carriers(body: Json, context: Context) -> Json:
    format = context.exchange.surface.format
    # A translation has read them.
    return without_carriers(format, body) if context.format is format else body


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
