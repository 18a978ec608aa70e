"""A resolved graph as text that draws itself: Mermaid (GitHub and notebooks show it) and DOT (Graphviz)."""

from __future__ import annotations

from collections.abc import Iterator

from draggan_runtime.graph.model import ContainerSpec, Edge, Qos, ResolvedGraph
from draggan_runtime.node import Node


def mermaid(graph: ResolvedGraph) -> str:
    """Mermaid flowchart: containers as boxes around their nodes; dashed = latched, no step of its own."""
    classes = _classes(graph)
    key = {node: f"n{index}" for index, node in enumerate(graph.nodes)}
    lines = ["flowchart LR"]
    for number, spec in enumerate(graph.containers.values()):
        lines.append(f'  subgraph c{number}["{_title(spec)}"]')
        lines += [f'    {key[n]}["{n}<br/>{graph.nodes[n].impl.name}"]' for n in spec.nodes]
        lines.append("  end")
    for edge in graph.edges:
        arrow = "-.->" if _latched(edge, classes) else "-->"
        label = "<br/>".join(_labels(edge, classes))
        lines.append(f'  {key[edge.source_node]} {arrow}|"{label}"| {key[edge.target_node]}')
    return "\n".join(lines) + "\n"


def dot(graph: ResolvedGraph) -> str:
    """DOT digraph; the same picture as :func:`mermaid`."""
    classes = _classes(graph)
    lines = [f"digraph {_quoted(graph.name)} {{", "  rankdir=LR;", "  node [shape=box];"]
    for number, spec in enumerate(graph.containers.values()):
        lines += [f"  subgraph cluster_{number} {{", f"    label={_quoted(_title(spec))};"]
        for node in spec.nodes:
            lines.append(f"    {_quoted(node)} [label={_quoted(node, graph.nodes[node].impl.name)}];")
        lines.append("  }")
    for edge in graph.edges:
        style = ", style=dashed" if _latched(edge, classes) else ""
        label = _quoted(*_labels(edge, classes))
        lines.append(f"  {_quoted(edge.source_node)} -> {_quoted(edge.target_node)} [label={label}{style}];")
    return "\n".join([*lines, "}"]) + "\n"


def qos_text(qos: Qos) -> str:
    """What differs from reliable delivery: ``latest 1, share 0.25``; "" if nothing does."""
    parts = [] if qos == Qos() else [f"{qos.policy} {qos.depth}" if qos.depth else qos.policy]
    return ", ".join(parts + ([f"share {qos.share:g}"] if qos.share is not None else []))


def _classes(graph: ResolvedGraph) -> dict[str, type[Node]]:
    return {node.id: node.impl.load() for node in graph.nodes.values()}


def _title(spec: ContainerSpec) -> str:
    parts = [spec.place, *([f"{spec.threads} threads"] if spec.threads else [])]
    return f"{spec.name} ({', '.join(parts + [f'{key}={value}' for key, value in spec.labels.items()])})"


def _latched(edge: Edge, classes: dict[str, type[Node]]) -> bool:
    return classes[edge.target_node].inputs[edge.target_port].role == "latched"


def _labels(edge: Edge, classes: dict[str, type[Node]]) -> Iterator[str]:
    yield classes[edge.source_node].outputs[edge.source_port].__name__
    if qos := qos_text(edge.qos):
        yield qos


def _quoted(*lines: str) -> str:
    return '"' + "\\n".join(line.replace("\\", "\\\\").replace('"', '\\"') for line in lines) + '"'
