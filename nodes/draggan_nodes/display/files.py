"""A display without a screen: pictures before and after, and a video of the edit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from draggan_nodes.display.draw import overlay
from draggan_nodes.display.trail import Trail
from draggan_nodes.display.video import SUFFIXES, VideoWriter
from draggan_runtime.errors import UserError
from draggan_runtime.files import writable_folder
from draggan_runtime.messages import Frame, Goal, Mask, Progress
from draggan_runtime.node import Node, NodeParams, Turn, event, latched
from draggan_runtime.pictures import Pixels, pixels, save_png, watermarked


class FileParams(NodeParams):
    """``out`` a folder for pictures and ``video`` a file for the film, "" for none."""

    out: str = Field("", description="folder for before.png, after.png and overlay.png; empty: none")
    video: str = Field("", description="the film of the edit, a path that ends in .mp4 or .gif; empty: none")
    fps: int = Field(25, ge=1, le=60, description="pictures per second of the film")
    watermark: bool = Field(False, description="draw 'synthetic' in a corner of everything written")
    points: bool = Field(False, description="draw handles and targets in the film")

    @field_validator("video")
    @classmethod
    def _video_suffix(cls, video: str) -> str:
        if video and Path(video).suffix.lower() not in SUFFIXES:
            raise ValueError(f"'{video}' does not end with {' or '.join(SUFFIXES)}")
        return video


@dataclass
class FileState:
    """The newest picture, and what the drag said of which step."""

    frame: Frame | None = None
    ended: Progress | None = None
    trail: Trail = field(default_factory=Trail)


class FileDisplay(Node):
    """Writes one session's ``before.png``, ``after.png`` and ``overlay.png`` to ``out``, and its film to ``video``.

    ``before.png`` is the first picture, or that of a new latent; ``after.png`` and ``overlay.png`` (the
    same with points and mask) are the picture at which a drag ended, and are written again when the next
    one ends. The film holds every picture that arrives and is finished by deactivate, or when ``video``
    changes. All appear whole or not at all.
    """

    Params = FileParams
    State = FileState
    inputs = {
        "frame": event(Frame),
        "progress": event(Progress, optional=True),
        "goal": latched(Goal, optional=True),
        "mask": latched(Mask, optional=True),
    }
    fixed = frozenset({"fps"})

    @classmethod
    def prepare(cls, params: Any) -> None:
        """Raises UserError if the files cannot be written, before anything is computed for them."""
        if params.out:
            writable_folder(Path(params.out))
        if params.video:
            writable_folder(Path(params.video).parent)

    def configure(self) -> None:
        self.prepare(self.params)
        self._session: str | None = None
        self._film: VideoWriter | None = None

    def change(self, params: FileParams) -> None:
        """Other files from the next picture on. Raises UserError if they cannot be written."""
        self.prepare(params)
        if params.video != self.params.video:
            self.deactivate()
        super().change(params)

    def step(self, turns: Sequence[Turn]) -> None:
        for turn in turns:
            self._own(turn.session)
            if (frame := turn.get("frame")) is not None:
                self._take_frame(turn, frame)
            if (progress := turn.get("progress")) is not None:
                turn.state.trail.add(progress)
                turn.state.ended = progress if progress.stopped else None
            self._write_ending(turn)

    def deactivate(self) -> None:
        film, self._film = self._film, None
        if film is not None:
            film.close()

    def cleanup(self) -> None:
        film, self._film = self._film, None
        if film is not None:
            film.discard()

    def snapshot(self, state: Any) -> dict[str, Any]:
        """Nothing: what was written is on disk, and the next picture is kept anew."""
        return {}

    def restore(self, data: Mapping[str, Any]) -> FileState:
        return FileState()

    def _own(self, session: str) -> None:
        if self._session not in (None, session) and (self.params.out or self.params.video):
            raise UserError(f"display/files writes one session, '{self._session}': give '{session}' its own graph")
        self._session = session

    def _take_frame(self, turn: Turn, frame: Frame) -> None:
        state: FileState = turn.state
        image = pixels(frame.image)
        if state.frame is None or frame.step == 0:  # a new latent
            state.trail.clear()
            state.ended = None
            self._save("before.png", image)
        state.frame = frame
        if self.params.video:
            if self._film is None:
                self._film = VideoWriter(self.params.video, self.params.fps)
            if self.params.points:
                image = overlay(image, turn.get("goal"), state.trail.at(frame.step), turn.get("mask"))
            self._film.add(watermarked(image) if self.params.watermark else image)

    def _write_ending(self, turn: Turn) -> None:
        """The last picture and the word that the drag has ended come in either order."""
        state: FileState = turn.state
        frame, ended = state.frame, state.ended
        if frame is None or ended is None or frame.step != ended.step:
            return
        state.ended = None
        image = pixels(frame.image)
        self._save("after.png", image)
        drawn = overlay(image, turn.get("goal"), ended.handles, turn.get("mask"), from_start=True)
        self._save("overlay.png", drawn)

    def _save(self, name: str, image: Pixels) -> None:
        if self.params.out:
            save_png(Path(self.params.out) / name, image, self.params.watermark)
