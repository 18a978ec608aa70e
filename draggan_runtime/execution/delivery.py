"""What moves between containers."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from draggan_runtime.execution.parts import Delta
from draggan_runtime.graph.model import Edge
from draggan_runtime.messages import Message, NodeFailure


@dataclass(frozen=True)
class Delivery:
    """A message on its way to one input port.

    ``latest``: how many such messages wait at most, older ones giving way; 0 = reliable. ``share``: see
    :class:`draggan_runtime.graph.model.Qos`. ``source``: the output port it comes from, ``node/port``; "" if unknown.
    """

    node: str
    port: str
    message: Message
    latest: int = 0
    share: float | None = None
    source: str = ""


def along(edges: Iterable[Edge], message: Message) -> Iterator[Delivery]:
    """``message`` sent along each of ``edges``."""
    for edge in edges:
        latest = max(1, edge.qos.depth) if edge.qos.policy == "latest" else 0
        source = f"{edge.source_node}/{edge.source_port}"
        yield Delivery(edge.target_node, edge.target_port, message, latest, edge.qos.share, source)


class Waiting:
    """``latest`` messages until there is time for them: by port and session, the newest few."""

    def __init__(self) -> None:
        self._queues: dict[tuple[str, str, str], deque[Delivery]] = {}

    def __bool__(self) -> bool:
        return bool(self._queues)

    def __iter__(self) -> Iterator[Delivery]:
        """The oldest of each port and session."""
        return iter([queue[0] for queue in self._queues.values()])

    def add(self, delivery: Delivery) -> None:
        """Keep a message; the oldest of its port and session gives way if there are too many."""
        key = delivery.node, delivery.port, delivery.message.session
        self._queues.setdefault(key, deque(maxlen=delivery.latest)).append(delivery)

    def remove(self, delivery: Delivery) -> None:
        """Take out the oldest of its port and session."""
        key = delivery.node, delivery.port, delivery.message.session
        self._queues[key].popleft()
        if not self._queues[key]:
            del self._queues[key]

    def take_all(self) -> list[Delivery]:
        """Everything, in order by port and session; nothing is left."""
        taken = [delivery for queue in self._queues.values() for delivery in queue]
        self._queues.clear()
        return taken

    def forget(self, session: str) -> None:
        """Drop a session's messages."""
        self._queues = {key: queue for key, queue in self._queues.items() if key[2] != session}


@dataclass
class Outcome:
    """What a container gives back after work: messages for nodes elsewhere, failures, and whether work is left.

    ``pending``: some ``latest`` input waits for idle time. ``parts``: by session, what changed in its states, where the
    container keeps account of that. ``seconds``: what a peer took for it.
    """

    deliveries: list[Delivery] = field(default_factory=list)
    failures: list[NodeFailure] = field(default_factory=list)
    pending: bool = False
    parts: dict[str, Delta] = field(default_factory=dict)
    seconds: float = 0.0
