"""What loading a launch gives: plain frozen data that travels to any process; classes are loaded there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from draggan_runtime.errors import UserError
from draggan_runtime.graph.params import ParamError, unknown, validated
from draggan_runtime.messages import Message
from draggan_runtime.node import Need, Node, NodeParams
from draggan_runtime.registry import ImplRef, close_matches

DRAG = "runtime/drag"
SESSION = "runtime/session"


@dataclass(frozen=True)
class Qos:
    """How an edge delivers.

    ``reliable``: every message, in order; ``depth`` 0 keeps all. ``latest``: older messages give way once
    ``depth`` wait. ``share`` (only with latest): the part of the container's time the consumer may take while
    a drag runs; 0 = only when idle, None = no bound.
    """

    policy: Literal["latest", "reliable"] = "reliable"
    depth: int = 0
    share: float | None = None


@dataclass(frozen=True)
class Edge:
    """One tie from an output port to an input port."""

    source_node: str
    source_port: str
    target_node: str
    target_port: str
    qos: Qos = Qos()


@dataclass(frozen=True)
class Restart:
    """What happens to a container that dies; ``max`` counts restarts."""

    policy: Literal["on-failure", "never"] = "never"
    max: int = 5


@dataclass(frozen=True)
class ContainerSpec:
    """Where nodes run.

    ``place``: "driver" = the user's process (at most one such container), "actor" = a Ray actor of its own.
    ``num_cpus``, ``num_gpus``: what Ray reserves; "auto" = one GPU if the cluster has any. ``labels``: those that the
    node of the cluster must have, all of them.
    ``threads``: torch's intra-op threads, None = the cores there are, up to 8. ``device``: "auto", "cpu", "cuda:0".
    """

    name: str
    place: Literal["driver", "actor"]
    nodes: tuple[str, ...]
    num_cpus: float = 0.0
    num_gpus: float | Literal["auto"] = 0.0
    labels: dict[str, str] = field(default_factory=dict)
    threads: int | None = None
    device: str = "auto"
    restart: Restart = Restart()


@dataclass(frozen=True)
class Engines:
    """How a cluster runs a launch's actor containers, which together are one engine.

    ``replicas`` engines take sessions, ``spares`` wait with loaded weights to stand in for one that dies. An engine
    takes ``sessions`` at most, and fewer if one then waited longer than ``step_budget`` s for its next step; of those
    up to ``batch`` step together. A session that has been idle for ``idle`` s gives its place back. ``placement``:
    how Ray places an engine's containers on nodes. ``restarts``: how often in a row an engine may fail to start, or a
    session's engine die at the same step, before that is final.
    """

    replicas: int = 1
    spares: int = 0
    sessions: int = 4
    batch: int = 8
    step_budget: float = 0.5
    idle: float = 60.0
    placement: Literal["pack", "spread", "strict_pack", "strict_spread"] = "pack"
    restarts: int = 5


@dataclass(frozen=True)
class ResolvedNode:
    """A node to be made: ``params`` are those given (checked), by name; defaults are the class's own.

    ``spare``: those given to implementations that this one replaced, and that it does not have.
    """

    id: str
    impl: ImplRef
    params: dict[str, Any] = field(default_factory=dict)
    spare: dict[str, Any] = field(default_factory=dict)

    def load(self) -> tuple[type[Node], NodeParams]:
        """The class and its parameters. Raises UserError if the class cannot be loaded here."""
        cls = self.impl.load()
        return cls, cls.Params(**self.params)


#: By node id and output port.
Needs = dict[str, dict[str, tuple[Need, ...]]]


@dataclass(frozen=True)
class ResolvedGraph:
    """A checked graph with its layout. ``nodes`` in the order of the file; every node is in one container.

    ``needs``: by node id and output port, what the port's consumers read. ``notes``: what was left out because
    an implementation was replaced by one that has no use for it.
    """

    name: str
    nodes: dict[str, ResolvedNode]
    edges: tuple[Edge, ...]
    containers: dict[str, ContainerSpec]
    engines: Engines = Engines()
    needs: Needs = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def container_of(self, node_id: str) -> ContainerSpec:
        """The container that hosts a node."""
        return next(c for c in self.containers.values() if node_id in c.nodes)

    def with_params(self, node_id: str, params: Mapping[str, Any]) -> ResolvedGraph:
        """This graph with parameters of a node changed while it runs, and the needs that follow.

        Raises UserError if there is no such node or parameter, the value does not fit, or it is one of those
        that cannot change while the node runs.
        """
        if node_id not in self.nodes:
            raise UserError(f"no node '{node_id}' in the graph{close_matches(node_id, self.nodes)}")
        node = self.nodes[node_id]
        cls, old = node.load()
        for name, value in params.items():
            if name not in cls.Params.model_fields:
                raise UserError(f"node '{node_id}': {unknown(name, node.impl.name, cls)}")
            if name in cls.fixed and value != getattr(old, name):
                raise UserError(f"node '{node_id}': '{name}' cannot change while the graph runs")
        changed = replace(node, params={**node.params, **params})
        try:
            validated(cls, changed.params)
        except ParamError as error:
            raise UserError(f"node '{node_id}': {error.text(node.impl.name)}") from error
        nodes = {**self.nodes, node_id: changed}
        return replace(self, nodes=nodes, needs=needs_of(nodes, self.edges))

    def taking(self, *params: str) -> list[str]:
        """Ids of the nodes that have parameters of all these names."""
        return [node.id for node in self.nodes.values() if set(params) <= set(node.impl.load().Params.model_fields)]

    def edges_from(self, node_id: str, port: str) -> list[Edge]:
        """The edges that start at an output."""
        return [e for e in self.edges if (e.source_node, e.source_port) == (node_id, port)]

    def find(self, impl: str) -> str | None:
        """Id of the first node whose ``impl`` has this registered name."""
        return next((n.id for n in self.nodes.values() if n.impl.name == impl), None)

    def source_of(self, kind: type[Message]) -> tuple[str, str] | None:
        """Node and output port from which the session hears messages of a kind (the capture's); None if from none."""
        session = self.find(SESSION)
        for e in self.edges:
            outputs = self.nodes[e.source_node].impl.load().outputs
            if e.target_node == session and outputs[e.source_port] is kind:
                return e.source_node, e.source_port
        return None

    @property
    def home(self) -> str | None:
        """Name of the container that hosts runtime/drag; None if the graph has no drag."""
        drag = self.find(DRAG)
        return None if drag is None else self.container_of(drag).name


def needs_of(nodes: Mapping[str, ResolvedNode], edges: Iterable[Edge]) -> Needs:
    """What the consumers of every output port read of it."""
    loaded = {node.id: node.load() for node in nodes.values()}
    found: Needs = {}
    for edge in edges:
        cls, params = loaded[edge.target_node]
        need = cls.needs(params).get(edge.target_port)
        if need is not None:
            ports = found.setdefault(edge.source_node, {})
            known = ports.get(edge.source_port, ())
            ports[edge.source_port] = known if need in known else (*known, need)
    return found
