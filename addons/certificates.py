"""Certificates for the name that the client asked for, and no other."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from mitmproxy import certs, ctx
from mitmproxy.addons import tlsconfig
from mitmproxy.proxy import context

from router_core.ownership import pass_on


class Certificates(tlsconfig.TlsConfig):
    """`TlsConfig` that leaves the destination's address out.

    A client that resolved the name itself (transparent mode, SOCKS) connects to an address. In the
    certificate it would break Detour's authority, which is constrained to the names of providers.
    """

    name = "tlsconfig"

    def configure(self, updated: set[str]) -> None:
        super().configure(updated)
        # mitmproxy has put its own file there.
        if "confdir" in updated and (file := Path(ctx.options.confdir, "mitmproxy-dhparam.pem")).exists():
            pass_on(file, file)

    def get_cert(self, conn_context: context.Context) -> certs.CertStoreEntry:
        sni = conn_context.client.sni
        if sni is None or not sni.isascii():
            return super().get_cert(conn_context)
        return self.certstore.get_cert(sni, [x509.DNSName(sni)])

    def authority_key(self) -> CertificatePublicKeyTypes:
        """The public key of the authority that signs."""
        return self.certstore.default_ca.public_key()

    def read_again(self) -> None:
        """Sign with what is in ``confdir`` now. Connections that are open keep their certificate."""
        self.configure({"confdir"})
