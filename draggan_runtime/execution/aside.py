"""Work that may go on beside a drag's steps, in a thread of its own."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from draggan_runtime.node import Turn


class Aside:
    """One turn of one node under way in another thread, or none."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._work: tuple[str, Turn, Future[None]] | None = None

    @property
    def busy(self) -> bool:
        """True until what was begun has been collected."""
        return self._work is not None

    def begin(self, node: str, turn: Turn, step: Callable[[], None]) -> None:
        """Let ``step`` make ``turn`` of ``node``; nothing may be under way."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, "aside")
        self._work = node, turn, self._pool.submit(step)

    def collect(self, wait: bool) -> tuple[str, Turn, BaseException | None] | None:
        """The turn that is done, its node, and what it raised; None if there is none. ``wait``: until it is done."""
        if self._work is None or not (wait or self._work[2].done()):
            return None
        node, turn, future = self._work
        error = future.exception()
        self._work = None
        return node, turn, error

    def wait(self, node: str | None = None) -> None:
        """Until nothing is being done, or nothing by ``node``; what was done is still to be collected."""
        if self._work is not None and node in (None, self._work[0]):
            self._work[2].exception()

    def close(self) -> None:
        """Wait, and end the thread."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
        self._work = None
