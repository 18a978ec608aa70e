"""Several sessions of one container that step together: what each node gets at once is a turn of every session."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from draggan_runtime.errors import DragganError
from draggan_runtime.execution.container import Container
from draggan_runtime.execution.delivery import Delivery, along
from draggan_runtime.graph.model import ResolvedGraph
from draggan_runtime.messages import Begin, FeatureGradient, Goal, Latent, LatentRequest, Mask, Message, PointPair

_NODES = ("source", "generator", "tracker", "motion")
Pair = tuple[tuple[float, float], tuple[float, float]]


class LockStep:
    """Drags in ``graph``'s container of the generator, without a drag action: nothing ends them.

    Raises DragganError for the first node that fails.
    """

    def __init__(self, graph: ResolvedGraph) -> None:
        self._graph = graph
        spec = replace(graph.container_of("generator"), nodes=_NODES, place="driver")
        self.container = Container(graph, spec)
        self.container.configure()
        self.latents: dict[str, Latent] = {}
        self.gradients: dict[str, FeatureGradient] = {}

    @property
    def device(self) -> str:
        """Where the nodes compute."""
        return str(self.container.hosted["generator"].node.context.device)

    def picture(self, session: str, seed: int, pairs: Sequence[Pair], movable: Any = None) -> None:
        """Give a session the picture of a seed, its points and its mask."""
        points = tuple(PointPair(i, *pair) for i, pair in enumerate(pairs))
        self._send("capture", "request", [LatentRequest(session=session, seed=seed)])
        self._send("capture", "goal", [Goal(session=session, points=points)])
        self._send("capture", "mask", [Mask(session=session, movable=movable)])

    def begin(self, sessions: Iterable[str]) -> None:
        """Begin the drags of ``sessions``."""
        self._send("drag", "begin", [Begin(session=s, step=self.latents[s].step) for s in sessions])

    def step(self, sessions: Iterable[str]) -> None:
        """One step of each of ``sessions``, all at once."""
        self._send("drag", "gradient", [self.gradients.pop(session) for session in sessions])

    def forget(self, session: str) -> None:
        """Drop a session."""
        self.container.forget(session)
        for kept in self.latents, self.gradients:
            kept.pop(session, None)

    def stages(self) -> dict[str, float]:
        """By node, the seconds that its steps took so far."""
        return {name: hosted.seconds for name, hosted in self.container.hosted.items()}

    def _send(self, node: str, port: str, messages: Iterable[Message]) -> None:
        edges = self._graph.edges_from(node, port)
        here = [d for m in messages for d in along(edges, m) if d.node in self.container.hosted]
        outcome = self.container.deliver(here)
        for failure in outcome.failures:
            raise DragganError(f"session '{failure.session}': {failure}")
        for delivery in outcome.deliveries:
            self._keep(delivery)

    def _keep(self, delivery: Delivery) -> None:
        message = delivery.message
        if delivery.node == "drag" and isinstance(message, Latent):
            self.latents[message.session] = message
        elif delivery.node == "drag" and isinstance(message, FeatureGradient):
            self.gradients[message.session] = message
