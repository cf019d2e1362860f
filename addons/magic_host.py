"""``http://mitm.it`` through the proxy: the certificate of Detour's authority, for a device that is to trust it.

It needs no client key, since nothing of it is secret, and it is plain HTTP, since whoever asks does not trust
the authority yet. The host's name is mitmproxy's, which its users know; a name of Detour's own would belong to
somebody else.
"""

from __future__ import annotations

import ssl
from html import escape
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from mitmproxy import ctx, http
from mitmproxy.certs import Cert

from addons.gateway import is_gateway
from addons.transparent import is_transparent

HOST: Final = "mitm.it"
PEM: Final = frozenset({"/ca.pem", "/cert/pem"})
DER: Final = frozenset({"/ca.cer", "/cert/cer"})
"""With mitmproxy's paths, which stand in many instructions. Android and Windows want DER."""

PAGE: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Detour</title>
<h1>Detour’s certificate authority</h1>
<p>Have your device or your tool trust it, and Detour can route its requests to AI providers. It is valid for
{hosts}; connections to other hosts pass untouched.</p>
<p><a href="/ca.pem">ca.pem</a> for Linux, macOS, iOS and command-line tools,
<a href="/ca.cer">ca.cer</a> for Windows and Android.</p>
<p>This page came unprotected. Before you trust the file, compare its SHA-256 fingerprint with what
<code>detour ca show</code> says on the machine that runs Detour:</p>
<pre>{fingerprint}</pre>
</html>
"""


class MagicHost:
    name = "detour-magic-host"

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Before the access addon, which asks for a key."""
        if flow.request.scheme != "http" or is_gateway(flow) or not self._is_meant(flow):
            return
        path = flow.request.path.partition("?")[0]
        authority: Cert = ctx.master.addons.get("tlsconfig").certstore.default_ca
        if path == "/":
            body, kind = page(authority).encode(), "text/html; charset=utf-8"
        elif path in PEM:
            body, kind = authority.to_pem(), "application/x-x509-ca-cert"
        elif path in DER:
            body, kind = ssl.PEM_cert_to_DER_cert(authority.to_pem().decode()), "application/x-x509-ca-cert"
        else:
            text = b"Detour: here are only / and /ca.pem and /ca.cer\n"
            flow.response = http.Response.make(404, text, {"content-type": "text/plain"})
            return
        headers = {"content-type": kind, "cache-control": "no-store", "x-content-type-options": "nosniff"}
        flow.response = http.Response.make(200, body, headers)

    def _is_meant(self, flow: http.HTTPFlow) -> bool:
        if is_transparent(flow.client_conn):
            # Other names of plain HTTP are not looked at; this is Detour's own address in a tunnel.
            return True
        request = flow.request
        # Taking a name apart costs more than seeing that it cannot be this one.
        if HOST not in request.host.lower() and HOST not in request.headers.get("host", "").lower():
            return False
        return request.pretty_host.lower() == HOST


def page(authority: Cert) -> str:
    certificate = authority.to_cryptography()
    fingerprint = certificate.fingerprint(hashes.SHA256()).hex(":").upper()
    return PAGE.format(fingerprint=fingerprint, hosts=escape(_hosts(certificate)))


def _hosts(certificate: x509.Certificate) -> str:
    try:
        found = certificate.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return "any host, since ca.name_constrained is off"
    return ", ".join(sorted(str(name.value) for name in found.permitted_subtrees or ()))
