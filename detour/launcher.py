"""`detour run`: a lean mitmproxy master with Detour's addons, and the admin server beside it."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from mitmproxy import options

from addons.master import LeanMaster
from addons.suite import Suite
from detour import logs, private, runtime
from detour.ca import CAError, CAPaths, ensure_ca
from detour.paths import paths
from detour.ports import Address, bind_error, parse_address, raise_backlog, settled, who_listens
from detour.telemetry import start as start_telemetry
from router_core.capture.recorder import Recorder
from router_core.config.loader import ConfigError, Loaded, load
from router_core.config.schema import Config
from router_core.config.secrets import SecretError
from router_core.core import Core
from router_core.usage.address import LedgerError
from router_core.usage.setup import make_ledger

logger = logging.getLogger(__name__)

LISTENERS: Final = ("proxy", "gateway", "admin")

GC_THRESHOLDS: Final = (20_000, 20, 50)
"""A request makes some thousand short-lived objects; with Python's own thresholds the collector would look
for cycles several times within each."""

# The gateway is a reverse proxy for a place that does not exist: each request gets its destination from its plan.
GATEWAY_MODE = "reverse:http://gateway.invalid"


@dataclass(frozen=True, slots=True)
class CaptureRun:
    """What `detour capture run` changes of the configuration: everything is recorded, marked with `label`."""

    label: str
    hosts: tuple[str, ...] = ()
    """To be decrypted besides those of the providers."""

    def apply(self, loaded: Loaded) -> Loaded:
        capture = loaded.config.capture
        hosts = tuple(dict.fromkeys((*capture.hosts, *self.hosts)))
        capture = capture.model_copy(update={"mode": "all", "rules": (), "hosts": hosts})
        return replace(loaded, config=loaded.config.model_copy(update={"capture": capture}))


def serve(
    config_path: Path | None = None,
    log_format: logs.Form = "human",
    private_to: int | None = None,
    recorded: CaptureRun | None = None,
) -> int:
    """Serve until SIGINT or SIGTERM. Returns the exit code: 0 done, 1 could not start, 2 bad configuration.

    With `private_to` the instance listens on free loopback ports, is not announced to other commands, and
    ends with the process of that number.
    """
    try:
        loaded = load(config_path)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    if recorded:
        loaded = recorded.apply(loaded)
    try:
        with logs.configured(log_format, loaded.config.log):
            for warning in loaded.warnings:
                logger.warning("%s", warning)
            return _run(_serve(loaded, private_to, recorded))
    except logs.LogError as error:
        print(error, file=sys.stderr)
        return 1


def _run(serving: Coroutine[Any, Any, int]) -> int:
    try:
        import uvloop
    except ImportError:
        return asyncio.run(serving)
    return uvloop.run(serving)


async def _serve(loaded: Loaded, private_to: int | None, recorded: CaptureRun | None) -> int:
    config = loaded.config
    listen = _private() if private_to else _configured(config)
    if taken := [line for name, address in listen.items() if (line := _why_taken(name, address))]:
        print("\n".join(taken), file=sys.stderr)
        return 1
    listen = {name: settled(address) for name, address in listen.items()}
    try:
        ca = ensure_ca(config, loaded.registry)
    except CAError as error:
        print(error, file=sys.stderr)
        return 1
    core = Core(loaded, paths(config).state)
    core.recorder = make_recorder(loaded, recorded.label if recorded else None)
    try:
        ledger = core.activity.ledger = make_ledger(config, paths(config).data)
    except LedgerError as error:
        print(error, file=sys.stderr)
        return 1
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    master = LeanMaster(options.Options(), Suite(core))
    configure(master, config, listen, ca)
    try:
        await core.start()
    except SecretError as error:
        print(f"access.keys: {error}", file=sys.stderr)
        return 1
    core.recorder.know(core.secrets())
    if ledger:
        ledger.start()
    telemetry = start_telemetry()
    if telemetry:
        core.activity.watchers.append(telemetry.finished)
    serving = asyncio.create_task(master.run())
    admin = None
    try:
        try:
            bound = await _bound(master, serving)
        except OSError as error:
            print(error, file=sys.stderr)
            return 1
        if "admin" in listen:
            from detour.admin.server import TokenError, serve_admin

            try:
                admin = await serve_admin(listen["admin"], core)
            except (OSError, TokenError) as error:
                print(error, file=sys.stderr)
                return 1
            bound["admin"] = admin.address
        if private_to:
            ended = asyncio.create_task(private.ended(private_to))
            ended.add_done_callback(lambda _: stop.set())
        else:
            _announce(loaded, bound)
        _print_ready(bound)
        # What is here now stays: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        await asyncio.wait([asyncio.ensure_future(stop.wait()), serving], return_when=asyncio.FIRST_COMPLETED)
    finally:
        if not private_to:
            runtime.remove(paths(config).runtime)
        if admin:
            await admin.close()
        master.shutdown()
        await asyncio.wait([serving])
        await core.stop()
        await asyncio.to_thread(core.recorder.close)
        if ledger:
            await asyncio.to_thread(ledger.close)
        if telemetry:
            await asyncio.to_thread(telemetry.close)
    return 0


def make_recorder(loaded: Loaded, run: str | None = None) -> Recorder:
    """For the records of an instance. Starts nothing before there is something to record."""
    where = paths(loaded.config)
    carriers = [c.header for p in loaded.registry.providers.values() for c in (*p.auth, *p.oauth)]
    headers = dict.fromkeys(carriers)
    return Recorder(loaded.config.capture, where.captures, where.capture_key, headers=headers, run=run)


def _configured(config: Config) -> dict[str, Address]:
    written = {name: getattr(config.listen, name) for name in LISTENERS}
    return {name: parse_address(value) for name, value in written.items() if value}


def _private() -> dict[str, Address]:
    # Nobody but the one command would know the address of its admin port.
    return {name: Address("127.0.0.1", 0) for name in ("proxy", "gateway")}


def configure(master: LeanMaster, config: Config, listen: dict[str, Address], ca: CAPaths) -> None:
    """mitmproxy's options for `config`."""
    modes = []
    if "proxy" in listen:
        modes.append(f"regular@{listen['proxy']}")
    if "gateway" in listen:
        modes.append(f"{GATEWAY_MODE}@{listen['gateway']}")
    quiet = max(config.upstream.first_byte_timeout, config.upstream.idle_timeout)
    master.options.update(
        mode=modes,
        confdir=str(ca.confdir),
        connection_strategy="lazy",
        upstream_cert=False,
        # A stream may be as quiet as our own time limits allow, which are the ones that count.
        tcp_timeout=int(max(600, quiet + 60)),
        ssl_verify_upstream_trusted_ca=str(Path(config.upstream.ca_bundle).expanduser())
        if config.upstream.ca_bundle
        else None,
    )


async def _bound(master: LeanMaster, running: asyncio.Task) -> dict[str, str]:
    """The addresses that are listened on, as ``HOST:PORT``, once they are. Raises OSError if one cannot be."""
    serving = asyncio.create_task(master.serving.wait())
    await asyncio.wait([serving, running], return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        serving.cancel()
        await running
    bound = {}
    for server in master.proxyserver.servers:
        name = "proxy" if server.mode.type_name == "regular" else "gateway"
        host, port = server.listen_addrs[0][:2]
        bound[name] = str(Address(host, port))
        for listener in server._servers:  # type: ignore[attr-defined]
            for sock in listener.sockets:
                raise_backlog(sock, master.addons.get("detour").core.config.limits.backlog)
    return bound


def _why_taken(name: str, address: Address) -> str | None:
    if address.port == 0 or (error := bind_error(address)) is None:
        return None
    holder = who_listens(address.port)
    by = f" by {holder}" if holder else ""
    return f"listen.{name}: cannot listen on {address}: {error.strerror}{by}; stop it or choose another port"


def _announce(loaded: Loaded, bound: dict[str, str]) -> None:
    runtime.write(
        paths(loaded.config).runtime,
        runtime.Runtime(
            proxy=bound.get("proxy"),
            gateway=bound.get("gateway"),
            admin=bound.get("admin"),
            config=str(loaded.path.resolve()) if loaded.path else None,
        ),
    )


def _print_ready(bound: dict[str, str]) -> None:
    line = " ".join(f"{name}={bound[name]}" for name in LISTENERS if name in bound)
    print(f"detour ready {line}", flush=True)
