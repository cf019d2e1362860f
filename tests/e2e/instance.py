"""A real Detour in a process of its own, told what to do by a configuration and nothing else."""

from __future__ import annotations

import json
import os
import re
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import httpx

from tests.e2e.forked import ForkedProcess, run

READY = re.compile(
    r"^detour ready proxy=(?P<proxy>\S+) gateway=(?P<gateway>\S+) admin=(?P<admin>\S+)( transparent=\S+)?( wireguard=\S+)?$"
)
START = 180.0
STOP = 60.0
TIMEOUT = 60.0
ROOT = Path(__file__).resolve().parents[2]

# What a developer's shell has must not leak into the instance: real keys and a real proxy.
_FORGET = re.compile(
    r".*(_PROXY|_proxy|_API_KEY|_AUTH_TOKEN|_TOKEN)$|DETOUR_.*|SSL_CERT_.*|REQUESTS_CA_BUNDLE"
)


class _PrefersHttp2(ssl.SSLContext):
    """httpx offers HTTP/1.1 first, which a server that respects the order then takes."""

    def set_alpn_protocols(self, alpn_protocols: Iterable[str]) -> None:
        super().set_alpn_protocols(sorted(alpn_protocols, key=lambda name: name != "h2"))


class Detour:
    """A context manager: ready to serve inside, stopped after. `log` holds its standard error.

    `within` is a command that runs the one which follows it, as ``ip netns exec NAME``; `options` are further ones
    for `detour run`, and `inherited` descriptors that it is to have.
    """

    def __init__(
        self,
        config: dict[str, Any],
        folder: Path,
        env: dict[str, str] | None = None,
        within: Sequence[str] = (),
        options: Sequence[str] = (),
        inherited: Sequence[int] = (),
    ) -> None:
        self.folder = folder
        self.within, self.options, self.inherited = within, options, inherited
        config, keys = _by_environment(config)
        self.config = folder / "detour.yaml"
        self.config.write_text(json.dumps({"data_dir": str(folder / "data"), **config}, indent=1))
        self.log = folder / "stderr.log"
        self.env = {k: v for k, v in os.environ.items() if not _FORGET.fullmatch(k)}
        self.env |= {
            "HOME": str(folder),
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            **keys,
            **(env or {}),
        }
        self.secrets = [*keys.values(), *(env or {}).values()]
        self.proxy = self.gateway = self.admin = ""
        self.output: list[str] = []

    def __enter__(self) -> Self:
        arguments = ["run", "--config", str(self.config), *self.options]
        self.process: subprocess.Popen[str] | ForkedProcess
        if self.within or self.inherited:
            with self.log.open("wb") as log:
                self.process = subprocess.Popen(
                    [*self.within, sys.executable, "-m", "detour", *arguments],
                    env=self.env,
                    cwd=self.folder,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    pass_fds=self.inherited,
                )
        else:
            self.log.write_bytes(b"")
            self.process = ForkedProcess(arguments, self.env, self.folder, self.log)
        ready = threading.Event()
        self._reader = threading.Thread(target=self._read, args=(ready,), daemon=True)
        self._reader.start()
        if not ready.wait(START) or not self.proxy:
            self.__exit__()
            raise RuntimeError(f"detour is not ready; it said: {self.output}\n{self.log.read_text()[-3000:]}")
        return self

    def __exit__(self, *exc: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join(STOP)
        if self.proxy and not any(exc):
            self._expect_nothing_untoward()

    def _expect_nothing_untoward(self) -> None:
        """Whatever the tests did: it ended when it was told to, crashed nowhere and wrote down no secret."""
        log = self.log.read_text(errors="replace")
        assert self.process.returncode == 0, f"exit code {self.process.returncode}\n{log[-2000:]}"
        crash = log.find("Traceback (most recent call last)")
        assert crash < 0, log[max(crash - 300, 0) : crash + 6000]
        assert not [secret for secret in self.secrets if secret in log]

    def _read(self, ready: threading.Event) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.output.append(line)
            if match := READY.match(line):
                self.proxy, self.gateway, self.admin = match.group("proxy", "gateway", "admin")
                ready.set()
        ready.set()

    @property
    def proxy_url(self) -> str:
        return f"http://{self.proxy}"

    @property
    def gateway_url(self) -> str:
        return f"http://{self.gateway}"

    @property
    def ca_file(self) -> Path:
        return self.folder / "data" / "ca" / "mitmproxy-ca-cert.pem"

    def credentials(self) -> dict[str, dict[str, Any]]:
        """What the admin API says of each credential, by id."""
        token = (self.folder / "data" / "admin-token").read_text().strip()
        answer = httpx.get(
            f"http://{self.admin}/api/v1/credentials",
            headers={"authorization": f"Bearer {token}"},
            timeout=TIMEOUT,
            trust_env=False,
        )
        return {entry["id"]: entry for entry in answer.json()["credentials"]}

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """``detour ARGUMENTS`` with this instance's configuration and environment."""
        return run([*arguments, "--config", str(self.config)], self.env, self.folder)

    def tls(self) -> ssl.SSLContext:
        """Trusts this instance's CA, and nothing else."""
        context = _PrefersHttp2(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.ca_file)
        return context

    def client(self, *, http2: bool = False, **options: Any) -> httpx.Client:
        """A client whose HTTPS_PROXY is this instance."""
        options = {"timeout": TIMEOUT, **options}
        return httpx.Client(verify=self.tls(), proxy=self.proxy_url, http2=http2, trust_env=False, **options)


def _by_environment(config: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """`config` with each literal key as a reference, and the variables that hold them; Detour warns of literals."""
    keys: dict[str, str] = {}
    credentials = []
    for number, credential in enumerate(config.get("credentials", ())):
        key = credential.get("api_key")
        if isinstance(key, str) and not key.startswith(("env:", "file:")):
            keys[f"E2E_{number}"] = key
            credential = {**credential, "api_key": f"env:E2E_{number}"}
        credentials.append(credential)
    return {**config, "credentials": credentials}, keys


SHORT = {"connect_timeout": "2s", "first_byte_timeout": "2s", "idle_timeout": "2s"}
"""Time limits that a test can wait for. Only for such tests: a busy machine may need longer for a good answer."""


LEDGER = {"ledger": "sqlite"}
"""The section `usage` for those who look at what was used: the ledger's process takes longer to start than the rest."""


def base_config(ca_bundle: Path) -> dict[str, Any]:
    """Every listener on a free port, time limits that only a hang exceeds, and no ledger (see `LEDGER`)."""
    return {
        # Tests leave connections open; those that look at the end itself say how long it may take.
        "listen": {**dict.fromkeys(("proxy", "gateway", "admin"), "127.0.0.1:0"), "drain": 0},
        "upstream": {
            "ca_bundle": str(ca_bundle),
            "connect_timeout": "60s",
            "first_byte_timeout": "60s",
            "idle_timeout": "60s",
            "http2": "always",
        },
        "providers": {},
        "credentials": [],
        # Nobody waits for a cooldown to end.
        "routing": {"max_wait": 0},
        "usage": {"ledger": None},
    }
