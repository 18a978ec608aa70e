"""The one entry: from the name or path of a launch, or of a graph, to a resolved graph."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from draggan_runtime.errors import UserError
from draggan_runtime.graph.draft import Drafts
from draggan_runtime.graph.expand import expand, remap
from draggan_runtime.graph.layers import ContainerDraft, Containers, lay_config, lay_launch, lay_model, lay_overrides
from draggan_runtime.graph.layout import LOCAL, lay_out
from draggan_runtime.graph.lookup import Kind, find, preset_of
from draggan_runtime.graph.model import Engines, ResolvedGraph, ResolvedNode, needs_of
from draggan_runtime.graph.params import settle
from draggan_runtime.graph.schema import ContainerFile, LaunchFile, parse
from draggan_runtime.graph.source import KeyPath, Source, read
from draggan_runtime.graph.wiring import wire
from draggan_runtime.registry import ResolvedImpl, resolve


def load_launch(
    launch: str | Path,
    overrides: Sequence[str] = (),
    *,
    config: str | Sequence[str] | None = None,
    graph: str | None = None,
    model: str | None = None,
) -> ResolvedGraph:
    """Read a launch, or a graph alone (then everything runs in one process), check it, and resolve it.

    ``launch``: a path, or a name that is looked up among the launches, then the graphs. ``overrides``: as
    ``--set`` takes them, ``"tracker.radius=8"``. ``config`` and ``graph`` replace what the launch says. ``model``, as
    ``NAME`` or ``NAME:ARGUMENT``, takes the place of the preset's, and brings its own preset if no ``config`` is
    given. Raises UserError: one line that says where, what, and what would fit.
    """
    path = find(["launch", "graphs"], launch)
    source = read(path)
    said = parse(source, LaunchFile) if _is_launch(source) else None
    if said is None and graph is not None:
        raise UserError(f"{source.where()}: this is a graph already, so it cannot run '{graph}'")
    name, drafts = expand(_named("graphs", graph, said.graph, source, ("graph",)) if said else path)
    containers: Containers = {}
    chosen = [config] if isinstance(config, str) else config
    if chosen is None and model is not None and (its := preset_of(model)) is not None:
        chosen = [its]
    if chosen is not None:
        for preset in chosen:
            lay_config(drafts, find(["configs"], preset))
    elif said is not None:
        for preset in said.config:
            lay_config(drafts, _named("configs", None, preset, source, ("config",)))
    if said is not None:
        name = said.name
        lay_launch(drafts, said, source)
        containers = {
            key: ContainerDraft(file, source.where(("containers", key))) for key, file in said.containers.items()
        }
    for draft in drafts.values():
        draft.inputs = {port: tie.absolute() for port, tie in draft.inputs.items()}
    if said is not None:
        remap(drafts, said.remap, source)
    if not containers:
        containers = {
            LOCAL: ContainerDraft(ContainerFile.model_validate({"place": "driver", "nodes": "rest"}), source.where())
        }
    lay_overrides(drafts, containers, overrides)
    engines = Engines(**said.engines.model_dump()) if said is not None and said.engines is not None else Engines()
    return _resolve(name, drafts, containers, engines, model)


def _is_launch(source: Source) -> bool:
    return isinstance(source.data, dict) and "graph" in source.data


def _named(kind: Kind, override: str | None, name: str, source: Source, key: KeyPath) -> Path:
    if override is not None:
        return find([kind], override)
    try:
        return find([kind], name, source.path.parent)
    except UserError as error:
        raise UserError(f"{source.where(key)}: {error}") from error


def _resolve(name: str, drafts: Drafts, containers: Containers, engines: Engines, model: str | None) -> ResolvedGraph:
    impls = {node: _impl(drafts, node) for node in drafts}
    classes = {node: impl.cls for node, impl in impls.items()}
    if model is not None:
        lay_model(drafts, classes, model)
    notes: list[str] = []
    nodes = {}
    for node, draft in drafts.items():
        notes += settle(draft, classes[node])
        values = {param: given.value for param, given in draft.params.items()}
        nodes[node] = ResolvedNode(node, impls[node].ref, values, draft.spare)
    wiring = wire(drafts, classes)
    edges = tuple(wiring.edges)
    return ResolvedGraph(
        name=name,
        nodes=nodes,
        edges=edges,
        containers=lay_out(containers, drafts, wiring.edges),
        engines=engines,
        needs=needs_of(nodes, edges),
        notes=(*notes, *wiring.notes),
    )


def _impl(drafts: Drafts, node: str) -> ResolvedImpl:
    draft = drafts[node]
    try:
        return resolve(draft.impl, folder=draft.impl_origin.folder)
    except UserError as error:
        raise UserError(f"{draft.at(draft.impl_origin)}: {error}") from error
