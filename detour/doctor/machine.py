"""What can be seen without leaving this machine."""

from __future__ import annotations

import importlib.metadata
import math
import os
import platform
import stat
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from detour import __version__, ca, remote, runtime
from detour.doctor.finding import Finding, bad, note, ok
from detour.environment import reachable
from detour.listeners import KINDS, LISTENERS, STREAM
from detour.ports import bind_error, parse_address
from router_core import processes
from router_core.config import secrets
from router_core.config.loader import Loaded
from router_core.config.schema import Config, CredentialConfig
from router_core.config.units import write_duration
from router_core.paths import paths

PROXY_VARIABLES: Final = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")


def interpreter() -> Iterator[Finding]:
    yield ok("python", f"{platform.python_version()} at {sys.executable}")


def mitmproxy() -> Iterator[Finding]:
    """Its version, and whether the parts of it that failover stands on are where they were."""
    from addons.failover import selfcheck

    version = importlib.metadata.version("mitmproxy")
    rust = importlib.metadata.version("mitmproxy_rs")
    if problems := selfcheck.problems():
        remedy = "install the versions of requirements.lock; until then requests are routed without failover"
        yield bad("mitmproxy", f"{version} is not what failover needs: {'; '.join(problems)}", remedy)
    else:
        yield ok("mitmproxy", f"{version} (mitmproxy_rs {rust}), detour {__version__}")


def folders(config: Config, env: Mapping[str, str]) -> Iterator[Finding]:
    where = paths(config, env)
    for folder in dict.fromkeys((where.data, where.state)):
        # What does not exist yet will be made in the nearest folder that does.
        nearest = next(path for path in (folder, *folder.parents) if path.exists())
        if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
            yield bad("folders", f"{folder} cannot be written", "make it yours, or set data_dir")
        else:
            yield ok("folders", f"{folder} can be written")


def ports(config: Config, env: Mapping[str, str]) -> Iterator[Finding]:
    running = runtime.read(paths(config, env).runtime)
    for name in LISTENERS:
        written = getattr(config.listen, name)
        if not written:
            continue
        address = parse_address(written)
        error = bind_error(address, KINDS.get(name, STREAM)) if address.port else None
        if error is None:
            yield ok(f"listen.{name}", f"{address} is free")
        elif running and getattr(running, name) == written:
            yield ok(f"listen.{name}", f"{address} is Detour's (pid {running.pid})")
        else:
            holder = processes.listener(address.port) if name not in KINDS else None
            by = f", held by {holder}" if holder else ""
            yield bad(f"listen.{name}", f"{address}: {error.strerror}{by}", "stop it, or choose another port")


def admin_token(config: Config, env: Mapping[str, str]) -> Iterator[Finding]:
    from detour.admin.token import TokenError, read_token

    file = paths(config, env).admin_token
    if not config.listen.admin:
        return
    if not file.exists():
        yield note("admin token", f"will be in {file}", "detour run makes it")
        return
    try:
        read_token(file)
    except TokenError as error:
        yield bad("admin token", str(error))
    else:
        yield ok("admin token", f"in {file}")


def authority(loaded: Loaded, env: Mapping[str, str]) -> Iterator[Finding]:
    found = ca.ca_paths(paths(loaded.config, env).ca)
    if not found.key_pem.exists():
        yield note("ca", "there is none yet", "detour run, exec and env make it")
        return
    status = found.key_pem.stat()
    # Root looks after a service's, which is that service's user's like the folder.
    owner = os.getuid() or found.confdir.stat().st_uid
    if stat.S_IMODE(status.st_mode) & 0o077:
        yield bad(
            "ca", f"{found.key_pem} can be read by others", f"chmod 600 {found.key_pem}; or detour ca rotate"
        )
    elif status.st_uid != owner:
        yield bad(
            "ca",
            f"{found.key_pem} belongs to another user (uid {status.st_uid})",
            f"chown {owner} {found.key_pem}, or set ca.dir",
        )
    try:
        _, certificate = ca.load(found)
    except (ca.CAError, OSError) as error:
        yield bad("ca", str(error))
        return
    if reason := ca.unfit(certificate, ca.intercepted(loaded.config, loaded.registry)):
        yield note("ca", reason, "it is issued again at the next start")
    else:
        yield ok("ca", f"{found.cert_pem}, until {certificate.not_valid_after_utc:%Y-%m-%d}")


def refusals(loaded: Loaded) -> Iterator[Finding]:
    """The clients that do not accept the certificate of the running instance."""
    try:
        answer = remote.ask(loaded, "GET", "refusals")
    except remote.RemoteError as error:
        yield note("instance", str(error))
        return
    for refusal in answer["refusals"] if answer else ():
        what = f"{refusal['name']} does not trust the authority for {refusal['host']} ({refusal['reason']})"
        if refusal["tunnelled_for"]:
            left = write_duration(60.0 * math.ceil(refusal["tunnelled_for"] / 60))
            what += f"; it is tunnelled, and not routed, for {left} more"
        yield note("ca", what, refusal["remedy"])


def proxy_variables(loaded: Loaded, env: Mapping[str, str]) -> Iterator[Finding]:
    """Whether a proxy setting leads in a circle, or past Detour."""
    own = {reachable(written) for name in LISTENERS if (written := getattr(loaded.config.listen, name))}
    running = runtime.read(paths(loaded.config, env).runtime)
    if running:
        own |= {address for name in LISTENERS if (address := getattr(running, name))}
    upstream = loaded.config.upstream.proxy
    if upstream and _address(upstream) in own:
        yield bad(
            "upstream.proxy", "is Detour itself, so that every request would come back", "name another proxy"
        )
    for credential in loaded.config.credentials:
        if credential.proxy and _address(credential.proxy) in own:
            yield bad(
                f"credential {credential.id}", "its proxy is Detour itself", "name another proxy, or direct"
            )
    leading = sorted({name for name in PROXY_VARIABLES if _address(env.get(name, "")) in own})
    if leading and not running:
        yield note("environment", f"{leading[0]} leads to Detour, which does not run", "start it: detour run")
    exempt = {
        part.strip().lstrip(".*") for part in (env.get("NO_PROXY") or env.get("no_proxy") or "").split(",")
    }
    past = [
        h for h in sorted(loaded.registry.hosts) if any(e and (h == e or h.endswith(f".{e}")) for e in exempt)
    ]
    if past:
        yield note(
            "environment", f"NO_PROXY leads past Detour for {', '.join(past)}", "take them out of NO_PROXY"
        )


def _address(url: str) -> str:
    """``HOST:PORT`` of a proxy's URL as `reachable` writes it, or nothing."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        return reachable(f"{'127.0.0.1' if parts.hostname == 'localhost' else parts.hostname}:{parts.port}")
    except ValueError:
        return ""


async def credentials(loaded: Loaded, env: Mapping[str, str]) -> list[Finding]:
    """Whether each secret can be had. A variable that is unset only means that a credential is not used."""
    return [await _credential(credential, env) for credential in loaded.config.credentials]


async def _credential(credential: CredentialConfig, env: Mapping[str, str]) -> Finding:
    subject = f"credential {credential.id}"
    if not credential.enabled:
        return note(subject, "switched off")
    if credential.api_key:
        try:
            await secrets.resolve(credential.api_key, env)
        except secrets.SecretError as error:
            return (note if credential.api_key.kind == "env" else bad)(subject, str(error))
        return ok(subject, f"has a secret from {secrets.describe(credential.api_key)}")
    file = credential.token_file or (credential.oauth and credential.oauth.token_file)
    if file and (warning := _file_warning(file)):
        return bad(subject, warning)
    return ok(subject, f"has the token file {file}" if file else "has a refresh token")


def _file_warning(file: str) -> str | None:
    return secrets.file_warning(Path(file).expanduser())
