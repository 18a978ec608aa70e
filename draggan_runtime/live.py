"""The live loop: a graph whose capture node is in charge, until it says quit."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from draggan_runtime.app import App
from draggan_runtime.errors import UserError
from draggan_runtime.files import unused
from draggan_runtime.graph.layers import split_override
from draggan_runtime.graph.source import scalar
from draggan_runtime.messages import Command, Frame, Inverting, Progress
from draggan_runtime.pictures import COMPOSITE, save_png
from draggan_runtime.session import SessionRecord, dump_session, load_session, save_session

Say = Callable[[str], None]

#: s between two looks at the window while there is something to wait for. OpenCV keeps one key between two looks.
LOOK = 0.01
#: Of a drag's time, the most that goes into keeping its session, which is large if it has a photo.
_SHARE = 0.1


def set_param(app: App, assignment: str) -> None:
    """The command ``set``: ``node.parameter=value`` or ``node.impl=name``. Raises UserError if it does not fit."""
    key, value = split_override(assignment)
    node, _, param = key.partition(".")
    app.change(node, {param: scalar(value)})


def how_it_ended(progress: Progress) -> str:
    """A drag's last progress in words."""
    far = max(progress.distances.values(), default=0.0)
    return f"{progress.stopped} after {progress.drag_steps} steps, {far:.1f} px left"


def how_like(found: Inverting) -> str:
    """An inversion's end in words."""
    return f"the photo's latent: {found.done} of {found.of} steps, {found.distance:.3f} from it by {found.by}"


def fresh_path(out: Path, record: SessionRecord) -> Path:
    """A name for a session file in ``out`` that is not taken yet."""
    return unused(out, f"seed{record.seed}" if record.seed is not None else "edit", "draggan")


class Live:
    """Carries out the captures' commands; bad input is said, in the window too, and never ends the session.

    ``say`` prints a line for the user. ``out``: folder for what is saved; ``autosave.draggan`` there always holds the
    session as it is; while a drag runs, as it was some steps before, if keeping each would take long.
    """

    def __init__(self, app: App, say: Say, out: Path) -> None:
        self.app = app
        self.out = out
        self.autosave = out / "autosave.draggan"
        self._say = say
        self._ended: Progress | None = None
        self._found: Inverting | None = None
        self._said_failures = 0
        self._saved = app.revision
        self._keep_from = 0.0  # not before
        self._last: Path | None = None
        self._picture: Path | None = None
        self._verbs: dict[str, Callable[[str], None]] = {
            "start": lambda _: app.start_drag(),
            "stop": lambda _: app.cancel(),
            "undo": lambda _: app.undo(),
            "redo": lambda _: app.redo(),
            "save": self._save,
            "open": self._open,
            "set": self._set,
        }

    def run(self) -> None:
        """Until the capture says quit."""
        if self.autosave.exists():
            previous = self.autosave.with_stem("autosave-previous")
            self.autosave.replace(previous)
            self._say(f"the session before is in {previous}")
        try:
            while self._turn():
                pass
        finally:
            self._keep()

    def _turn(self) -> bool:
        """Let things happen once; False after a command to quit."""
        moved = self.app.pump(wait=LOOK)
        self._report()
        commands, self.app.commands = self.app.commands, []
        for command in commands:
            if command.verb == "quit":
                self.app.cancel()
                self.app.run_until_settled()
                self._report()
                self._save_picture()
                return False
            self._carry_out(command)
        if not self.app.dragging or time.monotonic() >= self._keep_from:
            self._keep()
        self._save_picture()
        if not (moved or commands):
            time.sleep(0.002)
        return True

    def say(self, text: str, problem: bool = False) -> None:
        """To the terminal and to the window."""
        self._say(text)
        self.app.notice(text, problem)

    def _carry_out(self, command: Command) -> None:
        act = self._verbs.get(command.verb)
        if act is None:  # a verb for another node
            return
        try:
            act(command.argument)
        except UserError as error:
            self.say(str(error), problem=True)
            if command.verb == "start" and not self.app.looking:  # then no capture thinks that it has started
                self.app.refuse(str(error))

    def _report(self) -> None:
        """Say how a drag ended, what failed, and what nodes have to say."""
        progress = self.app.progress
        if progress is not None and progress.stopped and progress is not self._ended:
            self._ended = progress
            self._say(how_it_ended(progress))
        inverting = self.app.inverting
        if inverting is not None and inverting.finished and inverting is not self._found:
            self._found = inverting
            self.say(how_like(inverting))
        for failure in self.app.failures[self._said_failures :]:
            self.say(str(failure), problem=True)
        self._said_failures = len(self.app.failures)
        refused, self.app.refused = self.app.refused, []
        for why in refused:
            self.say(why, problem=True)
        notices, self.app.notices = self.app.notices, []
        for notice in notices:
            self.say(notice.text, notice.problem)

    def _keep(self) -> None:
        """Write the session if it has changed."""
        app = self.app
        if app.revision != self._saved and app.record.w_plus is not None:
            self._saved, began = app.revision, time.monotonic()
            # While dragging this is each step: safe from a crash of the program, and soon also from one of the machine.
            save_session(app.record, self.autosave, sync=not app.dragging)
            self._keep_from = began + (time.monotonic() - began) / _SHARE if app.dragging else 0.0

    def _save_picture(self) -> None:
        """Write a picture that was asked for, once it is drawn."""
        app = self.app
        if self._picture is not None and (frame := self._current_frame()) is not None:
            picture, self._picture = self._picture, None
            save_png(picture, frame.image, session=dump_session(app.record))
            self.say(f"saved {picture}")
            if (pasted := app.pasted) is not None and pasted.step == frame.step:
                photo = picture.with_stem(f"{picture.stem}-photo")
                save_png(photo, pasted.image, source=COMPOSITE)
                self.say(f"saved {photo}")

    def _current_frame(self) -> Frame | None:
        """The picture of the session's latent, if it is drawn and nothing moves."""
        frame = self.app.frame
        fits = frame is not None and frame.step == self.app.record.step and self.app.settled
        return frame if fits else None

    def _set(self, assignment: str) -> None:
        known = len(self.app.graph.notes)
        set_param(self.app, assignment)
        for note in self.app.graph.notes[known:]:
            self.say(note)

    def _save(self, argument: str) -> None:
        path = Path(argument) if argument else fresh_path(self.out, self.app.record)
        save_session(self.app.record, path)
        self._last, self._picture = path, path.with_suffix(".png")
        self.say(f"saved {path}")

    def _open(self, argument: str) -> None:
        path = Path(argument) if argument else self._last
        if path is None:
            path = self.autosave.with_stem("autosave-previous")
        self.app.adopt(load_session(path))
        self.say(f"opened {path}")
