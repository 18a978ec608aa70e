"""Who looks at a session: each gets everything that must not be missed, and of pictures only the newest."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable

from draggan_runtime.execution.delivery import Delivery
from draggan_runtime.messages import Progress

#: Messages kept for a watcher that does not come; then it is told the newest only.
_MOST = 2000


class Watcher:
    """Somebody who looks at a session, and edits it while holding the pen."""

    def __init__(self, id: str, codec: str) -> None:
        self.id = id
        self.codec = codec
        self._events: deque[Delivery] = deque()
        self._latest: dict[tuple[str, str], Delivery] = {}
        self._came = asyncio.Event()

    def add(self, deliveries: Iterable[Delivery]) -> None:
        """For the next :meth:`take`."""
        for delivery in deliveries:
            if delivery.latest:
                self._latest[delivery.node, delivery.port] = delivery
            else:
                self._events.append(delivery)
            self._came.set()
        if len(self._events) > _MOST:
            newest = {id(d) for d in {(d.node, d.port): d for d in self._events}.values()}
            self._events = deque(d for d in self._events if id(d) in newest or not isinstance(d.message, Progress))
            while len(self._events) > _MOST:
                self._events.popleft()

    def wake(self) -> None:
        """Let :meth:`take` return, though nothing came."""
        self._came.set()

    async def take(self, wait: float) -> list[Delivery]:
        """Everything since the last call; waits for something for ``wait`` s at most."""
        if not self._came.is_set():
            try:
                await asyncio.wait_for(self._came.wait(), wait)
            except TimeoutError:
                return []
        self._came.clear()
        taken = [*self._events, *self._latest.values()]
        self._events.clear()
        self._latest.clear()
        return taken


class Watchers:
    """All who look at one session. One of them has the pen: only that one may edit."""

    def __init__(self) -> None:
        self._all: dict[str, Watcher] = {}
        self.pen = ""

    def __bool__(self) -> bool:
        return bool(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def add(self, id: str, codec: str, pen: bool) -> Watcher:
        """Somebody comes; ``pen``: and takes the pen from whoever has it."""
        self._all[id] = Watcher(id, codec)
        if pen or not self.pen:
            self._give_pen(id)
        return self._all[id]

    def get(self, id: str) -> Watcher | None:
        """The watcher of this id."""
        return self._all.get(id)

    def remove(self, id: str) -> None:
        """Somebody goes; the pen passes to who has been here longest."""
        self._all.pop(id, None)
        if self.pen == id:
            self._give_pen(next(iter(self._all), ""))

    def clear(self) -> None:
        """All go."""
        self._all.clear()
        self.pen = ""

    def _give_pen(self, id: str) -> None:
        """The pen changes hands: both are to hear of it."""
        before, self.pen = self.pen, id
        for known in (self._all.get(before), self._all.get(id)):
            if known is not None:
                known.wake()

    def tell(self, told: Iterable[tuple[Delivery, str]]) -> None:
        """To everybody but whose own message it was."""
        for delivery, by in told:
            for watcher in self._all.values():
                if watcher.id != by:
                    watcher.add([delivery])
