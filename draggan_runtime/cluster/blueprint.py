"""What sessions must know of the graph they run on, found once where its nodes' classes are loaded.

Loading them takes torch, which a session's process shall not have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from draggan_runtime import models
from draggan_runtime.errors import UserError
from draggan_runtime.execution.changes import NodeChange
from draggan_runtime.graph.lasting import lasting_params, model_of
from draggan_runtime.graph.model import ResolvedGraph
from draggan_runtime.messages import Frame, Goal, LatentRequest, Mask, TunedWeights

Own = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Blueprint:
    """A graph as its sessions know it.

    ``sources``: by name of the message, from which output the session hears it. ``pictures``: the outputs that full
    pictures come from. ``params``: what makes the result, as a session file has it. ``size`` (W, H) px of the full
    output, None if it is not known.
    """

    graph: ResolvedGraph
    sources: dict[str, tuple[str, str]]
    pictures: frozenset[tuple[str, str]]
    params: dict[str, dict[str, Any]]
    model: str
    size: tuple[int, int] | None

    @staticmethod
    def of(graph: ResolvedGraph) -> Blueprint:
        """The blueprint of a graph."""
        found = {kind.__name__: graph.source_of(kind) for kind in (LatentRequest, TunedWeights, Goal, Mask, Frame)}
        sources = {kind: source for kind, source in found.items() if source is not None}
        pictures = frozenset([sources["Frame"]]) if "Frame" in sources else frozenset()
        model = model_of(graph)
        try:
            size = models.find(model).info.size if model else None
        except UserError:
            size = None
        return Blueprint(graph, sources, pictures, lasting_params(graph), model, size)


@dataclass(frozen=True)
class Tuning:
    """A session's own parameters: ``own``, by node; the changes that give them to an engine's nodes; and all that make
    its result, as a session file has them."""

    own: dict[str, dict[str, Any]]
    changes: tuple[NodeChange, ...]
    params: dict[str, dict[str, Any]]


def tuned(graph: ResolvedGraph, session: str, own: Own) -> Tuning:
    """What ``own`` parameters make of a graph for a session. Raises UserError if they do not fit."""
    changed = graph
    for node, params in own.items():
        if "impl" in params:
            raise UserError(
                f"node '{node}': a cluster's sessions share its nodes; start one with --set {node}.impl=..."
            )
        changed = changed.with_params(node, params)
    kept = {node: dict(params) for node, params in own.items() if params}
    changes = [NodeChange(node, params, None, session) for node, params in kept.items()]
    changes += [
        NodeChange(node, {}, needs, session) for node, needs in changed.needs.items() if needs != graph.needs.get(node)
    ]
    return Tuning(kept, tuple(changes), lasting_params(changed))


def differing(params: Own, base: Own) -> dict[str, dict[str, Any]]:
    """By node, the parameters that are not those of ``base``. Raises UserError for other implementations."""
    own: dict[str, dict[str, Any]] = {}
    for node, values in params.items():
        known = base.get(node, {})
        if values.get("impl") != known.get("impl"):
            raise UserError(
                f"the session was edited with {node} = {values.get('impl')}, this cluster runs {known.get('impl')}"
            )
        if other := {name: value for name, value in values.items() if known.get(name) != value}:
            own[node] = other
    return own
