"""What edges cost while a graph runs: messages, bytes between containers, and how long these held the sender up."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass

from draggan_runtime.execution.delivery import Delivery


@dataclass
class EdgeCost:
    """One edge so far. ``messages`` that arrived; of their bytes and s, those between containers: none within one.

    ``bytes``: as pickled. A message that crosses once for several edges is divided among them, and what it shares
    with one before it (an array) is that one's; so a sum over edges is what crossed. ``seconds``: how long the sender
    was held up: of a call half the time that the peer did not compute, of a stream until it took the item.
    Messages that cross together are held up together, each for all of it: do not add these up.
    """

    messages: int = 0
    bytes: int = 0
    seconds: float = 0.0

    def __add__(self, other: EdgeCost) -> EdgeCost:
        return EdgeCost(self.messages + other.messages, self.bytes + other.bytes, self.seconds + other.seconds)

    def __sub__(self, other: EdgeCost) -> EdgeCost:
        return EdgeCost(self.messages - other.messages, self.bytes - other.bytes, self.seconds - other.seconds)


#: An edge as (source, target), each ``node/port``.
EdgeKey = tuple[str, str]
EdgeCosts = dict[EdgeKey, EdgeCost]


class Costs:
    """Counts what the edges of one process cost; may be read from another thread."""

    def __init__(self) -> None:
        self._edges: EdgeCosts = {}
        self._lock = threading.Lock()

    def arrived(self, delivery: Delivery) -> None:
        """A message has come to its input."""
        with self._lock:
            self._of(delivery).messages += 1

    def crossed(self, deliveries: list[Delivery], size: int) -> None:
        """One message of ``size`` bytes leaves this process for all of ``deliveries``."""
        with self._lock:
            for index, delivery in enumerate(deliveries):
                # The remainder goes to the first ones, so that the sum is exact.
                self._of(delivery).bytes += size // len(deliveries) + (index < size % len(deliveries))

    def held(self, deliveries: Iterable[Delivery], seconds: float) -> None:
        """These have crossed together, and the sender was held up for ``seconds``."""
        with self._lock:
            for delivery in deliveries:
                self._of(delivery).seconds += seconds

    def take(self) -> EdgeCosts:
        """What has been counted so far, as a copy. Deliveries of unknown origin are left out."""
        with self._lock:
            return {key: cost + EdgeCost() for key, cost in self._edges.items() if key[0]}

    def _of(self, delivery: Delivery) -> EdgeCost:
        key = delivery.source, f"{delivery.node}/{delivery.port}"
        cost = self._edges.get(key)
        if cost is None:
            cost = self._edges[key] = EdgeCost()
        return cost


def total(parts: Iterable[EdgeCosts]) -> EdgeCosts:
    """The sum by edge."""
    found: EdgeCosts = {}
    for part in parts:
        for key, cost in part.items():
            found[key] = found.get(key, EdgeCost()) + cost
    return found
