"""What moves between containers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from draggan_runtime.graph.model import Edge
from draggan_runtime.messages import Message, NodeFailure


@dataclass(frozen=True)
class Delivery:
    """A message on its way to one input port. ``share``: see :class:`draggan_runtime.graph.model.Qos`."""

    node: str
    port: str
    message: Message
    latest: bool = False
    share: float | None = None


def along(edges: Iterable[Edge], message: Message) -> Iterator[Delivery]:
    """``message`` sent along each of ``edges``."""
    for edge in edges:
        yield Delivery(edge.target_node, edge.target_port, message, edge.qos.policy == "latest", edge.qos.share)


@dataclass
class Outcome:
    """What a container gives back after work: messages for nodes elsewhere, failures, and whether work is left.

    ``pending``: some ``latest`` input waits for idle time.
    """

    deliveries: list[Delivery] = field(default_factory=list)
    failures: list[NodeFailure] = field(default_factory=list)
    pending: bool = False
