"""Who wins: graph < config < launch < --set; and what happens when an implementation is replaced."""

from __future__ import annotations

import pickle

import pytest
from graph_helpers import Files

from draggan_runtime.errors import UserError
from draggan_runtime.graph import load_launch
from draggan_runtime.graph.model import Qos, ResolvedGraph
from draggan_runtime.node import Need

LAUNCH = """
    version: 1
    name: run
    graph: graph.yaml
    config: preset.yaml
    nodes:
      follow: {params: {count: 7}}
    """
PRESET = """
    version: 1
    name: preset
    params:
      follow: {radius: 20, count: 5}
    """


def radius(graph: ResolvedGraph) -> float:
    return float(graph.nodes["follow"].load()[1].radius)  # type: ignore[attr-defined]


@pytest.fixture
def run(files: Files) -> Files:
    files.write("preset.yaml", PRESET)
    files.write("run.yaml", LAUNCH)
    return files


def test_each_layer_wins_over_those_below(run: Files) -> None:
    assert load_launch("graph.yaml").nodes["follow"].params == {"radius": 10}
    assert load_launch("run.yaml").nodes["follow"].params == {"radius": 20, "count": 7}
    assert load_launch("run.yaml", ["follow.count=9"]).nodes["follow"].params == {"radius": 20, "count": 9}
    assert load_launch("run.yaml", config=[]).nodes["follow"].params == {"radius": 10, "count": 7}


def test_of_several_presets_the_last_wins(run: Files) -> None:
    run.write("more.yaml", PRESET.replace("20", "30"))
    run.write("run.yaml", LAUNCH.replace("preset.yaml", "[preset.yaml, more.yaml]"))
    assert radius(load_launch("run.yaml")) == 30
    assert radius(load_launch("run.yaml", config="preset.yaml")) == 20


def test_another_graph_can_run_under_the_same_launch(run: Files) -> None:
    run.write("other.yaml", (run.folder / "graph.yaml").read_text().replace("name: toy", "name: other"))
    assert "extra" not in load_launch("run.yaml", graph="other.yaml").nodes
    with pytest.raises(UserError, match="this is a graph already"):
        load_launch("graph.yaml", graph="other.yaml")


def test_set_reads_values_as_yaml_does(run: Files) -> None:
    params = (
        load_launch("run.yaml", ["follow.radius=3e0", "follow.name=on", "follow.options.a=1", "follow.options.b=2e-1"])
        .nodes["follow"]
        .params
    )
    assert params == {"radius": 3.0, "count": 7, "name": "on", "options": {"a": 1, "b": 0.2}}
    assert load_launch("run.yaml", ["follow.name="]).nodes["follow"].params["name"] is None


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "follow.radius=big",
            "--set follow.radius=big: node 'follow': 'radius' of parts.py:Follow should be a valid number, not 'big'; "
            "it is float, > 0, <= 128, default 12.0",
        ),
        (
            "follow.count=1.5",
            "--set follow.count=1.5: node 'follow': 'count' of parts.py:Follow should be a valid integer, got a "
            "number with a fractional part, not 1.5; it is int, default 3",
        ),
        (
            "follow.radis=3",
            "--set follow.radis=3: node 'follow': 'radis' is not a parameter of parts.py:Follow; "
            "did you mean 'radius'?",
        ),
        ("folow.radius=3", "--set folow.radius=3: no node or container 'folow'; did you mean 'follow'?"),
        ("radius=3", "--set radius=3: write node.parameter=value, as in tracker.radius=8"),
        ("follow.radius", "--set follow.radius: write key=value, as in tracker.radius=8"),
        (
            "follow.impl=tracking/neares",
            "--set follow.impl=tracking/neares: node 'follow': no node is registered as 'tracking/neares'; "
            "did you mean 'tracking/nearest'?",
        ),
        ("local.threads=two", "--set local.threads=two: 'threads' should be a valid integer, not 'two'"),
        ("local.thread=2", "--set local.thread=2: container 'local' has no 'thread'; did you mean 'threads'?"),
    ],
)
def test_a_bad_set_is_one_line_that_names_it(run: Files, override: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        load_launch("run.yaml", [override])
    assert str(caught.value) == message


def test_set_reaches_containers(run: Files) -> None:
    assert load_launch("run.yaml", ["local.threads=3"]).containers["local"].threads == 3


def test_a_swap_drops_parameters_of_the_old_implementation(run: Files) -> None:
    graph = load_launch("run.yaml", ["follow.impl=parts.py:Bare", "look.impl=parts.py:Look"])
    assert graph.nodes["follow"].params == {}
    assert graph.notes == (
        "follow.radius is left out: parts.py:Bare does not have it",
        "follow.count is left out: parts.py:Bare does not have it",
        "follow/goal is left untied: parts.py:Bare has no such input",
        "look/any does not read follow/extra: parts.py:Bare has no such output",
    )
    assert [(e.source_node, e.source_port, e.target_port) for e in graph.edges] == [
        ("camera", "features", "features"),
        ("follow", "handles", "last"),
    ]


def test_a_swap_keeps_parameters_the_new_implementation_shares(run: Files) -> None:
    run.write(
        "near.py",
        (run.folder / "parts.py").read_text().replace("count: int", "number: int").replace('"count"', '"number"'),
    )
    graph = load_launch("run.yaml", ["follow.impl=near.py:Follow"])
    assert graph.nodes["follow"].params == {"radius": 20}


def test_a_set_parameter_the_new_implementation_lacks_is_an_error(run: Files) -> None:
    with pytest.raises(UserError, match=r"^--set follow.radius=3: node 'follow': 'radius' is not a parameter of parts"):
        load_launch("run.yaml", ["follow.radius=3", "follow.impl=parts.py:Bare"])


def test_a_swap_in_the_launch_drops_the_preset_s_but_not_its_own(run: Files) -> None:
    swapped = LAUNCH.replace("{params: {count: 7}}", '{impl: "parts.py:Bare", params: {strength: 2}}')
    assert run.load(swapped).nodes["follow"].params == {"strength": 2}
    wrong = LAUNCH.replace("{params: {count: 7}}", '{impl: "parts.py:Bare", params: {count: 2}}')
    assert run.error(wrong) == (
        "file.yaml:6: node 'follow': 'count' is not a parameter of parts.py:Bare; there are strength"
    )


def test_a_swap_that_loses_a_required_tie_is_an_error_that_says_so(run: Files) -> None:
    text = """
        version: 1
        name: toy
        nodes:
          - {id: camera, impl: "parts.py:Camera"}
          - {id: follow, impl: "parts.py:Follow", inputs: {features: camera/features, goal: camera/goal}}
          - {id: paint, impl: "parts.py:Paint", inputs: {handles: follow/extra}}
        """
    assert run.error(text, "follow.impl=parts.py:Bare") == (
        "file.yaml:6: node 'paint': required input 'handles' of parts.py:Paint is not tied (paint/handles does not "
        "read follow/extra: parts.py:Bare has no such output); it could read follow/handles"
    )


def test_a_launch_adds_nodes_ties_and_unties(run: Files) -> None:
    graph = run.load(
        """
        version: 1
        name: run
        graph: graph.yaml
        nodes:
          look: {inputs: {any: null, last: follow/extra}}
          paint: {impl: "parts.py:Paint", inputs: {handles: [follow/handles, follow/extra]}}
          show: {impl: "parts.py:Show", inputs: {frame: {from: paint/frame, qos: {policy: latest, share: 0.25}}}}
        """
    )
    edges = [(f"{e.source_node}/{e.source_port}", f"{e.target_node}/{e.target_port}") for e in graph.edges]
    assert ("follow/extra", "look/any") not in edges
    assert ("follow/extra", "look/last") in edges
    assert edges.count(("follow/handles", "paint/handles")) == edges.count(("follow/extra", "paint/handles")) == 1
    assert graph.edges[-1].qos == Qos("latest", 1, 0.25)


def test_frames_are_latest_unless_told_otherwise(run: Files) -> None:
    text = """
        version: 1
        name: run
        graph: graph.yaml
        nodes:
          paint: {impl: "parts.py:Paint", inputs: {handles: follow/handles}}
          show: {impl: "parts.py:Show", inputs: {frame: paint/frame}}
        """
    assert run.load(text).edges[-1].qos == Qos("latest", 1)
    assert run.load(text).edges[0].qos == Qos("reliable")
    every = text.replace("paint/frame", "{from: paint/frame, qos: {policy: reliable}}")
    assert run.load(every).edges[-1].qos == Qos("reliable")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LAUNCH.replace("follow:", "folow:"), "file.yaml:6: no node 'folow' in the graph; did you mean 'follow'?"),
        (LAUNCH.replace("graph.yaml", "grph.yaml"), "file.yaml:3: no file grph.yaml in ."),
        (LAUNCH.replace("graph.yaml", "dragg"), "file.yaml:3: no graph is named 'dragg'; did you mean 'drag'?"),
        (LAUNCH.replace("preset.yaml", "ffhk"), "file.yaml:4: no config is named 'ffhk'; did you mean 'ffhq'?"),
        (
            LAUNCH.replace("count: 7", "cnt: 7"),
            "file.yaml:6: node 'follow': 'cnt' is not a parameter of parts.py:Follow",
        ),
        (
            LAUNCH.replace("params:", "parms:"),
            "file.yaml:6: node 'follow': unknown key 'parms'; did you mean 'params'?",
        ),
    ],
)
def test_a_launch_that_does_not_fit(run: Files, text: str, message: str) -> None:
    assert run.error(text).startswith(message.removesuffix("; or"))


def test_a_preset_that_does_not_fit_names_its_own_line(run: Files) -> None:
    run.write("preset.yaml", PRESET.replace("follow:", "folow:"))
    assert run.error(LAUNCH) == "preset.yaml:4: no node 'folow' in the graph; did you mean 'follow'?"
    run.write("preset.yaml", PRESET.replace("20", "200"))
    assert run.error(LAUNCH).startswith("preset.yaml:4: node 'follow': 'radius' of parts.py:Follow should be less")


def test_an_unknown_launch_name_lists_what_there_is() -> None:
    with pytest.raises(UserError, match=r"^no launch or graph is named 'liv'; did you mean 'live'\?"):
        load_launch("liv")


def test_needs_reach_the_producer_s_port(run: Files) -> None:
    assert load_launch("run.yaml").needs == {"camera": {"features": (Need("64", 20.0),)}}


def test_parameters_can_change_while_it_runs(run: Files) -> None:
    graph = load_launch("run.yaml")
    changed = graph.with_params("follow", {"radius": 33})
    assert radius(changed) == 33
    assert changed.needs == {"camera": {"features": (Need("64", 33.0),)}}
    assert radius(graph) == 20
    for params, message in (
        ({"radius": 0}, "node 'follow': 'radius' of parts.py:Follow should be greater than 0, not 0"),
        ({"radis": 1}, "node 'follow': 'radis' is not a parameter of parts.py:Follow; did you mean 'radius'?"),
        ({"count": 4}, "node 'follow': 'count' cannot change while the graph runs"),
    ):
        with pytest.raises(UserError) as caught:
            graph.with_params("follow", params)
        assert str(caught.value).startswith(message)
    with pytest.raises(UserError, match="no node 'folow' in the graph; did you mean 'follow'"):
        graph.with_params("folow", {})


def test_the_result_is_plain_data(run: Files) -> None:
    graph = load_launch("run.yaml")
    data = pickle.dumps(graph)
    assert b"draggan_file" not in data, "classes of the user's file must not travel"
    assert pickle.loads(data) == graph


def test_a_file_is_looked_up_from_where_it_is_said(run: Files) -> None:
    run.write("sub/parts.py", (run.folder / "parts.py").read_text())
    text = LAUNCH.replace("{params: {count: 7}}", '{impl: "parts.py:Follow"}').replace("preset", "../preset")
    graph = run.load(text.replace("graph.yaml", "../graph.yaml"), name="sub/run.yaml")
    assert graph.nodes["follow"].impl.target == f"{run.folder.resolve()}/sub/parts.py:Follow"
    assert graph.nodes["camera"].impl.target == f"{run.folder.resolve()}/parts.py:Camera"
