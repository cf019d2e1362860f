"""The dashboard's pages. Each works without JavaScript; scripts only keep it up to date."""

from __future__ import annotations

from typing import Final

from starlette.routing import Route

from detour.admin.pages import captures, exchanges, login, overview, routing, settings, shell, usage
from detour.admin.pages.shell import PAGES

__all__ = ["PAGES", "ROUTES"]

ROUTES: Final = [
    Route("/", overview.overview),
    Route("/login", login.login, methods=["GET", "POST"]),
    Route("/logout", login.logout, methods=["POST"]),
    Route("/live", exchanges.live),
    Route("/exchanges/{id}", exchanges.exchange),
    Route("/credentials", routing.credentials),
    Route("/credentials/{id}/{action}", routing.change_credential, methods=["POST"]),
    Route("/models", routing.models),
    Route("/usage", usage.usage),
    Route("/usage.csv", usage.usage_csv),
    Route("/captures", captures.captures),
    Route("/captures/{id}", captures.capture),
    Route("/settings", settings.settings),
    Route("/settings/check", settings.check_settings, methods=["POST"]),
    Route("/settings/reload", settings.reload_settings, methods=["POST"]),
    Route("/logs", settings.logs),
    Route("/favicon.ico", shell.favicon),
]
