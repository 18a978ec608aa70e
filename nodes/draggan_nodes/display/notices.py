"""Notices: there to be read, and then fade."""

from __future__ import annotations

from dataclasses import dataclass

from draggan_runtime.messages import Notice

_MOST = 3  # at a time
_READING = 0.06  # s for each letter
_FADING = 1.0  # s
_FADES = 5


@dataclass(frozen=True)
class ShownNotice:
    """A notice as it is drawn now; ``opacity`` in (0, 1]."""

    text: str
    problem: bool
    opacity: float


class Notices:
    """The newest notices, each shown for ``seconds`` (a problem twice that) and the time to read it."""

    def __init__(self) -> None:
        self._since: list[tuple[Notice, float]] = []

    def add(self, notice: Notice, now: float) -> None:
        """A notice comes at ``now``, s."""
        self._since = [*self._since, (notice, now)][-_MOST:]

    def at(self, now: float, seconds: float) -> tuple[ShownNotice, ...]:
        """Those to be read at ``now``, s; the newest last. They fade in steps, so that few drawings are needed."""
        shown = []
        for notice, since in self._since:
            left = since + seconds * (2 if notice.problem else 1) + _READING * len(notice.text) - now
            if (opacity := round(min(1.0, left / _FADING) * _FADES) / _FADES) > 0:
                shown.append(ShownNotice(notice.text, notice.problem, opacity))
        return tuple(shown)
