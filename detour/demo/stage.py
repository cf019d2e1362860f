"""What the demo plays on: fake providers, and a real Detour in a process of its own in front of them."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import sys
from pathlib import Path
from typing import Any, Self

import httpx
from rich.console import Console

import detour
from detour.fakes import FakeUpstream, ThrowawayCA
from detour.private import START_TIMEOUT

ACCOUNTS = ("account-one", "account-two", "account-three")
CLIENT_KEY = "the-key-that-the-tool-has"
STOP = 30.0
_LAST_WORDS = 20


class StartError(Exception):
    """Detour did not come up; the message holds its last words."""


class Stage:
    """An asynchronous context manager around all that is running."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = ThrowawayCA("The providers' own authority")
        self.origin_ca = ThrowawayCA("An authority that Detour has never seen")
        self.anthropic = FakeUpstream("anthropic", ca=self.ca)
        self.openai = FakeUpstream("openai", ca=self.ca)
        self.origin = FakeUpstream("origin", ca=self.origin_ca, host_names=["example.test"])
        self.proxy = self.gateway = ""
        self._process: asyncio.subprocess.Process | None = None
        self._log = folder / "detour.log"

    @property
    def ca_file(self) -> Path:
        """The certificate that a client of Detour's proxy has to trust."""
        return self.folder / "data" / "ca" / "mitmproxy-ca-cert.pem"

    def key(self, account: str) -> str:
        return f"secret-of-{account}"

    def client(self) -> httpx.AsyncClient:
        """A client whose HTTPS_PROXY is Detour and who trusts Detour's certificate alone."""
        tls = ssl.create_default_context(cafile=str(self.ca_file))
        return httpx.AsyncClient(proxy=f"http://{self.proxy}", verify=tls, trust_env=False)

    def config(self) -> dict[str, Any]:
        return {
            "listen": {**dict.fromkeys(("proxy", "gateway", "admin"), "127.0.0.1:0"), "drain": 0},
            "data_dir": str(self.folder / "data"),
            "upstream": {"ca_bundle": str(self.ca.write(self.folder / "providers.pem"))},
            "providers": {
                "anthropic": {"base_url": self.anthropic.base_url("anthropic")},
                "openai": {"base_url": self.openai.base_url("openai-chat")},
            },
            "credentials": [
                {"id": name, "provider": "anthropic", "api_key": f"env:{_variable(name)}", "priority": -n}
                for n, name in enumerate(ACCOUNTS)
            ]
            + [{"id": "openai-account", "provider": "openai", "api_key": "env:DEMO_OPENAI"}],
            "models": {"fast": "openai/gpt-5-mini"},
            "rewrites": [
                {
                    "name": "frugal",
                    "when": {"provider": "openai"},
                    "set": {"reasoning_effort": "low"},
                    "default": {"max_completion_tokens": 256},
                    "drop": ["metadata"],
                }
            ],
        }

    def introduce(self, console: Console) -> None:
        console.print(
            f"Detour {detour.__version__} serves the proxy on {self.proxy} and base URLs on {self.gateway}.\n"
            f"Behind it stand fake providers on 127.0.0.1: Anthropic with {len(ACCOUNTS)} accounts, OpenAI with one."
        )

    def last_words(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-_LAST_WORDS:])

    async def __aenter__(self) -> Self:
        for fake in (self.anthropic, self.openai, self.origin):
            await fake.start()
        config = self.folder / "detour.yaml"
        config.write_text(json.dumps(self.config()))
        with self._log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "detour", "run", "--config", str(config)),
                env=self._environment(),
                cwd=self.folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        try:
            await asyncio.wait_for(self._ready(), START_TIMEOUT)
        except TimeoutError:
            await self.__aexit__()
            late = f"it was not ready within {START_TIMEOUT:g} s"
            raise StartError("\n".join(filter(None, (self.last_words(), late)))) from None
        except StartError:
            await self.__aexit__()
            raise StartError(self.last_words() or "it ended without a word") from None
        return self

    async def __aexit__(self, *exc: object) -> None:
        process = self._process
        if process and process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), STOP)
            except TimeoutError:
                process.kill()
                await process.wait()
        for fake in (self.anthropic, self.openai, self.origin):
            await fake.close()

    async def _ready(self) -> None:
        assert self._process
        assert self._process.stdout
        async for line in self._process.stdout:
            if line.startswith(b"detour ready "):
                found = dict(field.split("=", 1) for field in line.decode().split()[2:])
                self.proxy, self.gateway = found["proxy"], found["gateway"]
                return
        raise StartError

    def _environment(self) -> dict[str, str]:
        """Nothing of the user's own configuration, proxies or keys; this very copy of Detour."""
        kept = {
            k: v
            for k, v in os.environ.items()
            if k in ("PATH", "LANG", "LC_ALL", "SYSTEMROOT", "TMPDIR", "LD_LIBRARY_PATH")
        }
        secrets = {_variable(name): self.key(name) for name in ACCOUNTS}
        package = Path(detour.__file__).resolve().parents[1]
        return {
            **kept,
            **secrets,
            "DEMO_OPENAI": self.key("openai-account"),
            "HOME": str(self.folder),
            "PYTHONPATH": str(package),
            "PYTHONUNBUFFERED": "1",
        }


def _variable(account: str) -> str:
    return "DEMO_" + account.replace("-", "_").upper()
