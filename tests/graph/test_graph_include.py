"""Graphs made of graphs: include, namespace, remap."""

from __future__ import annotations

import pytest
from graph_helpers import Files

from draggan_runtime.graph.model import ResolvedGraph

EYE = """
    version: 1
    name: eye
    nodes:
      - {id: camera, impl: "parts.py:Camera"}
      - {id: follow, impl: "parts.py:Follow", inputs: {features: camera/features, goal: camera/goal}}
    """


@pytest.fixture(autouse=True)
def eye(files: Files) -> None:
    files.write("eye.yaml", EYE)


def edges(graph: ResolvedGraph) -> set[str]:
    return {f"{e.source_node}/{e.source_port} > {e.target_node}/{e.target_port}" for e in graph.edges}


def test_an_included_graph_s_names_get_the_namespace(files: Files) -> None:
    graph = files.load(
        """
        version: 1
        name: both
        include:
          - {graph: eye.yaml, namespace: left}
          - {graph: eye.yaml, namespace: right}
        nodes:
          - {id: join, impl: "parts.py:Join", inputs: {a: left/follow/handles, b: right/follow/handles}}
        """,
        "left/follow.radius=5",
    )
    assert list(graph.nodes) == ["left/camera", "left/follow", "right/camera", "right/follow", "join"]
    assert "left/camera/features > left/follow/features" in edges(graph)
    assert "right/follow/handles > join/b" in edges(graph)
    assert graph.nodes["left/follow"].params == {"radius": 5}


def test_without_a_namespace_the_names_stay(files: Files) -> None:
    graph = files.load("version: 1\nname: a\ninclude: [{graph: eye.yaml}]\n")
    assert list(graph.nodes) == ["camera", "follow"]
    clash = "version: 1\nname: a\ninclude: [{graph: eye.yaml}, {graph: eye.yaml}]\n"
    assert files.error(clash) == "file.yaml:3: node 'camera' is there already, in eye.yaml:4; ids must differ"


def test_remap_ties_an_included_graph_to_the_including_one(files: Files) -> None:
    graph = files.load(
        """
        version: 1
        name: shared
        nodes:
          - {id: camera, impl: "parts.py:Camera"}
        include:
          - {graph: eye.yaml, namespace: left, remap: {camera/goal: camera/goal}}
        """
    )
    assert "camera/goal > left/follow/goal" in edges(graph)
    assert "left/camera/features > left/follow/features" in edges(graph)


def test_namespaces_nest(files: Files) -> None:
    files.write("outer.yaml", "version: 1\nname: outer\ninclude: [{graph: eye.yaml, namespace: eye}]\n")
    graph = files.load("version: 1\nname: a\ninclude: [{graph: outer.yaml, namespace: head}]\n")
    assert edges(graph) == {
        "head/eye/camera/features > head/eye/follow/features",
        "head/eye/camera/goal > head/eye/follow/goal",
    }


def test_a_leading_slash_means_the_outermost_graph(files: Files) -> None:
    files.write(
        "reader.yaml", 'version: 1\nname: r\nnodes: [{id: look, impl: "parts.py:Look", inputs: {any: /camera/goal}}]'
    )
    graph = files.load(
        """
        version: 1
        name: a
        include: [{graph: reader.yaml, namespace: deep}]
        nodes: [{id: camera, impl: "parts.py:Camera"}]
        """
    )
    assert edges(graph) == {"camera/goal > deep/look/any"}


def test_a_graph_s_remap_puts_a_node_between(files: Files) -> None:
    text = """
        version: 1
        name: between
        include: [{graph: eye.yaml}]
        nodes:
          - {id: paint, impl: "parts.py:Paint", inputs: {handles: follow/handles}}
          - {id: smooth, impl: "parts.py:Join", inputs: {a: follow/handles}}
        remap: {follow/handles: smooth/handles}
        """
    assert edges(files.load(text)) == {
        "camera/features > follow/features",
        "camera/goal > follow/goal",
        "smooth/handles > paint/handles",
        "follow/handles > smooth/a",
    }


def test_a_launch_can_remap_too(files: Files) -> None:
    graph = files.load(
        """
        version: 1
        name: run
        graph: graph.yaml
        nodes: {smooth: {impl: "parts.py:Join", inputs: {a: follow/handles}}}
        remap: {follow/handles: smooth/handles}
        """
    )
    assert "smooth/handles > look/last" in edges(graph)
    assert "follow/handles > smooth/a" in edges(graph)


@pytest.mark.parametrize(
    ("include", "message"),
    [
        (
            "{graph: eye.yaml, remap: {camera/gaol: x/y}}",
            "file.yaml:4: remap: no node reads 'camera/gaol'; did you mean 'camera/goal'?",
        ),
        ("{graph: eye.yaml, namspace: x}", "file.yaml:4: unknown key 'namspace'; did you mean 'namespace'?"),
        ("{graph: missing.yaml}", "file.yaml:4: no file missing.yaml in ."),
        (
            "{graph: eye.yaml, remap: {camera/goal: x/y}}",
            "eye.yaml:5: node 'follow': input 'goal' reads 'x/y', but there is no node 'x'; there are camera, follow",
        ),
        ("{graph: file.yaml}", "file.yaml:4: file.yaml includes itself"),
    ],
)
def test_an_include_that_does_not_fit(files: Files, include: str, message: str) -> None:
    assert files.error(f"version: 1\nname: a\ninclude:\n  - {include}\n") == message


def test_an_error_inside_an_included_file_names_that_file(files: Files) -> None:
    files.write("eye.yaml", EYE.replace("camera/features", "camera/goal"))
    error = files.error("version: 1\nname: a\ninclude: [{graph: eye.yaml, namespace: left}]\n")
    assert error.startswith("eye.yaml:5: node 'left/follow': input 'features' takes Features, but left/camera/goal")
