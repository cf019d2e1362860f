"""Is everything that the failover uses of mitmproxy's core still there?

The core is not public API. A new release that moves something must cost the failover, not the traffic.
"""

from __future__ import annotations

import inspect
from importlib import import_module

USED: dict[str, tuple[str, ...]] = {
    "mitmproxy.proxy.layers.http:HttpStream": (
        "state_consume_request_body",
        "state_wait_for_response_headers",
        "state_stream_response_body",
        "state_consume_response_body",
        "state_errored",
        "state_done",
        "make_server_connection",
        "handle_protocol_error",
        "check_killed",
        "send_response",
        "flow_done",
        "passthrough",
    ),
    "mitmproxy.proxy.layers.http:HttpLayer": (
        "make_stream",
        "get_connection",
        "register_connection",
        "event_to_child",
    ),
    "mitmproxy.proxy.layers.http": (
        "DropStream",
        "GetHttpConnection",
        "GetHttpConnectionCompleted",
        "HttpErrorHook",
        "HttpResponseHeadersHook",
        "SendHttp",
        "ErrorCode",
        "Http1Client",
        "Http1Server",
        "Http2Client",
        "Http2Server",
        "ReceiveHttp",
        "RegisterHttpConnection",
    ),
    "mitmproxy.proxy.layers.http._base": ("HttpCommand",),
    "mitmproxy.proxy.context:Context": ("client", "options", "server", "layers"),
    "mitmproxy.proxy.layers.http._http1": ("make_error_response",),
    "mitmproxy.proxy.layers.http._http1:Http1Connection": (
        "buf",
        "state",
        "read_body",
        "body_reader",
        "done",
    ),
    "mitmproxy.proxy.layers.http._http1:Http1Client": ("read_headers", "send", "request"),
    "h11._readers": ("ChunkedReader",),
    "mitmproxy.proxy.layers.http._http1:Http1Server": ("read_headers", "send", "done", "request", "response"),
    "mitmproxy.proxy.layers.http._http_h2:BufferedH2Connection": ("_receive_goaway_frame", "stream_buffers"),
    "h2.connection": ("H2Connection",),
    "h2.connection:ConnectionState": ("CLOSED",),
    "mitmproxy.proxy.layers.http._http2:Http2Client": (
        "_handle_event",
        "stream_queue",
        "provisional_max_concurrency",
        "our_stream_id",
        "handle_h2_event",
        "close_connection",
        "is_closed",
    ),
    "mitmproxy.proxy.layers.http._http2": ("Http2Server",),
    "mitmproxy.proxy.layers.websocket:WebsocketConnection": ("send2",),
    "mitmproxy.proxy.layer:NextLayer": ("_ask",),
    "mitmproxy.proxy.layer:Layer": ("_paused",),
    "mitmproxy.proxy.server:ConnectionHandler": (
        "server_event",
        "open_connection",
        "close_connection",
        "handle_client",
        "handle_connection",
        "handle_hook",
        "client",
        "layer",
        "timeout_watchdog",
        "transports",
    ),
    "mitmproxy.proxy.server_hooks": ("ServerConnectErrorHook", "ServerConnectionHookData"),
    "mitmproxy.proxy.mode_servers": ("ProxyConnectionHandler",),
    "mitmproxy.addons.next_layer:NextLayer": ("next_layer",),
    "mitmproxy.addons.proxyserver:Proxyserver": ("register_connection",),
}

PARAMETERS: dict[str, tuple[str, ...]] = {
    "mitmproxy.proxy.layers.http:HttpStream.__init__": ("self", "context", "stream_id"),
    "mitmproxy.proxy.layers.http:HttpLayer.__init__": ("self", "context", "mode"),
    "mitmproxy.proxy.layers.http:HttpLayer.get_connection": ("self", "event", "reuse"),
    "mitmproxy.proxy.layers.http:RequestHeaders.__init__": (
        "self",
        "stream_id",
        "request",
        "end_stream",
        "replay_flow",
    ),
    "mitmproxy.proxy.layers.http:RequestProtocolError.__init__": ("self", "stream_id", "message", "code"),
}


def _resolve(path: str) -> object:
    module, _, names = path.partition(":")
    found: object = import_module(module)
    for name in filter(None, names.split(".")):
        found = getattr(found, name)
    return found


def problems() -> list[str]:
    """What is missing or has changed, in words; empty if the failover can run."""
    found: list[str] = []
    for path, names in USED.items():
        try:
            owner = _resolve(path)
        except (ImportError, AttributeError):
            found.append(f"mitmproxy has no {path}")
            continue
        annotations = getattr(owner, "__annotations__", {})
        found += [
            f"{path} has no {name}" for name in names if not hasattr(owner, name) and name not in annotations
        ]
    for path, expected in PARAMETERS.items():
        try:
            parameters = tuple(inspect.signature(_resolve(path)).parameters)  # type: ignore[arg-type]
        except (ImportError, AttributeError, ValueError, TypeError):
            found.append(f"mitmproxy has no {path}")
            continue
        if parameters != expected:
            found.append(f"{path} takes {', '.join(parameters)} instead of {', '.join(expected)}")
    return found
