"""``detour doctor``: what could keep Detour from working here."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Annotated

import typer

from detour.commands.options import FAILED, ConfigOption, JsonOption, load, print_json

MARKS = {"ok": "ok  ", "note": "note", "bad": "BAD "}


def doctor(
    config: ConfigOption = None,
    offline: Annotated[bool, typer.Option(help="Only what needs no network.")] = False,
    json: JsonOption = False,
) -> None:
    """Check interpreter, ports, CA, credentials, providers and clock, each with the remedy; exit 1 if one is bad."""
    from detour import doctor

    loaded = load(config)
    findings = doctor.run(loaded, os.environ, offline=offline)
    if json:
        print_json([asdict(finding) for finding in findings])
    else:
        width = max(len(finding.subject) for finding in findings)
        for finding in findings:
            remedy = f"; {finding.remedy}" if finding.remedy else ""
            print(f"{MARKS[finding.level]}  {finding.subject:<{width}}  {finding.what}{remedy}")
    if any(finding.level == "bad" for finding in findings):
        raise typer.Exit(FAILED)
