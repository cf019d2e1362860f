"""What only the whole configuration can tell of its credentials: their providers, their secrets, their limits."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from router_core.config.document import Path as Place
from router_core.config.problems import nearest, shown
from router_core.config.report import Report
from router_core.config.schema import (
    Config,
    CredentialConfig,
    OAuth,
    QuotaLimit,
    SecretRef,
)
from router_core.config.secrets import SecretError, describe, file_warning, resolve_now
from router_core.config.values import (
    Fault,
    base_url_faults,
    header_faults,
    is_loopback,
    proxy_faults,
)
from router_core.providers.model import Provider
from router_core.providers.registry import Registry

_PREFIX: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TIME_OF_DAY: Final = re.compile(r"(?:[01]\d|2[0-3]):[0-5]\d")
_KINDS: Final = ("api_key", "oauth", "token_file")


def check_credentials(config: Config, registry: Registry, report: Report, env: Mapping[str, str]) -> None:
    seen: set[str] = set()
    for number, credential in enumerate(config.credentials):
        path: Place = ("credentials", number)
        # Ids become file names, which some systems compare without case.
        if credential.id.casefold() in seen:
            report.error(
                (*path, "id"), f"credential id {shown(credential.id)} is given twice", "rename one of them"
            )
        seen.add(credential.id.casefold())
        provider = _provider(credential, path, registry, report)
        _credential(credential, provider, path, registry, report)
        if credential.enabled:
            _usable(credential, provider, path, report, env)


def _provider(
    credential: CredentialConfig, path: Place, registry: Registry, report: Report
) -> Provider | None:
    name = credential.provider
    provider = registry.provider(name)
    if provider is not None and provider.name == name:
        return provider
    if provider is not None:
        what = f"{shown(name)} is only another name of provider {provider.name} in paths"
        report.error((*path, "provider"), what, f"write provider: {provider.name}")
    elif name in registry.templates:
        what = f"{shown(name)} is a pattern without an address"
        report.error(
            (*path, "provider"), what, f"add providers: {{NAME: {{extends: {name}, base_url: ...}}}}"
        )
    elif name not in report.names("providers"):
        # A provider that stands there but is broken has been reported already.
        remedy = (
            nearest(name, registry.names) or "`detour models` lists the providers; add yours under providers"
        )
        report.error((*path, "provider"), f"unknown provider {shown(name)}", remedy)
    return None


def _credential(
    credential: CredentialConfig, provider: Provider | None, path: Place, registry: Registry, report: Report
) -> None:
    kinds = [key for key in _KINDS if getattr(credential, key) is not None]
    if len(kinds) > 1:
        report.error((*path, kinds[1]), f"has {' and '.join(kinds)}", "keep one of them")
    # A key that stands there and is broken has been reported already.
    elif (
        not kinds
        and _wants_key(credential, provider)
        and report.written_keys("credentials", path).isdisjoint(_KINDS)
    ):
        report.error(path, f"credential {shown(credential.id)} holds no secret", "add api_key: env:NAME")
    prefix = credential.prefix
    if prefix is not None:
        if not _PREFIX.fullmatch(prefix):
            what, remedy = f"{shown(prefix)} cannot be a prefix", "use letters, digits and . _ -"
            report.error((*path, "prefix"), what, remedy)
        elif prefix in registry.names or prefix in registry.templates:
            what = f"prefix {shown(prefix)} is also a provider's name"
            report.error((*path, "prefix"), what, "choose another prefix")
    if credential.proxy and credential.proxy not in ("direct", "none"):
        report.faults((*path, "proxy"), proxy_faults(credential.proxy))
    if credential.base_url:
        insecure = provider.insecure if provider else False
        report.faults((*path, "base_url"), base_url_faults(credential.base_url, insecure))
    for header, fault in header_faults(credential.headers):
        report.faults((*path, "headers", header), [fault])
    for number, limit in enumerate(credential.limits):
        report.faults((*path, "limits", number), limit_faults(limit))
    if credential.oauth:
        report.faults((*path, "oauth"), _oauth_faults(credential.oauth))


def _wants_key(credential: CredentialConfig, provider: Provider | None) -> bool:
    if provider is None:
        return False
    # A server on this machine often asks for none.
    parts = urlsplit(credential.base_url or provider.base_url)
    return bool(provider.auth) and not is_loopback(parts.hostname or "")


def limit_faults(limit: QuotaLimit) -> list[Fault]:
    found: list[Fault] = []
    if limit.tokens is None and limit.requests is None:
        found.append(("a limit limits nothing", "add tokens or requests"))
    if limit.reset_at is not None:
        if limit.window != "day":
            found.append(("reset_at is a time of day", "write window: day, or remove it"))
        if not _TIME_OF_DAY.fullmatch(limit.reset_at):
            found.append((f"reset_at {shown(limit.reset_at)} is no time of day", "write HH:MM, e.g. 07:30"))
    return found


def _oauth_faults(oauth: OAuth) -> list[Fault]:
    found = [(f"token_url: {what}", remedy) for what, remedy in base_url_faults(oauth.token_url, False)]
    if oauth.refresh_token is None and oauth.token_file is None:
        found.append(("oauth has no refresh token", "add token_file: PATH or refresh_token: env:NAME"))
    return found


def _usable(
    credential: CredentialConfig,
    provider: Provider | None,
    path: Place,
    report: Report,
    env: Mapping[str, str],
) -> None:
    """Warns of everything because of which the credential will not be used, or of a careless secret."""
    reasons: list[tuple[Place, str]] = []
    if provider is not None and not provider.enabled:
        reasons.append(((*path, "provider"), f"provider {provider.name} is disabled"))
    refs = [((*path, "api_key"), credential.api_key)]
    if credential.oauth:
        refs += [
            ((*path, "oauth", key), getattr(credential.oauth, key))
            for key in ("client_secret", "refresh_token")
        ]
    for where, ref in refs:
        if ref is not None and (reason := unusable(where, ref, report, env)):
            reasons.append((where, reason))
    if credential.token_file and not Path(credential.token_file).is_file():
        reasons.append(((*path, "token_file"), f"there is no file {credential.token_file}"))
    for where, reason in reasons:
        report.inactive.setdefault(credential.id, reason)
        report.warn(where, f"credential {shown(credential.id)} is inactive: {reason}")


def unusable(path: Place, ref: SecretRef, report: Report, env: Mapping[str, str]) -> str | None:
    """Why `ref` leads to no secret, or None. Warns of secrets that others may read."""
    if ref.kind == "command":
        program = ref.argv[0]
        return None if shutil.which(program, path=env.get("PATH")) else f"{describe(ref)} is not there"
    if ref.kind == "literal":
        report.warn(path, "the secret itself stands in the file", "write env:NAME or file:PATH instead")
    if ref.kind == "file" and (reason := file_warning(Path(ref.name))):
        if "other users" not in reason:
            return reason
        report.warn(path, reason, f"run chmod 600 {ref.name}")
    try:
        resolve_now(ref, env)
    except SecretError as error:
        return str(error)
    return None
