"""Tying inputs to outputs, and every check that needs the nodes' declared ports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from draggan_runtime.errors import UserError
from draggan_runtime.graph.draft import Drafts, NodeDraft, Tie
from draggan_runtime.graph.expand import node_of
from draggan_runtime.graph.firing import check_fires
from draggan_runtime.graph.model import DRAG, SESSION, Edge, Qos
from draggan_runtime.graph.schema import QosFile
from draggan_runtime.messages import Frame, Message
from draggan_runtime.node import Node
from draggan_runtime.registry import close_matches

Classes = Mapping[str, type[Node]]


@dataclass
class Wiring:
    """The edges of a graph, and a note for each tie that a replaced implementation has no port for."""

    edges: list[Edge] = field(default_factory=list)
    lost: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def lose(self, node: str, port: str, note: str) -> None:
        """Note that a port lost a tie."""
        self.lost.setdefault((node, port), []).append(note)

    @property
    def notes(self) -> list[str]:
        """All notes."""
        return [note for notes in self.lost.values() for note in notes]


def wire(drafts: Drafts, classes: Classes) -> Wiring:
    """Tie the graph. Raises UserError at the line of the first tie that does not fit."""
    wiring = Wiring()
    _check_single(drafts)
    for draft in drafts.values():
        _check_outputs(draft, classes[draft.id])
        for port, tie in draft.inputs.items():
            _tie(draft, port, tie, drafts, classes, wiring)
        _check_required(draft, drafts, classes, wiring)
    check_fires(drafts, classes, wiring.edges)
    return wiring


def _tie(draft: NodeDraft, port: str, tie: Tie, drafts: Drafts, classes: Classes, wiring: Wiring) -> None:
    where, cls = draft.at(tie.origin), classes[draft.id]
    if port not in cls.inputs:
        if tie.origin.layer < draft.impl_origin.layer:
            wiring.lose(draft.id, port, f"{draft.id}/{port} is left untied: {draft.impl} has no such input")
            return
        has = f"; it has {', '.join(cls.inputs)}" if cls.inputs else "; it has no inputs"
        raise UserError(f"{where}: input '{port}' is not a port of {draft.impl}{has}")
    if len(tie.sources) > 1 and cls.inputs[port].role == "sync":
        raise UserError(f"{where}: input '{port}' takes one source, not {len(tie.sources)}: it is a sync input")
    for index, source in enumerate(tie.sources):
        if source in tie.sources[:index]:
            raise UserError(f"{where}: input '{port}' reads '{source}' twice")
        given = _output(draft, port, tie, source, drafts, classes, wiring)
        if given is None:
            continue
        wanted = cls.inputs[port].type
        if not issubclass(given, wanted):
            fits = _offers(wanted, drafts, classes)
            raise UserError(
                f"{where}: input '{port}' takes {wanted.__name__}, but {source} gives {given.__name__}"
                + (f"; {wanted.__name__} comes from {fits}" if fits else "")
            )
        node, _, output = source.rpartition("/")
        wiring.edges.append(Edge(node, output, draft.id, port, _qos(tie.qos, given)))


def _output(
    draft: NodeDraft, port: str, tie: Tie, source: str, drafts: Drafts, classes: Classes, wiring: Wiring
) -> type[Message] | None:
    """The message type of ``source``; None if its node was replaced by one without that output."""
    where, name = draft.at(tie.origin), source.rpartition("/")[2]
    giver = drafts.get(node_of(source))
    if giver is None:
        raise UserError(
            f"{where}: input '{port}' reads '{source}', but there is no node '{node_of(source)}'"
            + close_matches(node_of(source), drafts)
        )
    outputs = classes[giver.id].outputs
    if name in outputs:
        if giver.outputs is not None and name not in giver.outputs:
            raise UserError(f"{where}: input '{port}' reads '{source}', which {giver.id}'s outputs do not list")
        return outputs[name]
    if tie.origin.layer < giver.impl_origin.layer:
        note = f"{draft.id}/{port} does not read {source}: {giver.impl} has no such output"
        wiring.lose(draft.id, port, note)
        return None
    has = ", ".join(f"{o} ({t.__name__})" for o, t in outputs.items()) or "no outputs"
    raise UserError(f"{where}: input '{port}' reads '{source}', but {giver.impl} has no output '{name}'; it has {has}")


def _check_required(draft: NodeDraft, drafts: Drafts, classes: Classes, wiring: Wiring) -> None:
    tied = {e.target_port for e in wiring.edges if e.target_node == draft.id}
    for name, port in classes[draft.id].inputs.items():
        if port.optional or name in tied:
            continue
        offers = _offers(port.type, drafts, classes)
        could = f"could read {offers}" if offers else f"needs a node that gives {port.type.__name__}"
        why = "".join(f" ({note})" for note in wiring.lost.get((draft.id, name), []))
        raise UserError(
            f"{draft.at(draft.origin)}: required input '{name}' of {draft.impl} is not tied{why}; it {could}"
        )


def _check_outputs(draft: NodeDraft, cls: type[Node]) -> None:
    for name in draft.outputs or []:
        if name not in cls.outputs:
            raise UserError(
                f"{draft.at(draft.origin)}: output '{name}' is not a port of {draft.impl}"
                + close_matches(name, cls.outputs)
            )


def _check_single(drafts: Drafts) -> None:
    for impl in (DRAG, SESSION):
        hosts = [d for d in drafts.values() if d.impl == impl]
        if len(hosts) > 1:
            raise UserError(
                f"{hosts[1].at(hosts[1].origin)}: a graph has one {impl}, and '{hosts[0].id}' is one already"
            )


def _offers(wanted: type[Message], drafts: Drafts, classes: Classes) -> str:
    return ", ".join(
        f"{node}/{port}"
        for node in drafts
        for port, given in classes[node].outputs.items()
        if issubclass(given, wanted)
    )


def _qos(said: QosFile | None, given: type[Message]) -> Qos:
    """What the file says; else only the newest frame counts, and every other message."""
    if said is None:
        return Qos("latest", 1) if issubclass(given, Frame) else Qos()
    depth = said.depth if said.depth is not None else (1 if said.policy == "latest" else 0)
    return Qos(said.policy, depth, said.share)
