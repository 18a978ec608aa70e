"""What a window knows of its session: the picture, and which progress and handles belong to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from draggan_nodes.display.status import still_true
from draggan_nodes.display.trail import Trail
from draggan_runtime.messages import XY, Frame, Goal, LatentRequest, Progress


@dataclass
class Story:
    """Follows a session's messages.

    ``progress`` is the drag's last word while it is about the points that are there; ``waiting``: another picture
    has been asked for.
    """

    frame: Frame | None = None
    progress: Progress | None = None
    waiting: bool = False
    _trail: Trail = field(default_factory=Trail)
    _heard: Progress | None = None
    _goal_at_end: Goal | None = None
    _request: LatentRequest | None = None

    def take_frame(self, frame: Frame, progress: Progress | None) -> None:
        """A picture came; ``progress`` is the last there is.

        A preview is of no use for what is there in full, nor while another picture is expected.
        """
        full = self.frame is not None and not self.frame.preview
        if frame.preview and (self.waiting or (full and self.frame is not None and frame.step <= self.frame.step)):
            return
        if self.frame is not None and frame.step < self.frame.step:  # of another latent
            self._start_over(progress)
        self.frame = frame
        if self._request is None or frame.step == self._request.step:
            self.waiting = False

    def listen(self, goal: Goal | None, progress: Progress | None, request: LatentRequest | None) -> None:
        """The last of each there is."""
        if request is not self._request:
            self._request, self.waiting = request, True
            self._start_over(progress)
        if progress is not None and progress is not self._heard:
            self._heard = self.progress = progress
            self._trail.add(progress)
            self._goal_at_end = goal
            self.waiting = False
        self._trail.follow(goal)
        if self.progress is not None and self.progress.stopped:
            self.progress = self.progress if still_true(self.progress, self._goal_at_end, goal) else None

    @property
    def handles(self) -> Mapping[int, XY]:
        """Where the tracker had the handles in the picture, by id."""
        return self._trail.at(self.frame.step) if self.frame is not None else {}

    @property
    def late(self) -> bool:
        """True if the full picture of the last progress is not there yet."""
        if self.frame is None or self.progress is None:
            return False
        return self.frame.step < self.progress.step or self.frame.preview

    def _start_over(self, heard: Progress | None) -> None:
        """What was tracked belongs to another picture."""
        self._trail.clear()
        self._heard, self.progress = heard, None
