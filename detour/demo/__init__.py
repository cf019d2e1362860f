"""`detour demo`: proves what Detour does, with no key and no network.

Fake providers on loopback stand behind a real Detour; each scene sends real traffic through it and looks
at both ends. Everything that it makes is in a temporary folder and gone when it ends.
"""

from __future__ import annotations

import asyncio
import io
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from detour.demo.scenes import SCENES, Failed, Scene
from detour.demo.stage import Stage, StartError

TIME_LIMIT = 20.0
"""Seconds for one scene."""


def main(console: Console | None = None) -> int:
    """Play every scene. Returns the exit code: 0, or 1 after naming what failed."""
    # A terminal that cannot show a character gets another one, not an error.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    return asyncio.run(_play(console or Console(highlight=False)))


async def _play(console: Console) -> int:
    failed: list[str] = []
    with tempfile.TemporaryDirectory(prefix="detour-demo-") as folder:
        try:
            async with Stage(Path(folder)) as stage:
                stage.introduce(console)
                for number, scene in enumerate(SCENES, 1):
                    console.print(f"\n[bold]{number}. {scene.title}[/bold]")
                    if problem := await _problem(scene, stage, console):
                        failed.append(scene.title)
                        console.print(f"   [red]✗ {problem}[/red]", soft_wrap=True)
                    else:
                        console.print(f"   [green]✓ {scene.proves}[/green]", soft_wrap=True)
                if failed:
                    console.print(f"\nDetour's last words:\n{stage.last_words()}", markup=False)
        except StartError as error:
            console.print(f"Detour did not start: {error}", style="red", markup=False)
            return 1
    if failed:
        console.print(f"\n[red]{len(failed)} of {len(SCENES)} failed: {'; '.join(failed)}[/red]")
        return 1
    console.print(
        f"\n[green]All {len(SCENES)} proved.[/green] Your own: detour exec -- COMMAND, or detour run"
    )
    return 0


async def _problem(scene: Scene, stage: Stage, console: Console) -> str | None:
    """What went wrong in a scene, or None."""
    try:
        async with asyncio.timeout(TIME_LIMIT):
            await scene.play(stage, console)
    except Failed as error:
        return str(error)
    except TimeoutError:
        return f"not done within {TIME_LIMIT:g} s"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None
