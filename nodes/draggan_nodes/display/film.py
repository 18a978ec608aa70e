"""A film of a live session, from one press of a key to the next, as long as it took."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import av
from pydantic import Field

from draggan_nodes.display.draw import overlay
from draggan_nodes.display.trail import Trail
from draggan_nodes.display.video import VideoWriter
from draggan_runtime.errors import UserError
from draggan_runtime.files import unused, writable_folder
from draggan_runtime.messages import Command, Frame, Goal, LatentRequest, Mask, Notice, Progress, Recording
from draggan_runtime.node import Node, NodeParams, Turn, event, latched
from draggan_runtime.pictures import Pixels, pixels, watermarked


class FilmParams(NodeParams):
    """Where films go, and what is in them."""

    out: str = Field("out", description="folder for the films; each has a name of its own")
    format: Literal["mp4", "gif"] = Field("mp4", description="H.264 in MP4, or GIF")
    fps: int = Field(12, ge=1, le=60, description="pictures per second at most")
    points: bool = Field(False, description="draw handles, targets and mask in the film")
    watermark: bool = Field(False, description="draw 'synthetic' in a corner")


class Film:
    """A film whose pictures stand as long as they were the newest."""

    def __init__(self, path: Path, fps: int, now: float) -> None:
        self.path = path
        self._fps = fps
        self._writer = VideoWriter(path, fps, hold=0, even=False)
        self._start = now
        self._image: Pixels | None = None
        self._since = 0  # the picture's place, in 1/fps s from the start

    def show(self, image: Pixels, now: float) -> None:
        """From ``now`` (s) on, ``image`` is the newest."""
        place = self._place(now)
        if self._image is None:
            self._start, place = now, 0  # nothing to show before the first
        elif place > self._since:
            self._writer.add(self._image, place - self._since)
        self._image, self._since = image, place

    def close(self, now: float) -> bool:
        """Finish the file; False if there was no picture, and so is no file."""
        if self._image is None:
            return False
        if (rest := self._place(now) - self._since) > 1:
            self._writer.add(self._image, rest - 1)  # once more at the end, so that players hold it until there
        self._writer.add(self._image)
        self._writer.close()
        return True

    def discard(self) -> None:
        """Give up: leaves no file."""
        self._writer.discard()

    def _place(self, now: float) -> int:
        return round((now - self._start) * self._fps)


@dataclass
class FilmState:
    """The newest picture and what belongs to it; the film, while one is recorded."""

    frame: Frame | None = None
    goal: Goal | None = None
    trail: Trail = field(default_factory=Trail)
    film: Film | None = None


class FilmRecorder(Node):
    """Records a session: the command ``record`` begins a film of what is shown from then on, the next one ends it.

    A film is paced as the session was. Its name is the command's argument, else one that is not taken yet. It appears
    whole, at its end or at deactivate, and says in its metadata that it is synthetic. What goes wrong ends
    the recording, is said, and nothing else.
    """

    Params = FilmParams
    State = FilmState
    inputs = {
        "command": event(Command),
        "frame": event(Frame),
        "goal": event(Goal, optional=True),
        "mask": latched(Mask, optional=True),
        "progress": event(Progress, optional=True),
        "request": event(LatentRequest, optional=True),
    }
    outputs = {"recording": Recording, "notice": Notice}

    def configure(self) -> None:
        self._films: list[Film] = []

    def step(self, turns: Sequence[Turn]) -> None:
        for turn in turns:
            try:
                self._take(turn)
            except (UserError, OSError, ValueError, av.FFmpegError) as error:
                self._give_up(turn, f"the recording has ended: {error}")

    def deactivate(self) -> None:
        while self._films:
            self._films.pop().close(time.monotonic())

    def cleanup(self) -> None:
        while self._films:
            self._films.pop().discard()

    def snapshot(self, state: Any) -> dict[str, Any]:
        """Nothing: a film does not go on elsewhere."""
        return {}

    def restore(self, data: Mapping[str, Any]) -> FilmState:
        return FilmState()

    def _take(self, turn: Turn) -> None:
        state: FilmState = turn.state
        command: Command | None = turn.get("command")
        progress: Progress | None = turn.get("progress")
        if command is not None and command.verb == "record":
            self._toggle(turn, command.argument)
        elif progress is not None:
            state.trail.add(progress)
        elif turn.get("request") is not None:
            state.trail.clear()
        elif (frame := turn.get("frame")) is not None:
            state.frame = frame
            self._show(turn)
        elif (goal := turn.get("goal")) is not None:
            state.goal = goal
            state.trail.follow(goal)
            if self.params.points:
                self._show(turn)

    def _toggle(self, turn: Turn, argument: str) -> None:
        state: FilmState = turn.state
        if state.film is None:
            path = Path(argument) if argument else unused(Path(self.params.out), "recording", self.params.format)
            writable_folder(path.parent)
            state.film = Film(path, self.params.fps, time.monotonic())
            self._films.append(state.film)
            self._say(turn, f"recording to {path}", str(path))
            self._show(turn)
            return
        film, state.film = state.film, None
        self._films.remove(film)
        if film.close(time.monotonic()):
            self._say(turn, f"wrote {film.path}")
        else:
            self._say(turn, "nothing was recorded: there was no picture", problem=True)

    def _show(self, turn: Turn) -> None:
        """Put what is shown now into the film."""
        state: FilmState = turn.state
        if state.film is None or state.frame is None:
            return
        image = pixels(state.frame.image)
        if self.params.points:
            image = overlay(image, state.goal, state.trail.at(state.frame.step), turn.get("mask"))
        state.film.show(watermarked(image) if self.params.watermark else image, time.monotonic())

    def _give_up(self, turn: Turn, why: str) -> None:
        state: FilmState = turn.state
        film, state.film = state.film, None
        if film is not None:
            film.discard()
            if film in self._films:
                self._films.remove(film)
        self._say(turn, why, problem=True)

    def _say(self, turn: Turn, text: str, path: str = "", problem: bool = False) -> None:
        turn.emit("recording", Recording(session=turn.session, path=path))
        turn.emit("notice", Notice(session=turn.session, text=text, problem=problem))
