"""A resolved graph as text that draws itself: Mermaid (GitHub and notebooks show it) and DOT (Graphviz)."""

from __future__ import annotations

from collections.abc import Iterator

from draggan_runtime.execution.costs import EdgeCost, EdgeCosts
from draggan_runtime.graph.model import ContainerSpec, Edge, Qos, ResolvedGraph
from draggan_runtime.node import Node


def mermaid(graph: ResolvedGraph, costs: EdgeCosts | None = None) -> str:
    """Mermaid flowchart: containers as boxes around their nodes; dashed = latched, no step of its own.

    ``costs`` go on the edges.
    """
    classes = classes_of(graph)
    key = {node: f"n{index}" for index, node in enumerate(graph.nodes)}
    lines = ["flowchart LR"]
    for number, spec in enumerate(graph.containers.values()):
        lines.append(f'  subgraph c{number}["{_title(spec)}"]')
        lines += [f'    {key[n]}["{n}<br/>{graph.nodes[n].impl.name}"]' for n in spec.nodes]
        lines.append("  end")
    for edge in graph.edges:
        arrow = "-.->" if _latched(edge, classes) else "-->"
        label = "<br/>".join(_labels(edge, classes, costs))
        lines.append(f'  {key[edge.source_node]} {arrow}|"{label}"| {key[edge.target_node]}')
    return "\n".join(lines) + "\n"


def dot(graph: ResolvedGraph, costs: EdgeCosts | None = None) -> str:
    """DOT digraph; the same picture as :func:`mermaid`."""
    classes = classes_of(graph)
    lines = [f"digraph {_quoted(graph.name)} {{", "  rankdir=LR;", "  node [shape=box];"]
    for number, spec in enumerate(graph.containers.values()):
        lines += [f"  subgraph cluster_{number} {{", f"    label={_quoted(_title(spec))};"]
        for node in spec.nodes:
            lines.append(f"    {_quoted(node)} [label={_quoted(node, graph.nodes[node].impl.name)}];")
        lines.append("  }")
    for edge in graph.edges:
        style = ", style=dashed" if _latched(edge, classes) else ""
        label = _quoted(*_labels(edge, classes, costs))
        lines.append(f"  {_quoted(edge.source_node)} -> {_quoted(edge.target_node)} [label={label}{style}];")
    return "\n".join([*lines, "}"]) + "\n"


def qos_text(qos: Qos) -> str:
    """What differs from reliable delivery: ``latest 1, share 0.25``; "" if nothing does."""
    parts = [] if qos == Qos() else [f"{qos.policy} {qos.depth}" if qos.depth else qos.policy]
    return ", ".join(parts + ([f"share {qos.share:g}"] if qos.share is not None else []))


def classes_of(graph: ResolvedGraph) -> dict[str, type[Node]]:
    """The nodes' classes by id."""
    return {node.id: node.impl.load() for node in graph.nodes.values()}


def _title(spec: ContainerSpec) -> str:
    parts = [spec.place, *([f"{spec.threads} threads"] if spec.threads else [])]
    return f"{spec.name} ({', '.join(parts + [f'{key}={value}' for key, value in spec.labels.items()])})"


def _latched(edge: Edge, classes: dict[str, type[Node]]) -> bool:
    return classes[edge.target_node].inputs[edge.target_port].role == "latched"


def _labels(edge: Edge, classes: dict[str, type[Node]], costs: EdgeCosts | None) -> Iterator[str]:
    yield message_type(edge, classes)
    if qos := qos_text(edge.qos):
        yield qos
    if costs is not None:
        yield cost_text(cost_of(edge, costs))


def message_type(edge: Edge, classes: dict[str, type[Node]]) -> str:
    """Name of the message that the edge carries."""
    return classes[edge.source_node].outputs[edge.source_port].__name__


def cost_of(edge: Edge, costs: EdgeCosts) -> EdgeCost:
    """What an edge cost; nothing if no message went along it."""
    key = f"{edge.source_node}/{edge.source_port}", f"{edge.target_node}/{edge.target_port}"
    return costs.get(key, EdgeCost())


def cost_text(cost: EdgeCost) -> str:
    """``61 x 36.1 kB, 1.9 ms``: messages; of each, if they cross between containers, the bytes and the time."""
    if not (cost.messages and cost.bytes):
        return f"{cost.messages} x"
    return f"{cost.messages} x {bytes_text(cost.bytes / cost.messages)}, {cost.seconds / cost.messages * 1e3:.1f} ms"


def bytes_text(size: float) -> str:
    """``36.1 kB``."""
    for unit in ("B", "kB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} MB" if size < 999.5 else f"{size:.0f} MB"


def _quoted(*lines: str) -> str:
    return '"' + "\\n".join(line.replace("\\", "\\\\").replace('"', '\\"') for line in lines) + '"'
