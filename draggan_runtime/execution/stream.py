"""A drag under way, as its consumer sees it: in this process, or (see :mod:`ray_host`) in another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from draggan_runtime.execution.action import Arrival, DragAction, Feedback


class DragStream(Protocol):
    """A drag under way."""

    def next(self, timeout: float) -> Feedback | None:
        """The next item if one comes within ``timeout`` s. Raises StopIteration at the end."""
        ...

    def post(self, items: list[Arrival]) -> bool:
        """Leave items for the next step boundary; False if the drag has ended."""
        ...

    def cancel(self) -> None:
        """End the drag at its next step boundary."""
        ...


class LocalDrag:
    """A drag in this process: each call of :meth:`next` makes a step."""

    def __init__(self, action: DragAction, session: str) -> None:
        self._action = action
        self._items: Iterator[Feedback] = action.run(session)

    def next(self, timeout: float) -> Feedback | None:
        return next(self._items)

    def post(self, items: list[Arrival]) -> bool:
        return self._action.inbox.post(items)

    def cancel(self) -> None:
        self._action.inbox.cancelled.set()
