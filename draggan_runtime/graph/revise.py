"""Changing a node of a resolved graph while it runs: its parameters, or what it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from draggan_runtime.errors import UserError
from draggan_runtime.graph.draft import Drafts, Given, Layer, NodeDraft, Origin, Tie
from draggan_runtime.graph.model import ResolvedGraph, ResolvedNode, needs_of
from draggan_runtime.graph.params import settle
from draggan_runtime.graph.wiring import wire
from draggan_runtime.registry import ResolvedImpl, resolve


def revised(graph: ResolvedGraph, node: str, params: Mapping[str, Any]) -> ResolvedGraph:
    """``graph`` with parameters of a node changed; one called ``impl`` replaces what the node runs.

    Then what was given to earlier implementations and fits is given to the new one, as when a graph is loaded.
    Raises UserError: see :meth:`~draggan_runtime.graph.model.ResolvedGraph.with_params`, or if the new one does not
    fit the graph's edges, or either watches a device.
    """
    if "impl" not in params or node not in graph.nodes:
        return graph.with_params(node, params)
    old, impl = graph.nodes[node], str(params["impl"])
    said, earlier = (Origin(layer, f"{node}.impl={impl}", Path.cwd()) for layer in (Layer.SET, Layer.GRAPH))
    draft = NodeDraft(node, impl, said, said)
    try:
        found = _found(old, impl)
    except UserError as error:
        raise UserError(f"{draft.at(said)}: {error}") from error
    draft.params = {name: Given(value, earlier) for name, value in {**old.spare, **old.params}.items()}
    draft.params |= {name: Given(value, said) for name, value in params.items() if name != "impl"}
    notes = settle(draft, found.cls)
    classes = {other.id: other.impl.load() for other in graph.nodes.values()}
    wire(_drafts(graph, draft), {**classes, node: found.cls})
    values = {name: given.value for name, given in draft.params.items()}
    nodes = {**graph.nodes, node: ResolvedNode(node, found.ref, values, draft.spare)}
    return replace(graph, nodes=nodes, needs=needs_of(nodes, graph.edges), notes=(*graph.notes, *notes))


def _found(old: ResolvedNode, impl: str) -> ResolvedImpl:
    """What ``impl`` names. Raises UserError if it cannot take the place of what ``old`` runs."""
    if old.impl.name.startswith("runtime/"):
        raise UserError(f"{old.impl.name} is the runtime's own and stays")
    found = resolve(impl, old.impl.search_path)
    for name, cls in (old.impl.name, old.impl.load()), (impl, found.cls):
        if cls.polls:
            raise UserError(f"{name} watches a device, which cannot change hands; start anew with --set")
    return found


def _drafts(graph: ResolvedGraph, draft: NodeDraft) -> Drafts:
    """The graph's nodes and ties as drafts, ``draft`` among them: to be checked as those of a file are."""
    origin = draft.origin
    drafts = {node.id: NodeDraft(node.id, node.impl.name, origin, origin) for node in graph.nodes.values()}
    drafts[draft.id] = draft
    for edge in graph.edges:
        ties, port = drafts[edge.target_node].inputs, edge.target_port
        known = ties[port].sources if port in ties else ()
        ties[port] = Tie((*known, f"{edge.source_node}/{edge.source_port}"), None, origin)
    return drafts
