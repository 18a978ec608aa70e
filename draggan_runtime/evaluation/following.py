"""A method's tracker, run on pictures that no drag makes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from draggan_runtime.boxes import around
from draggan_runtime.errors import DragganError, UserError
from draggan_runtime.execution.container import Container
from draggan_runtime.execution.delivery import Delivery
from draggan_runtime.graph.model import DRAG, ResolvedGraph, needs_of
from draggan_runtime.messages import Array, Begin, Features, Goal, Handles, Latent, Message, NeedBoxes, PointPair

_SESSION = "following"


class Following:
    """The tracker of a graph and the generator whose features it reads, in a container of their own in this process.

    They are found by what they send: the tracker is who tells the drag of handles. Close it, or use it in a ``with``
    block. Raises UserError if the graph has no drag, StartError if a node does not start.
    """

    def __init__(self, graph: ResolvedGraph) -> None:
        drag = graph.find(DRAG)
        if drag is None:
            raise UserError(f"graph '{graph.name}' has no drag, so there is no tracker to follow")
        tracker = _who_sends(graph, Handles, drag)
        generator = _who_sends(graph, Features, tracker)
        both = tuple(node for node in graph.nodes if node in (generator, tracker))
        for node in both:
            cls, params = graph.nodes[node].load()
            cls.prepare(params)
        # What the others read of the features shall not be computed.
        needs = needs_of(graph.nodes, [e for e in graph.edges if e.source_node in both and e.target_node in both])
        spec = replace(graph.container_of(generator), place="driver", nodes=both)
        self._drag = drag
        self._needs = [need for of in needs.get(generator, {}).values() for need in of]
        self._container = Container(replace(graph, needs=needs), spec)
        self._container.configure()

    def __enter__(self) -> Following:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the nodes."""
        self._container.close()

    def begin(self, w_plus: Array, points: Sequence[PointPair]) -> Handles:
        """Follow ``points``, px of the full output, from the picture of this latent ``[num_ws, w_dim]`` on."""
        self._container.forget(_SESSION)
        self._deliver(Goal(session=_SESSION, points=tuple(points)))
        self._latent(w_plus, 0)
        return self._handles(Begin(session=_SESSION, step=0))

    def go_on(self, w_plus: Array, last: Handles) -> Handles:
        """Where the points are in the picture of the next latent; ``last``: where they were in the one before."""
        step = last.step + 1
        self._latent(w_plus, step)
        # As in a drag: what the tracker reads around where it last saw them; if it wants more, it asks.
        wanted: list[Message] = [
            NeedBoxes(
                session=_SESSION,
                step=step,
                level=need.level,
                regions=tuple(around(xy, need.reach * last.size[1] / 512) for xy in last.positions.values()),
            )
            for need in self._needs
        ]
        # To resume asks for this step's features and makes nothing begin anew.
        return self._handles(*(wanted or [Begin(session=_SESSION, step=step, resume=True)]))

    def _latent(self, w_plus: Array, step: int) -> None:
        self._deliver(Latent(session=_SESSION, step=step, space="w_plus", values=w_plus))

    def _handles(self, *asked: Message) -> Handles:
        """The last handles that come of messages that ask for features."""
        found = [d.message for message in asked for d in self._deliver(message) if d.node == self._drag]
        handles = next((message for message in reversed(found) if isinstance(message, Handles)), None)
        if handles is None:
            raise DragganError("the tracker gave no handles")
        return handles

    def _deliver(self, message: Message) -> list[Delivery]:
        """Send a message to whoever takes its type; what is sent on, elsewhere."""
        outcome = self._container.deliver(
            Delivery(node, name, message)
            for node, hosted in self._container.hosted.items()
            for name, port in hosted.node.inputs.items()
            if port.type is type(message)
        )
        if outcome.failures:
            raise DragganError(str(outcome.failures[0]))
        return outcome.deliveries


def _who_sends(graph: ResolvedGraph, kind: type[Message], to: str) -> str:
    found = [
        edge.source_node
        for edge in graph.edges
        if edge.target_node == to and graph.nodes[edge.source_node].impl.load().outputs[edge.source_port] is kind
    ]
    if not found:
        raise UserError(f"graph '{graph.name}': no {kind.__name__} go to '{to}'")
    return found[0]
