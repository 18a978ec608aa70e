"""Laying config, launch and ``--set`` over a graph: graph < config < launch < --set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from draggan_runtime.errors import UserError
from draggan_runtime.graph.draft import Drafts, Given, Layer, NodeDraft, Origin, Tie
from draggan_runtime.graph.expand import origin_of
from draggan_runtime.graph.schema import ConfigFile, ContainerFile, LaunchFile, brief, parse
from draggan_runtime.graph.source import Source, read, scalar
from draggan_runtime.node import Node
from draggan_runtime.registry import close_matches


@dataclass
class ContainerDraft:
    """A container as its launch, and then ``--set``, describe it."""

    file: ContainerFile
    where: str


Containers = dict[str, ContainerDraft]


def lay_config(drafts: Drafts, path: Path) -> None:
    """A preset's parameters, and its choice of ``impl``, over the graph's."""
    source = read(path)
    config = parse(source, ConfigFile)
    for node, params in config.params.items():
        draft = _known(drafts, node, source.where(("params", node)))
        for param, value in params.items():
            origin = origin_of(source, Layer.CONFIG, ("params", node, param))
            if param == "impl":
                _swap(draft, str(value), origin)
            else:
                draft.params[param] = Given(value, origin)


def lay_launch(drafts: Drafts, launch: LaunchFile, source: Source) -> None:
    """A launch's changes to nodes, and nodes it adds."""
    for node, change in launch.nodes.items():
        origin = origin_of(source, Layer.LAUNCH, ("nodes", node))
        if node not in drafts:
            if change.impl is None:
                _known(drafts, node, origin.where)
            drafts[node] = NodeDraft(node, str(change.impl), origin, origin)
        draft = drafts[node]
        if change.impl is not None:
            _swap(draft, change.impl, origin_of(source, Layer.LAUNCH, ("nodes", node, "impl")))
        for param, value in change.params.items():
            key = ("nodes", node, "params", param)
            draft.params[param] = Given(value, origin_of(source, Layer.LAUNCH, key))
        for port, tie in change.inputs.items():
            key = ("nodes", node, "inputs", port)
            if tie is None:
                draft.inputs.pop(port, None)
            else:
                draft.inputs[port] = Tie(tuple(tie.from_), tie.qos, origin_of(source, Layer.LAUNCH, key))
        draft.outputs = change.outputs if change.outputs is not None else draft.outputs
        draft.container = change.container or draft.container


def lay_model(drafts: Drafts, classes: Mapping[str, type[Node]], model: str) -> None:
    """The model of all nodes that have one, but for those whose ``--set`` names it; ``classes`` by node."""
    for node, draft in drafts.items():
        given = draft.params.get("model")
        if "model" in classes[node].Params.model_fields and (given is None or given.origin.layer is not Layer.SET):
            draft.params["model"] = Given(model, Origin(Layer.SET, f"--model {model}", Path.cwd()))


def lay_overrides(drafts: Drafts, containers: Containers, overrides: Iterable[str]) -> None:
    """``node.param=value``, ``node.impl=name`` and ``container.threads=2`` of the command line."""
    for text in overrides:
        where = f"--set {text}"
        key, value = split_override(text)
        owner, _, name = key.partition(".")
        if not (owner and name):
            raise UserError(f"{where}: write node.parameter=value, as in tracker.radius=8")
        if owner in drafts:
            _set(drafts[owner], name, value, Origin(Layer.SET, where, Path.cwd()))
        elif owner in containers:
            containers[owner] = _set_container(containers[owner], owner, name, value, where)
        else:
            known = [*drafts, *containers]
            raise UserError(f"{where}: no node or container '{owner}'{close_matches(owner, known)}")


def split_override(text: str) -> tuple[str, str]:
    """Key and value of ``key=value``. Raises UserError if there is no ``=``."""
    key, equals, value = text.partition("=")
    if not equals:
        raise UserError(f"--set {text}: write key=value, as in tracker.radius=8")
    return key.strip(), value


def _set(draft: NodeDraft, name: str, text: str, origin: Origin) -> None:
    if name == "impl":
        _swap(draft, text.strip(), origin)
        return
    param, *inner = name.split(".")
    value = scalar(text)
    if inner:  # one entry of a parameter that is itself a mapping
        before = draft.params.get(param)
        value = _nested(before.value if before else {}, inner, value)
    draft.params[param] = Given(value, origin)


def _nested(before: Any, path: Sequence[str], value: Any) -> dict[str, Any]:
    first, *rest = path
    mapping = dict(before) if isinstance(before, dict) else {}
    mapping[first] = _nested(mapping.get(first), rest, value) if rest else value
    return mapping


def _set_container(draft: ContainerDraft, owner: str, name: str, text: str, where: str) -> ContainerDraft:
    fields = ContainerFile.model_fields
    if name not in fields:
        raise UserError(f"{where}: container '{owner}' has no '{name}'{close_matches(name, fields)}")
    values = {**draft.file.model_dump(exclude_unset=True), name: scalar(text)}
    try:
        return ContainerDraft(ContainerFile.model_validate(values), where)
    except ValidationError as error:
        raise UserError(f"{where}: '{name}' {brief(error.errors()[0])}") from error


def _swap(draft: NodeDraft, impl: str, origin: Origin) -> None:
    if impl != draft.impl or ".py:" in impl:  # the same file name may mean another file from another folder
        draft.impl, draft.impl_origin, draft.outputs = impl, origin, None


def _known(drafts: Drafts, node: str, where: str) -> NodeDraft:
    if node not in drafts:
        raise UserError(f"{where}: no node '{node}' in the graph{close_matches(node, drafts)}")
    return drafts[node]
