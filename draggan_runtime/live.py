"""The live loop: a graph whose capture node is in charge, until it says quit."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from draggan_runtime.app import App
from draggan_runtime.errors import UserError
from draggan_runtime.messages import Command
from draggan_runtime.pictures import save_png
from draggan_runtime.session import save_session

Say = Callable[[str], None]


def run_live(app: App, say: Say, out: Path) -> None:
    """Carry out the captures' commands until one is ``quit``; bad input is said and never ends the session.

    ``out``: folder for what ``save`` writes when it names no file.
    """
    said, ended = 0, None
    while True:
        moved = app.pump(wait=0.005)
        if app.progress is not ended and app.progress is not None and app.progress.stopped:
            ended = app.progress
            far = max(ended.distances.values(), default=0.0)
            say(f"{ended.stopped} after {ended.drag_steps} steps, {far:.1f} px left")
        for failure in app.failures[said:]:
            say(str(failure))
        said = len(app.failures)
        commands, app.commands = app.commands, []
        for command in commands:
            if command.verb == "quit":
                app.cancel()
                app.run_until_settled()
                return
            try:
                _carry_out(app, command, say, out)
            except UserError as error:
                say(str(error))
                if command.verb == "start":
                    app.refuse(str(error))
        if not (moved or commands):
            time.sleep(0.002)


def _carry_out(app: App, command: Command, say: Say, out: Path) -> None:
    if command.verb == "start":
        app.start_drag()
    elif command.verb == "stop":
        app.cancel()
    elif command.verb == "save":
        path = Path(command.argument) if command.argument else _fresh(out, app)
        save_session(app.record, path)
        written = [str(path)]
        if app.frame is not None:
            picture = path.with_suffix(".png")
            save_png(picture, app.frame.image)
            written.append(str(picture))
        say(f"saved {' and '.join(written)}")


def _fresh(out: Path, app: App) -> Path:
    """A file name that is not taken yet."""
    stem = f"seed{app.record.seed}" if app.record.seed is not None else "edit"
    number = 1
    while (path := out / f"{stem}-{number}.draggan").exists():
        number += 1
    return path
