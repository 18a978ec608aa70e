"""What changes of a running graph: one node's parameters, or what it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from draggan_runtime.graph.model import ResolvedGraph, ResolvedNode, needs_of
from draggan_runtime.registry import ImplRef


@dataclass(frozen=True)
class NodeChange:
    """New parameters for a node while it runs, and what its consumers read now (None: as before).

    ``impl``: what it runs from now on, None: as before; then ``params`` are all that are given to it. ``session``:
    whom it is for; None: for all.
    """

    node: str
    params: dict[str, Any]
    needs: dict[str, Any] | None = None
    session: str | None = None
    impl: ImplRef | None = None


@dataclass(frozen=True)
class Revision:
    """A node that changes, and all that follows of it for others; all of it happens or nothing.

    ``was``: the node before. ``params``: names of those that change. ``parts``: each change, and what undoes it.
    """

    was: ResolvedNode
    params: frozenset[str]
    parts: tuple[tuple[NodeChange, NodeChange], ...]

    @staticmethod
    def of(before: ResolvedGraph, after: ResolvedGraph, node: str, params: dict[str, Any]) -> Revision:
        """What turns ``before`` into ``after``, in which ``node`` was given ``params``."""
        was, now = before.nodes[node], after.nodes[node]
        if "impl" in params:
            own = NodeChange(node, now.params, impl=now.impl), NodeChange(node, was.params, impl=was.impl)
        else:
            _, old = was.load()
            own = NodeChange(node, params), NodeChange(node, {name: getattr(old, name) for name in params})
        # Those who must give what is read first, for they may refuse.
        needs = [
            (NodeChange(giver, {}, after.needs.get(giver, {})), NodeChange(giver, {}, before.needs.get(giver, {})))
            for giver in {**before.needs, **after.needs}
            if after.needs.get(giver) != before.needs.get(giver)
        ]
        return Revision(was, frozenset(params), (*needs, own))

    @property
    def replaces(self) -> bool:
        """True if the node runs something else."""
        return "impl" in self.params

    def carry_out(self, change: Callable[[NodeChange], None]) -> None:
        """Call ``change`` for each part. If one of them raises, those before it are undone."""
        undo: list[NodeChange] = []
        try:
            for part, undoing in self.parts:
                change(part)
                undo.append(undoing)
        except Exception:
            for undoing in reversed(undo):
                change(undoing)
            raise

    def taken_back(self, graph: ResolvedGraph) -> ResolvedGraph:
        """``graph`` without this revision, but with what came after it."""
        node = self.was
        if not self.replaces:
            now = graph.nodes[node.id]
            others = {name: value for name, value in now.params.items() if name not in self.params}
            own = {name: value for name, value in node.params.items() if name in self.params}
            node = replace(now, params={**others, **own})
        nodes = {**graph.nodes, node.id: node}
        return replace(graph, nodes=nodes, needs=needs_of(nodes, graph.edges))


@dataclass(frozen=True)
class Refusal:
    """A revision that a node refused, and why, in one line."""

    revision: Revision
    why: str
