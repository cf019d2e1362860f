"""What the gateway answers itself: its health, and the models that can be asked for."""

from __future__ import annotations

import orjson
from mitmproxy import http
from mitmproxy.proxy import mode_specs

from addons.answers import refusal_response
from addons.call import calls
from router_core.core import Core
from router_core.errors import Code, Refusal
from router_core.exchange import Surface
from router_core.formats import Format, Operation
from router_core.model_list import model_list, one_model

JSON = {"content-type": "application/json"}


class Gateway:
    def __init__(self, core: Core) -> None:
        self.core = core

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        if is_gateway(flow) and flow.request.path.partition("?")[0] == "/healthz":
            health = {"status": "draining" if self.core.draining else "ok"}
            flow.response = http.Response.make(200, orjson.dumps(health), JSON)

    def request(self, flow: http.HTTPFlow) -> None:
        """Before the route addon, which leaves a flow with an answer alone."""
        call = calls.get(flow)
        if call is None or flow.response or call.refusal or call.surface.via != "gateway":
            return
        if call.surface.operation is Operation.LIST_MODELS:
            call.final = flow.response = self._models(flow, call.surface)

    def _models(self, flow: http.HTTPFlow, surface: Surface) -> http.Response:
        format = asked_format(flow.request, surface)
        entries = self.core.router.models(None, surface.provider.name if surface.provider else None)
        if surface.path_model is None:
            shown = model_list(format, entries, flow.request.query)
            if isinstance(shown, Refusal):
                return refusal_response(format, shown)
            return http.Response.make(200, orjson.dumps(shown), JSON)
        for entry in entries:
            if entry.id == surface.path_model:
                return http.Response.make(200, orjson.dumps(one_model(format, entry)), JSON)
        refusal = Refusal(
            Code.MODEL_NOT_FOUND,
            f"There is no model {surface.path_model!r}; GET the list to see which there are.",
        )
        return refusal_response(format, refusal)


def is_gateway(flow: http.HTTPFlow) -> bool:
    return isinstance(flow.client_conn.proxy_mode, mode_specs.ReverseMode)


def asked_format(request: http.Request, surface: Surface) -> Format:
    """OpenAI's and Anthropic's lists stand at the same path."""
    return surface.format if surface.format in (Format.GEMINI, Format.OLLAMA) else client_format(request)


def client_format(request: http.Request) -> Format:
    """What the client speaks, where its path does not tell: by the headers that only its format has."""
    if "anthropic-version" in request.headers:
        return Format.ANTHROPIC
    return Format.GEMINI if "x-goog-api-key" in request.headers else Format.OPENAI_CHAT
