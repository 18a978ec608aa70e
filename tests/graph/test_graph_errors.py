"""What is wrong with a graph is said in one line: where, what, and what would fit."""

from __future__ import annotations

import pytest
from graph_helpers import GRAPH, Files

HEAD = """
    version: 1
    name: toy
    nodes:
      - {id: camera, impl: "parts.py:Camera"}
"""


def with_nodes(*lines: str) -> str:
    return HEAD + "".join(f"      - {line}\n" for line in lines)


FOLLOW = 'id: follow, impl: "parts.py:Follow"'
TIED = "inputs: {features: camera/features, goal: camera/goal}"


def test_a_graph_that_fits_loads(files: Files) -> None:
    graph = files.load(GRAPH)
    assert list(graph.nodes) == ["camera", "follow", "look"]


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        # keys
        (["{id: a, impl: x, inpts: {}}"], "file.yaml:5: node 'a': unknown key 'inpts'; did you mean 'inputs'?"),
        (["{id: a}"], "file.yaml:5: node 'a': missing key 'impl'"),
        (["{id: a, impl: 7}"], "file.yaml:5: node 'a': 'impl' should be a valid string, not 7"),
        (["{id: a b, impl: x}"], "file.yaml:5: node 'a b': 'id' 'a b' is no name; use letters, digits, _ and -"),
        (["{id: camera, impl: x}"], "file.yaml:5: node 'camera' is there already, in file.yaml:4; ids must differ"),
        # references
        (
            ["{" + FOLLOW + ", inputs: {features: camera}}"],
            "file.yaml:5: node 'follow': 'features' 'camera' is no port; write node/port",
        ),
        (
            ["{" + FOLLOW + ", inputs: {features: camra/features}}"],
            "file.yaml:5: node 'follow': input 'features' reads 'camra/features', but there is no node 'camra'; "
            "did you mean 'camera'?",
        ),
        (
            ["{" + FOLLOW + ", inputs: {features: camera/feature}}"],
            "file.yaml:5: node 'follow': input 'features' reads 'camera/feature', but parts.py:Camera has no output "
            "'feature'; it has goal (Goal), features (Features)",
        ),
        (
            ["{" + FOLLOW + ", inputs: {featurs: camera/features}}"],
            "file.yaml:5: node 'follow': input 'featurs' is not a port of parts.py:Follow; it has features, goal",
        ),
        (
            ["{" + FOLLOW + ", inputs: {features: camera/goal}}"],
            "file.yaml:5: node 'follow': input 'features' takes Features, but camera/goal gives Goal; "
            "Features comes from camera/features",
        ),
        (
            ["{" + FOLLOW + ", inputs: {features: camera/features}}"],
            "file.yaml:5: node 'follow': required input 'goal' of parts.py:Follow is not tied; "
            "it could read camera/goal",
        ),
        (
            ['{id: show, impl: "parts.py:Show"}'],
            "file.yaml:5: node 'show': required input 'frame' of parts.py:Show is not tied; "
            "it needs a node that gives Frame",
        ),
        (
            ["{" + FOLLOW + ", inputs: {features: [camera/features, camera/features], goal: camera/goal}}"],
            "file.yaml:5: node 'follow': input 'features' takes one source, not 2: it is a sync input",
        ),
        (
            ['{id: look, impl: "parts.py:Look", inputs: {any: [camera/goal, camera/goal]}}'],
            "file.yaml:5: node 'look': input 'any' reads 'camera/goal' twice",
        ),
        (
            ["{" + FOLLOW + ", outputs: [handels], " + TIED + "}"],
            "file.yaml:5: node 'follow': output 'handels' is not a port of parts.py:Follow; did you mean 'handles'?",
        ),
        # qos
        (
            ['{id: look, impl: "parts.py:Look", inputs: {any: {from: camera/goal, qos: {policy: newest}}}}'],
            "file.yaml:5: node 'look': 'policy' should be 'latest' or 'reliable', not 'newest'",
        ),
        (
            ['{id: look, impl: "parts.py:Look", inputs: {any: {from: camera/goal, qos: {policy: latest, dept: 1}}}}'],
            "file.yaml:5: node 'look': unknown key 'dept'; did you mean 'depth'?",
        ),
        (
            ['{id: look, impl: "parts.py:Look", inputs: {any: {from: camera/goal, qos: {policy: latest, share: 2}}}}'],
            "file.yaml:5: node 'look': 'share' should be less than or equal to 1, not 2",
        ),
        (
            [
                '{id: look, impl: "parts.py:Look", '
                "inputs: {any: {from: camera/goal, qos: {policy: reliable, share: 0.5}}}}"
            ],
            "file.yaml:5: node 'look': 'qos' share goes only with policy: latest",
        ),
        # parameters
        (
            ["{" + FOLLOW + ", params: {radis: 3}, " + TIED + "}"],
            "file.yaml:5: node 'follow': 'radis' is not a parameter of parts.py:Follow; did you mean 'radius'?",
        ),
        (
            ["{" + FOLLOW + ", params: {radius: -1}, " + TIED + "}"],
            "file.yaml:5: node 'follow': 'radius' of parts.py:Follow should be greater than 0, not -1; "
            "it is float, > 0, <= 128, default 12.0",
        ),
        (
            ["{" + FOLLOW + ", params: {radius: far}, " + TIED + "}"],
            "file.yaml:5: node 'follow': 'radius' of parts.py:Follow should be a valid number, not 'far'; "
            "it is float, > 0, <= 128, default 12.0",
        ),
        (
            ["{" + FOLLOW + ", params: {count: true}, " + TIED + "}"],
            "file.yaml:5: node 'follow': 'count' of parts.py:Follow should be a number, not true; it is int, default 3",
        ),
        (
            ['{id: d, impl: "parts.py:Demanding", inputs: {goal: camera/goal}}'],
            "file.yaml:5: node 'd': 'path' of parts.py:Demanding is required; it is str",
        ),
        # implementations
        (
            ["{id: a, impl: tracking/nearst}"],
            "file.yaml:5: node 'a': no node is registered as 'tracking/nearst'; did you mean 'tracking/nearest'?",
        ),
        (
            ['{id: a, impl: "parts.py:Folow"}'],
            "file.yaml:5: node 'a': parts.py:Folow: no class 'Folow'; it defines Camera, Follow, Bare, Demanding, "
            "Look, Join, Paint, Show",
        ),
        (
            [
                "{id: d1, impl: runtime/session, inputs: {latent: camera/goal}}",
                "{id: d2, impl: runtime/session, inputs: {latent: camera/goal}}",
            ],
            "file.yaml:6: node 'd2': a graph has one runtime/session, and 'd1' is one already",
        ),
    ],
)
def test_a_node_that_does_not_fit(files: Files, nodes: list[str], message: str) -> None:
    assert files.error(with_nodes(*nodes)) == message


def test_the_line_is_that_of_the_entry_itself(files: Files) -> None:
    text = """
        version: 1
        name: toy
        nodes:
          - {id: camera, impl: "parts.py:Camera"}
          - id: follow
            impl: parts.py:Follow
            params:
              count: 1
              radius: 500
            inputs:
              goal: camera/goal
              features: camera/goal
        """
    assert files.error(text).startswith("file.yaml:9: node 'follow': 'radius' of parts.py:Follow should be less")
    assert files.error(text.replace("500", "5")).startswith("file.yaml:12: node 'follow': input 'features' takes")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("version: 2\nname: x\n", "file.yaml:1: version 2 is not known; this program reads version 1"),
        ("name: x\n", "file.yaml:1: missing key 'version'"),
        ("version: 1\nname: x\n", "file.yaml:1: the graph has no nodes"),
        ("version: 1\nname: x\nnodes: {}\n", "file.yaml:3: 'nodes' should be a valid list"),
        ("version: 1\nname: x\nnode: []\n", "file.yaml:3: unknown key 'node'; did you mean 'nodes'?"),
        ("- a\n", "file.yaml:1: should be a mapping with the keys version, name, nodes, include, remap"),
    ],
)
def test_a_file_that_does_not_fit(files: Files, text: str, message: str) -> None:
    assert files.error(text) == message


def test_nodes_that_wait_for_each_other_for_ever(files: Files) -> None:
    error = files.error(
        """
        version: 1
        name: ring
        nodes:
          - {id: paint, impl: "parts.py:Paint", inputs: {handles: one/handles}}
          - {id: one, impl: "parts.py:Join", inputs: {a: two/handles}}
          - {id: two, impl: "parts.py:Join", inputs: {a: one/handles}}
        """
    )
    assert error == (
        "file.yaml:5: node 'one': never steps: one waits for two waits for one; "
        "make one of these inputs latched or an event, or tie an event from outside"
    )


def test_a_ring_that_is_started_from_outside_is_fine(files: Files) -> None:
    graph = files.load(
        """
        version: 1
        name: ring
        nodes:
          - {id: camera, impl: "parts.py:Camera"}
          - {id: follow, impl: "parts.py:Follow", inputs: {features: camera/features, goal: camera/goal}}
          - {id: paint, impl: "parts.py:Paint", inputs: {handles: [follow/handles, one/handles]}}
          - {id: one, impl: "parts.py:Join", inputs: {a: follow/handles, b: follow/extra}}
        """
    )
    assert len(graph.edges) == 6


def test_an_import_error_names_the_line_in_the_node_s_own_file(files: Files) -> None:
    files.write("broken.py", "import math\n\nimport no_such_module_x\n")
    assert files.error(with_nodes('{id: a, impl: "broken.py:A"}')) == (
        f"file.yaml:5: node 'a': {files.folder.resolve()}/broken.py:3: "
        "ModuleNotFoundError: No module named 'no_such_module_x'"
    )
