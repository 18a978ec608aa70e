"""A graph as Mermaid and DOT text."""

from __future__ import annotations

import re

from graph_helpers import Files

from draggan_runtime.graph import load_launch
from draggan_runtime.graph.draw import dot, mermaid


def test_mermaid_shows_containers_nodes_types_and_qos(files: Files) -> None:
    graph = files.load(
        """
        version: 1
        name: run
        graph: graph.yaml
        nodes: {look: {inputs: {any: {from: follow/extra, qos: {policy: latest, share: 0.25}}}}}
        containers:
          ui: {place: driver, nodes: [camera]}
          engine: {place: actor, threads: 2, nodes: rest}
        """
    )
    assert mermaid(graph) == (
        "flowchart LR\n"
        '  subgraph c0["ui (driver)"]\n'
        '    n0["camera<br/>parts.py:Camera"]\n'
        "  end\n"
        '  subgraph c1["engine (actor, 2 threads)"]\n'
        '    n1["follow<br/>parts.py:Follow"]\n'
        '    n2["look<br/>parts.py:Look"]\n'
        "  end\n"
        '  n0 -->|"Features"| n1\n'
        '  n0 -.->|"Goal"| n1\n'
        '  n1 -->|"Handles<br/>latest 1, share 0.25"| n2\n'
        '  n1 -.->|"Handles"| n2\n'
    )


def test_dot_has_the_same_picture(files: Files) -> None:
    text = dot(load_launch("graph.yaml"))
    assert text.startswith('digraph "toy" {\n')
    assert text.endswith("}\n")
    assert 'subgraph cluster_0 {\n    label="local (driver)";' in text
    assert '"camera" [label="camera\\nparts.py:Camera"];' in text
    assert '"camera" -> "follow" [label="Goal", style=dashed];' in text
    assert text.count("{") == text.count("}")


def test_every_node_and_edge_of_the_real_graph_is_drawn() -> None:
    graph = load_launch("live")
    text = mermaid(graph)
    assert len(re.findall(r"^    n\d+\[", text, re.M)) == len(graph.nodes)
    assert len(re.findall(r"^  n\d+ -", text, re.M)) == len(graph.edges)
    assert dot(graph).count(" -> ") == len(graph.edges)
