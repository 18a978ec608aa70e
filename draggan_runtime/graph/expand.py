"""A graph file with all it includes, as drafts.

Names work as in ROS 2. Inside an included graph, ``node/port`` means that graph's own node: ids get the namespace
as a prefix, and so do references. ``/node/port`` means a node of the outermost graph. ``remap`` of an include ties
what the included graph reads to something of the including graph: the key is written as in the included file, the
value as in the including one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from draggan_runtime.errors import UserError
from draggan_runtime.graph.draft import Drafts, Given, Layer, NodeDraft, Origin, Tie
from draggan_runtime.graph.lookup import find
from draggan_runtime.graph.schema import GraphFile, IncludeFile, NodeFile, parse
from draggan_runtime.graph.source import KeyPath, Source, read, shown
from draggan_runtime.registry import close_matches


def origin_of(source: Source, layer: Layer, key: KeyPath = ()) -> Origin:
    """The origin of an entry of a file."""
    return Origin(layer, source.where(key), source.path.parent)


def expand(path: Path, above: tuple[Path, ...] = ()) -> tuple[str, Drafts]:
    """Name and nodes of a graph file; ids and references as the file itself would write them."""
    source = read(path)
    graph = parse(source, GraphFile)
    drafts: Drafts = {}
    for index, include in enumerate(graph.include):
        where = source.where(("include", index))
        _add(drafts, _included(include, source, index, (*above, path)).values(), where)
    for index, node in enumerate(graph.nodes):
        _add(drafts, [_draft(source, index, node)], source.where(("nodes", index)))
    if not drafts:
        raise UserError(f"{source.where()}: the graph has no nodes")
    remap(drafts, graph.remap, source)
    return graph.name, drafts


def remap(drafts: Drafts, rules: Mapping[str, str], source: Source) -> None:
    """Let whatever reads a key of ``rules`` read its value instead, except the node the value comes from."""
    for old, new in rules.items():
        where = source.where(("remap", old))
        _check_read(old, drafts, where)
        for draft in drafts.values():
            if draft.id != node_of(new):
                draft.inputs = {port: _retied(tie, {old: new}) for port, tie in draft.inputs.items()}


def node_of(reference: str) -> str:
    """The node of ``node/port``."""
    return reference.rpartition("/")[0]


def _add(drafts: Drafts, new: Iterable[NodeDraft], where: str) -> None:
    for draft in new:
        if draft.id in drafts:
            first = drafts[draft.id].origin.where
            raise UserError(f"{where}: node '{draft.id}' is there already, in {first}; ids must differ")
        drafts[draft.id] = draft


def _draft(source: Source, index: int, node: NodeFile) -> NodeDraft:
    key: KeyPath = ("nodes", index)
    return NodeDraft(
        id=node.id,
        impl=node.impl,
        impl_origin=origin_of(source, Layer.GRAPH, (*key, "impl")),
        origin=origin_of(source, Layer.GRAPH, key),
        params={
            name: Given(value, origin_of(source, Layer.GRAPH, (*key, "params", name)))
            for name, value in node.params.items()
        },
        inputs={
            port: Tie(tuple(tie.from_), tie.qos, origin_of(source, Layer.GRAPH, (*key, "inputs", port)))
            for port, tie in node.inputs.items()
        },
        outputs=node.outputs,
        container=node.container,
    )


def _included(include: IncludeFile, source: Source, index: int, above: tuple[Path, ...]) -> Drafts:
    where = source.where(("include", index))
    try:
        path = find(["graphs"], include.graph, source.path.parent)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    if path in above:
        raise UserError(f"{where}: {shown(path)} includes itself")
    drafts = expand(path, above)[1]
    for old in include.remap:
        _check_read(old, drafts, source.where(("include", index, "remap", old)))
    prefix = f"{include.namespace}/" if include.namespace else ""
    moved = {}
    for draft in drafts.values():
        draft.id = prefix + draft.id
        draft.inputs = {port: _moved(tie, prefix, include.remap) for port, tie in draft.inputs.items()}
        moved[draft.id] = draft
    return moved


def _moved(tie: Tie, prefix: str, rules: Mapping[str, str]) -> Tie:
    sources = (rules[s] if s in rules else s if s.startswith("/") else prefix + s for s in tie.sources)
    return replace(tie, sources=tuple(sources))


def _retied(tie: Tie, rules: Mapping[str, str]) -> Tie:
    return replace(tie, sources=tuple(rules.get(s, s) for s in tie.sources))


def _check_read(reference: str, drafts: Drafts, where: str) -> None:
    known = {s for draft in drafts.values() for tie in draft.inputs.values() for s in tie.sources}
    if reference not in known:
        raise UserError(f"{where}: remap: no node reads '{reference}'{close_matches(reference, known)}")
