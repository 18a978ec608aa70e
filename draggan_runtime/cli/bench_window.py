"""``draggan bench window``: what the window costs the drag, and the drag the hand."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import statistics
import subprocess
import threading
import time
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from draggan_runtime import api
from draggan_runtime.cli.common import Format, FormatOption, SetOption, override, parse_point, print_json
from draggan_runtime.display_probe import display_reachable
from draggan_runtime.errors import UserError
from draggan_runtime.live import LOOK, set_param
from draggan_runtime.messages import Frame, Goal
from draggan_runtime.node import Turn
from draggan_runtime.session import pairs

HEADLESS, WATCHED, USED = "headless", "window", "window and hand"


class _Hand:
    """Presses + and - in a window, over and over, until it is told to rest."""

    def __init__(self, window: str, rate: float) -> None:
        self.sent = 0
        self._window, self._pause = window, 1 / rate
        self._rest = threading.Event()
        self._thread = threading.Thread(target=self._press)

    def __enter__(self) -> _Hand:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._rest.set()
        self._thread.join()

    def _press(self) -> None:
        with subprocess.Popen(["xdotool", "-"], stdin=subprocess.PIPE, text=True) as xdotool:
            assert xdotool.stdin is not None
            for key in itertools.cycle(("equal", "minus")):
                if self._rest.wait(self._pause):
                    break
                xdotool.stdin.write(f"key --window {self._window} {key}\n")
                xdotool.stdin.flush()
                self.sent += 1


class _Watched:
    """One drag of a session, and what happened meanwhile; pumped as the live loop does it."""

    def __init__(self, session: api.Session) -> None:
        self.session, self.app = session, session.app
        self.handled = 0
        self.frames: list[tuple[float, Frame]] = []  # when each picture came to the display
        self.app.watch(self._see)

    def _see(self, node: str, turn: Turn) -> None:
        frame: Frame | None = turn.get("frame")
        if node == "display" and frame is not None:
            self.frames.append((time.monotonic(), frame))

    def drag(self, seed: int, pair: api.Pair, hand: _Hand | None) -> dict[str, Any]:
        self.session.seed(seed)
        self.app.post(Goal(session=self.session.record.id, points=pairs([pair])))
        self.app.run_until_settled()
        self._obey()
        self.handled = 0
        with hand or contextlib.nullcontext():
            steps = self._pump()
            handled = self.handled
        end = time.monotonic() + 0.5
        while time.monotonic() < end or not self.app.settled:  # what still waited when the drag ended
            self.app.pump(LOOK)
        self._obey()
        wall = steps[-1] - steps[0]
        shown = [frame for at, frame in self.frames if steps[0] < at <= steps[-1]]
        full = [at for at, frame in self.frames if at > steps[-1] and not frame.preview]
        return {
            "steps_per_second": (len(steps) - 1) / wall,
            "pictures_per_second": len(shown) / wall,
            "full_pictures_per_second": sum(not frame.preview for frame in shown) / wall,
            "last_picture_after": full[0] - steps[-1] if full else 0.0,
            "events_sent_per_second": hand.sent / wall if hand else 0.0,
            "events_per_second": handled / wall,
            "events_lost": hand.sent - self.handled if hand else 0,
        }

    def _pump(self) -> list[float]:
        """Drag to the end; when each feedback came."""
        steps: list[float] = []
        self.frames.clear()
        self.app.on_progress = lambda _: steps.append(time.monotonic())
        self.app.start_drag()
        while self.app.dragging:
            self.app.pump(LOOK)
            self._obey()
        self.app.on_progress = None
        return steps

    def _obey(self) -> None:
        """Carry out what the hand asked for: each key is a change of the step size."""
        commands, self.app.commands = self.app.commands, []
        for command in commands:
            if command.verb == "set":
                set_param(self.app, command.argument)
                self.handled += 1


def window(
    seed: Annotated[int, typer.Option(min=0)] = 7,
    point: Annotated[str, typer.Option(metavar="X,Y:X,Y")] = "512,590:700,590",
    steps: Annotated[int, typer.Option(min=2, help="Latent updates a repeat.")] = 60,
    repeats: Annotated[int, typer.Option(min=1)] = 3,
    rate: Annotated[float, typer.Option(min=1, max=200, help="Keys pressed per second.")] = 30,
    set_: SetOption = None,
    format_: FormatOption = Format.table,
) -> None:
    """Run one edit without a window, in the window, and in the window while keys are pressed.

    \b
    draggan bench window
    xvfb-run -s "-screen 0 1280x1024x24" draggan bench window

    The hand is xdotool; each key goes all the way to the engine (+ and -: the step size). Steps, pictures (previews and
    full ones) and keys per second while dragging, and how long after its end the last picture came; the three in
    turn, so that a machine whose speed drifts does not favour one.
    """
    if shutil.which("xdotool") is None:
        raise UserError("the hand of this benchmark is xdotool, which is not installed; on Debian: apt install xdotool")
    if (reason := display_reachable()) is not None:
        raise UserError(f"no window can open: {reason}; try xvfb-run draggan bench window")
    pair = parse_point(point)
    overrides = [override("drag.max_steps", steps), *(set_ or [])]
    runs: dict[str, list[dict[str, Any]]] = {HEADLESS: [], WATCHED: [], USED: []}
    with (
        api.open(seed=seed, launch="live-headless", set=overrides) as without,
        api.open(seed=seed, launch="live", set=[*overrides, "capture.seed=null"]) as live,
    ):
        ours = _window_id()
        for _ in range(repeats):
            for name, session in ((HEADLESS, without), (WATCHED, live), (USED, live)):
                hand = _Hand(ours, rate) if name == USED else None
                runs[name].append(_Watched(session).drag(seed, pair, hand))
    rows = [{"run": name, **_medians(runs[name])} for name in runs]
    for row in rows:
        row["ratio"] = row["steps_per_second"] / rows[0]["steps_per_second"]
    if format_ is Format.json:
        print_json(rows)
        return
    table = Table("", "steps/s", "of headless", "pictures/s", "the last", "keys/s", "lost")
    for row in rows:
        table.add_row(
            row["run"],
            f"{row['steps_per_second']:.1f}",
            f"{row['ratio']:.0%}",
            f"{row['pictures_per_second']:.1f}",
            f"{row['last_picture_after']:.2f} s",
            f"{row['events_per_second']:.0f}",
            f"{row['events_lost']:.0f}",
        )
    Console().print(table)


def _window_id() -> str:
    found = subprocess.run(
        ["xdotool", "search", "--onlyvisible", "--name", "^draggan"], capture_output=True, text=True, check=False
    ).stdout.split()
    if not found:
        raise UserError("the window did not open")
    # Without a window manager nobody else gives it the focus.
    subprocess.run(["xdotool", "windowfocus", found[-1]], check=False)
    return found[-1]


def _medians(runs: list[dict[str, Any]]) -> dict[str, Any]:
    return {key: statistics.median(run[key] for run in runs) for key in runs[0]}
