"""Which node runs where is launch data, and every node runs somewhere."""

from __future__ import annotations

import pytest
from graph_helpers import Files

from draggan_runtime.graph import load_launch
from draggan_runtime.graph.model import Restart

LAUNCH = """
    version: 1
    name: run
    graph: graph.yaml
    containers:
      ui: {place: driver, nodes: [camera, look]}
      engine: {place: actor, num_gpus: auto, threads: 2, nodes: [follow], restart: {policy: on-failure, max: 3}}
    """


def test_containers_host_what_they_list(files: Files) -> None:
    graph = files.load(LAUNCH)
    assert graph.containers["ui"].nodes == ("camera", "look")
    engine = graph.containers["engine"]
    assert (engine.place, engine.nodes, engine.threads, engine.num_gpus) == ("actor", ("follow",), 2, "auto")
    assert engine.restart == Restart("on-failure", 3)
    assert graph.container_of("follow") == engine


def test_a_container_asks_for_the_labels_of_its_node(files: Files) -> None:
    graph = files.load(LAUNCH.replace("threads: 2", "labels: {zone: a, acme.com/disk: ssd}"))
    assert graph.containers["engine"].labels == {"zone": "a", "acme.com/disk": "ssd"}
    assert graph.containers["ui"].labels == {}


def test_without_containers_all_is_one_process(files: Files) -> None:
    graph = load_launch("graph.yaml")
    assert [c.place for c in graph.containers.values()] == ["driver"]
    assert graph.containers["local"].nodes == ("camera", "follow", "look")


def test_one_container_may_take_the_rest(files: Files) -> None:
    graph = files.load(LAUNCH.replace("[follow]", "rest").replace("[camera, look]", "[camera]"))
    assert graph.containers["engine"].nodes == ("follow", "look")


def test_a_node_may_say_where_it_belongs(files: Files) -> None:
    text = LAUNCH.replace("containers:", 'nodes: {probe: {impl: "parts.py:Look", container: engine}}\n    containers:')
    assert files.load(text).containers["engine"].nodes == ("follow", "probe")
    assert files.error(text.replace("container: engine", "container: engin")) == (
        "file.yaml:4: node 'probe': no container 'engin'; did you mean 'engine'?"
    )


def test_without_a_driver_container_there_is_an_empty_one(files: Files) -> None:
    graph = files.load(LAUNCH.replace("driver", "actor"))
    assert graph.containers["driver"].nodes == ()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[camera, look]", "[camera]", "file.yaml:5: node 'look' is in no container; add it to one of ui, engine"),
        ("[follow]", "[follow, look]", "file.yaml:6: container 'engine': node 'look' is in container 'ui' already"),
        (
            "[follow]",
            "[folow]",
            "file.yaml:6: container 'engine': no node 'folow' in the graph; did you mean 'follow'?",
        ),
        ("actor", "acter", "file.yaml:6: container 'engine': 'place' should be 'driver' or 'actor', not 'acter'"),
        ("actor", "driver", "file.yaml:6: container 'engine': only one container can be in the driver, and 'ui' is"),
        (
            "threads: 2",
            "threads: 0",
            "file.yaml:6: container 'engine': 'threads' should be greater than or equal to 1, not 0",
        ),
        ("threads: 2", "thread: 2", "file.yaml:6: container 'engine': unknown key 'thread'; did you mean 'threads'?"),
        (
            "auto",
            "many",
            "file.yaml:6: container 'engine': 'num_gpus' 'many' is no number of GPUs; write a number or auto",
        ),
        (
            "threads: 2",
            "device: gpu",
            "file.yaml:6: container 'engine': 'device' 'gpu' is no device; write auto, cpu or cuda:0",
        ),
        (
            "threads: 2",
            "labels: {zone: 3}",
            "file.yaml:6: container 'engine': 'zone' should be a text, not 3; write it in quotes",
        ),
        (
            "threads: 2",
            "labels: {zone: in(a)}",
            "file.yaml:6: container 'engine': 'zone' 'in(a)' is no label; "
            "write letters and digits, and -, _ and . between them",
        ),
        (
            "place: driver,",
            "place: driver, labels: {zone: a},",
            "file.yaml:5: container 'ui': 'ui' labels go only with place: actor",
        ),
        ("max: 3", "max: 0", "file.yaml:6: container 'engine': 'max' should be greater than or equal to 1, not 0"),
        (
            "[follow]",
            "all",
            "file.yaml:6: container 'engine': 'nodes' should be a list of node ids, or the word rest, not 'all'",
        ),
        (", nodes: [follow]", "", "file.yaml:6: container 'engine': missing key 'nodes'"),
    ],
)
def test_a_layout_that_does_not_fit(files: Files, old: str, new: str, message: str) -> None:
    assert files.error(LAUNCH.replace(old, new)) == message


@pytest.mark.parametrize("launch", ["local", "record", "recorded", "live", "window", "split", "spread"])
def test_shipped_launches_fit(launch: str) -> None:
    graph = load_launch(launch)
    hosted = [node for spec in graph.containers.values() for node in spec.nodes]
    assert sorted(hosted) == sorted(graph.nodes)
    assert graph.notes == ()
    assert graph.container_of("session").place == "driver"
    assert graph.home == graph.container_of("generator").name, "the drag runs where its gradient is taken"
    assert graph.needs["generator"]["features"]


def test_the_layouts_differ_in_nothing_but_the_layout() -> None:
    def content(launch: str) -> tuple[object, ...]:
        graph = load_launch(launch, ["capture.impl=capture/script", "display.impl=display/files"])
        users = ("capture", "display", "film")
        engine = {i: n for i, n in graph.nodes.items() if i not in users}
        return engine, {e for e in graph.edges if e.target_node not in (*users, "renderer")}, graph.needs

    assert content("local") == content("live") == content("spread")
    threads = {c.threads for name in ("live", "spread", "local") for c in load_launch(name).containers.values()}
    assert threads <= {2, None}


def test_live_keeps_the_window_in_the_driver_and_the_engine_out_of_it() -> None:
    graph = load_launch("live")
    assert graph.containers["ui"].nodes == ("capture", "paste", "session", "display", "film")
    assert graph.containers["engine"].nodes == (
        "source", "generator", "tracker", "texture", "motion", "drag", "renderer",
    )  # fmt: skip


def test_spread_gives_every_stage_its_own_actor() -> None:
    graph = load_launch("spread")
    actors = [set(c.nodes) - {"drag"} for c in graph.containers.values() if c.place == "actor"]
    assert actors == [{"source"}, {"generator"}, {"tracker", "texture"}, {"motion"}, {"renderer"}]


def test_the_tracker_swaps_by_one_word() -> None:
    graph = load_launch("live", ["tracker.impl=tracking/none"])
    assert graph.nodes["tracker"].impl.name == "tracking/none"
    assert len(graph.edges) == len(load_launch("live").edges)
