"""Progress on stderr, and Ctrl-C: the first ends what runs and keeps what there is, the second aborts."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar


class Watch:
    """A bar; ``interrupted`` from the first Ctrl-C on."""

    def __init__(self, bar: Bar, total: int) -> None:
        self.interrupted = False
        self._bar = bar
        self._task = bar.add_task("", total=total, doing="")

    def say(self, text: str) -> None:
        """A line above the bar."""
        self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def show(self, completed: int, doing: str, total: int | None = None) -> None:
        """Move the bar; ``total``, if it is known only now."""
        self._bar.update(self._task, completed=completed, doing=doing, total=total)

    def interrupt(self, *_: Any) -> None:
        """Ctrl-C."""
        if self.interrupted:
            raise KeyboardInterrupt
        self.interrupted = True


@contextmanager
def watched(total: int, count: str, what: str = "dragging") -> Iterator[Watch]:
    """A bar for as long as the block runs, which hears Ctrl-C. ``count`` may name ``{task.completed}``."""
    columns = (TextColumn(what), BarColumn(), TextColumn(count), TextColumn("{task.fields[doing]}"))
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        watch = Watch(bar, total)
        before = signal.signal(signal.SIGINT, watch.interrupt)
        try:
            yield watch
        finally:
            signal.signal(signal.SIGINT, before)
