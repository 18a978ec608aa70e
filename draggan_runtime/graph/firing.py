"""Finding nodes that could never step."""

from __future__ import annotations

from collections.abc import Mapping

from draggan_runtime.errors import UserError
from draggan_runtime.graph.draft import Drafts
from draggan_runtime.graph.model import DRAG, Edge
from draggan_runtime.node import Node

Classes = Mapping[str, type[Node]]


def check_fires(drafts: Drafts, classes: Classes, edges: list[Edge]) -> None:
    """Refuse nodes that wait for each other for ever.

    A node steps when one event arrives, or once all its sync inputs have; so a ring of nodes that are joined by
    sync inputs only, with no event from outside, never starts. The drag starts by itself: the user says so.
    """
    fires = {
        node
        for node, cls in classes.items()
        if cls.polls or drafts[node].impl == DRAG or not _triggers(node, classes, edges, ("sync", "event"))
    }
    while True:
        more = {node for node in classes if node not in fires and _can_fire(node, classes, edges, fires)}
        if not more:
            break
        fires |= more
    stuck = [node for node in drafts if node not in fires]
    if not stuck:
        return
    ring = [stuck[0]]
    while len(ring) == len(set(ring)):
        waits = [e for e in _triggers(ring[-1], classes, edges, ("sync", "event")) if e.source_node not in fires]
        ring.append(waits[0].source_node)
    ring = ring[ring.index(ring[-1]) :]
    draft = drafts[ring[0]]
    raise UserError(
        f"{draft.at(draft.origin)}: never steps: {' waits for '.join(ring)}; "
        "make one of these inputs latched or an event, or tie an event from outside"
    )


def _triggers(node: str, classes: Classes, edges: list[Edge], roles: tuple[str, ...]) -> list[Edge]:
    return [e for e in edges if e.target_node == node and classes[node].inputs[e.target_port].role in roles]


def _can_fire(node: str, classes: Classes, edges: list[Edge], fires: set[str]) -> bool:
    if any(e.source_node in fires for e in _triggers(node, classes, edges, ("event",))):
        return True
    waits = _triggers(node, classes, edges, ("sync",))
    return bool(waits) and all(e.source_node in fires for e in waits)
