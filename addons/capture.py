"""Begins and ends recordings: of routed exchanges, and of what passes through an intercepted host unrouted."""

from __future__ import annotations

import time
from collections import deque

from mitmproxy import http, tls
from wsproto.frame_protocol import Opcode

from addons.attached import Attached
from addons.call import Call, calls
from addons.route import is_gateway, provider_host
from addons.witness import Witness, headers_of, witnesses
from router_core import surfaces
from router_core.capture.record import Opening
from router_core.core import Core
from router_core.identity import new_id, tool_of


class Capture:
    """Stands after `Relay`: whatever is to be known of an exchange is known when its hooks come here."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self._urls = Attached[str]("url")
        """What the client asked for, until its request is complete."""
        self._tunnels: deque[str] = deque(maxlen=256)
        """Hosts that were not looked into, each of which is recorded once."""

    # -- beginning ------------------------------------------------------------------------------------

    def tls_clienthello(self, data: tls.ClientHelloData) -> None:
        recorder = self.core.recorder
        host = data.client_hello.sni
        if recorder is None or recorder.run is None or not data.ignore_connection:
            return
        if host is None or host in self._tunnels:
            return
        self._tunnels.append(host)
        url = f"https://{host}/"
        opening = Opening(new_id(), time.time(), "CONNECT", url, "tunnel", data.context.client.peername[0])
        if recording := recorder.open(opening, time.monotonic()):
            recording.end(200, None)

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        recorder = self.core.recorder
        if recorder is None or recorder.idle:
            return
        call = calls.get(flow)
        if call is not None:
            # The route will give the request another destination.
            self._urls[flow] = url_of(flow)
        elif not is_gateway(flow) and self._is_ours(host := provider_host(flow)):
            opening = self._passing(flow, host)
            if recording := recorder.open(opening, time.monotonic()):
                witnesses[flow] = witness = Witness(recording, flow)
                recording.passing_request(flow.request.method, headers_of(flow.request))
                flow.request.stream = witness.from_client

    def _is_ours(self, host: str) -> bool:
        return host in self.core.registry.hosts or host in self.core.config.capture.hosts

    def _passing(self, flow: http.HTTPFlow, host: str) -> Opening:
        request = flow.request
        found = surfaces.match_host(self.core.registry, host, request.method, request.path)
        user_agent = request.headers.get("user-agent", "")
        return Opening(
            id=new_id(),
            created=time.time(),
            method=request.method,
            url=request.pretty_url,
            client=flow.client_conn.peername[0],
            tool=tool_of(user_agent),
            provider=found.provider.name if found and found.provider else None,
            websocket=request.headers.get("upgrade", "").lower() == "websocket",
        )

    def request(self, flow: http.HTTPFlow) -> None:
        url, call = self._urls.pop(flow), calls.get(flow)
        if url is None or call is None or call.exchange is None or self.core.recorder is None:
            return
        recording = self.core.recorder.start(call.exchange, url)
        if recording is None:
            return
        recording.client_request(call.exchange.request)
        witnesses[flow] = witness = Witness(recording, flow)
        witness.take_attempt(call)

    def upstream_attempt(self, call: Call) -> None:
        if witness := witnesses.get(call.flow):
            witness.take_attempt(call)

    # -- messages and the end -------------------------------------------------------------------------

    def websocket_message(self, flow: http.HTTPFlow) -> None:
        if (witness := witnesses.get(flow)) and flow.websocket:
            message = flow.websocket.messages[-1]
            opcode = "text" if message.type is Opcode.TEXT else "binary"
            witness.recording.websocket_message(message.from_client, opcode, message.content)

    def response(self, flow: http.HTTPFlow) -> None:
        if (witness := witnesses.get(flow)) and flow.websocket is None:
            witness.hooks_done()

    def error(self, flow: http.HTTPFlow) -> None:
        if witness := witnesses.get(flow):
            witness.hooks_done()

    def websocket_end(self, flow: http.HTTPFlow) -> None:
        if witness := witnesses.get(flow):
            witness.finish()


def url_of(flow: http.HTTPFlow) -> str:
    """What the client asked for. mitmproxy gives the gateway's requests the name of a place that is none."""
    if not is_gateway(flow):
        return flow.request.pretty_url
    host, port = flow.client_conn.sockname[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}{flow.request.path}"
