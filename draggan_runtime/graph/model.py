"""What loading a launch gives: plain frozen data that travels to any process; classes are loaded there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from draggan_runtime.node import Need, Node, NodeParams
from draggan_runtime.registry import ImplRef

DRAG = "runtime/drag"
SESSION = "runtime/session"


@dataclass(frozen=True)
class Qos:
    """How an edge delivers.

    ``reliable``: every message, in order; ``depth`` 0 keeps all. ``latest``: older messages give way once
    ``depth`` wait. ``share`` (only with latest): the fraction of the container's time the consumer may take while
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
    ``num_cpus``, ``num_gpus``: what Ray reserves; "auto" = one GPU if the cluster has any.
    ``threads``: torch's intra-op threads, None = torch's choice. ``device``: "auto", "cpu", "cuda:0".
    """

    name: str
    place: Literal["driver", "actor"]
    nodes: tuple[str, ...]
    num_cpus: float = 0.0
    num_gpus: float | Literal["auto"] = 0.0
    threads: int | None = None
    device: str = "auto"
    restart: Restart = Restart()


@dataclass(frozen=True)
class ResolvedNode:
    """A node to be made: ``params`` are those given (checked), by name; defaults are the class's own."""

    id: str
    impl: ImplRef
    params: dict[str, Any] = field(default_factory=dict)

    def load(self) -> tuple[type[Node], NodeParams]:
        """The class and its parameters. Raises UserError if the class cannot be loaded here."""
        cls = self.impl.load()
        return cls, cls.Params(**self.params)


@dataclass(frozen=True)
class ResolvedGraph:
    """A checked graph with its layout. ``nodes`` in the order of the file; every node is in one container.

    ``needs``: by node id and output port, what the port's consumers read.
    """

    name: str
    nodes: dict[str, ResolvedNode]
    edges: tuple[Edge, ...]
    containers: dict[str, ContainerSpec]
    needs: dict[str, dict[str, tuple[Need, ...]]] = field(default_factory=dict)

    def container_of(self, node_id: str) -> ContainerSpec:
        """The container that hosts a node."""
        return next(c for c in self.containers.values() if node_id in c.nodes)

    def find(self, impl: str) -> str | None:
        """Id of the first node whose ``impl`` has this registered name."""
        return next((n.id for n in self.nodes.values() if n.impl.name == impl), None)

    @property
    def home(self) -> str | None:
        """Name of the container that hosts runtime/drag; None if the graph has no drag."""
        drag = self.find(DRAG)
        return None if drag is None else self.container_of(drag).name
