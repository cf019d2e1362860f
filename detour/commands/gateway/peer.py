"""``detour gateway peer``: the devices that come through the WireGuard tunnel."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from detour.commands.options import USAGE, ConfigOption, JsonOption, fail, load, print_columns, print_json

if TYPE_CHECKING:
    from detour.wireguard.store import PeerEntry, Store
    from router_core.config.loader import Loaded

app = typer.Typer(
    help="Let laptops and phones come through a WireGuard tunnel (listen.wireguard).",
    no_args_is_help=True,
    add_completion=False,
)

NameArgument = Annotated[str, typer.Argument(help="The device's name, in logs, usage and budgets too.")]
QrOption = Annotated[
    bool | None,
    typer.Option(
        "--qr/--no-qr", help="Draw a QR code on standard error; without, where standard output is a terminal."
    ),
]
PngOption = Annotated[
    Path | None, typer.Option("--png", metavar="FILE", help="Write the QR code as an image, mode 0600.")
]


@app.command()
def add(
    name: NameArgument,
    endpoint: Annotated[
        str | None,
        typer.Option(
            metavar="HOST[:PORT]", help="How the device reaches this machine; wireguard.endpoint otherwise."
        ),
    ] = None,
    all_traffic: Annotated[
        bool, typer.Option("--all-traffic", help="Lead everything through the tunnel, as phones have to.")
    ] = False,
    public_key: Annotated[
        str | None, typer.Option(metavar="KEY", help="Of a device that has made its key pair itself.")
    ] = None,
    qr: QrOption = None,
    png: PngOption = None,
    config: ConfigOption = None,
) -> None:
    """Add a device, and print its WireGuard configuration with a QR code."""
    from detour.wireguard import device
    from detour.wireguard.store import PeerError

    loaded = _load(config)
    reached = device.endpoint(loaded.config, endpoint)
    if reached is None:
        raise fail(
            "no address is known by which a device reaches this machine; add --endpoint HOST, or wireguard.endpoint",
            USAGE,
        )
    # Before the device is one: without addresses there would be no configuration for it.
    led = set() if all_traffic else _providers(loaded)
    try:
        entry = _store(loaded).add(
            name, loaded.config.wireguard, reached, all_traffic=all_traffic, public_key=public_key
        )
    except PeerError as error:
        raise fail(str(error)) from None
    _print(loaded, entry, led, qr, png)
    _say_when(loaded)


@app.command()
def show(name: NameArgument, qr: QrOption = None, png: PngOption = None, config: ConfigOption = None) -> None:
    """Print a device's configuration again, with the addresses that providers have now."""
    from detour.wireguard.store import PeerError

    loaded = _load(config)
    try:
        entry = _store(loaded).find(name)
    except PeerError as error:
        raise fail(str(error)) from None
    _print(loaded, entry, set() if entry.all_traffic else _providers(loaded), qr, png)


@app.command("list")
def list_(config: ConfigOption = None, json: JsonOption = False) -> None:
    """List the devices with their addresses in the tunnel."""
    from detour.wireguard.store import PeerError

    loaded = _load(config, served=False)
    store = _store(loaded)
    try:
        entries, tunnel = store.peers(), store.tunnel(loaded.config.wireguard)
    except PeerError as error:
        raise fail(str(error)) from None
    rows = [
        {
            "name": entry.name,
            "addresses": [str(address) for address in tunnel.addresses(entry.number)],
            "traffic": "all" if entry.all_traffic else "providers",
            "endpoint": entry.endpoint,
            "public_key": entry.public_key,
        }
        for entry in entries
    ]
    if json:
        print_json({"peers": rows})
        return
    print_columns(
        ("name", "addresses", "traffic", "endpoint", "public key"),
        [
            (
                str(r["name"]),
                " ".join(r["addresses"]),
                str(r["traffic"]),
                str(r["endpoint"]),
                str(r["public_key"]),
            )
            for r in rows
        ],
    )


@app.command()
def remove(name: NameArgument, config: ConfigOption = None) -> None:
    """Take a device out: its key opens nothing any more."""
    from detour.wireguard.store import PeerError

    loaded = _load(config, served=False)
    try:
        _store(loaded).remove(name)
    except PeerError as error:
        raise fail(str(error)) from None
    print(f"{name} is removed")
    _say_when(loaded)


def _load(config: Path | None, *, served: bool = True) -> Loaded:
    loaded = load(config)
    if served and loaded.config.listen.wireguard is None:
        raise fail('no WireGuard server is configured; add listen: {wireguard: "0.0.0.0:51820"}', USAGE)
    return loaded


def _store(loaded: Loaded) -> Store:
    from detour.wireguard.store import Store
    from router_core.paths import paths

    return Store(paths(loaded.config).data)


def _print(loaded: Loaded, entry: PeerEntry, led: set, qr: bool | None, png: Path | None) -> None:
    """The configuration on standard output, so that it can go into a file; everything else beside it.

    It leads the addresses `led` into the tunnel.
    """
    import segno

    from detour.wireguard.device import configuration
    from detour.wireguard.store import PeerError

    try:
        tunnel = _store(loaded).tunnel(loaded.config.wireguard)
    except PeerError as error:
        raise fail(str(error)) from None
    text = configuration(entry, tunnel, led)
    print(text, end="", flush=True)
    code = segno.make(text, error="l", micro=False)
    if png is not None:
        _write_png(png, code)
    if qr or (qr is None and sys.stdout.isatty()):
        code.terminal(out=sys.stderr, compact=True)
    print(
        f"detour: the device has to trust the authority as well: http://{tunnel.addresses(1)[0]}/ through the tunnel "
        "hands it out",
        file=sys.stderr,
    )


def _write_png(path: Path, code: object) -> None:
    import io

    from detour.files import write_atomic

    image = io.BytesIO()
    code.save(image, kind="png", scale=6)  # type: ignore[attr-defined]
    try:
        write_atomic(path, image.getvalue())
    except OSError as error:
        raise fail(f"{path}: {error.strerror}") from None


def _providers(loaded: Loaded) -> set:
    """The providers' addresses as the DNS has them now; who has none is said on standard error."""
    from detour.gateway.hosts import redirected
    from detour.gateway.resolve import ResolveError, ask, make_resolver

    hosts = redirected(loaded.config, loaded.registry)
    try:
        answers = asyncio.run(ask(make_resolver(), hosts, (4, 6)))
    except ResolveError as error:
        raise fail(str(error)) from None
    missing = [answer.host for answer in answers if not answer.addresses]
    if missing:
        print(
            f"detour: without an address now, and so not led through the tunnel: {', '.join(missing)}",
            file=sys.stderr,
        )
    found = {address for answer in answers for address in answer.addresses}
    if not found:
        raise fail("no provider's address could be found; look at this machine's DNS, or add --all-traffic")
    print(
        f"detour: the addresses of {len(hosts) - len(missing)} providers' hosts as they are now; they change, and "
        "`detour gateway peer show` has the new ones",
        file=sys.stderr,
    )
    return found


def _say_when(loaded: Loaded) -> None:
    from detour import runtime
    from router_core.paths import paths

    running = runtime.read(paths(loaded.config).runtime)
    if running and running.wireguard:
        text = f"the running instance (pid {running.pid}) opens its tunnel anew for it in a moment"
    else:
        text = "it counts as soon as `detour run` serves the tunnel"
    print(f"detour: {text}", file=sys.stderr)
