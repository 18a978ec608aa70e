"""Generation on one node of a cluster, tracking and motion on another. (Two nodes on this machine: ~15 s.)"""

from __future__ import annotations

import pytest
from test_layouts import begin, drag
from toy import toy_graph

from draggan_runtime.app import App
from draggan_runtime.errors import StartError
from draggan_runtime.execution.deadline import deadline

LABELS = {"engine": {"zone": "a"}, "follow": {"zone": "b"}}


@pytest.fixture(scope="module")
def two_nodes():
    """This process is joined to a cluster of its own, whose nodes are labelled zone=a and zone=b."""
    from draggan_runtime.execution import ray_host  # before ray: it says what Ray shall read when it is imported

    import ray  # isort: skip
    from ray.cluster_utils import Cluster

    ray_host.stop_ray()
    cluster = Cluster(True, head_node_args={"num_cpus": 1, "labels": {"zone": "a"}, "include_dashboard": False})
    cluster.add_node(num_cpus=1, labels={"zone": "b"})
    ray_host.start_ray(cluster.address)
    yield ray
    ray.shutdown()
    cluster.shutdown()


def whole_drag(app: App) -> tuple[int, bytes]:
    begin(app)
    drag(app)
    assert app.progress.stopped == "reached"
    return app.progress.drag_steps, app.record.w_plus.tobytes()


def test_two_nodes_give_what_one_process_gives_with_one_round_trip_a_step(two_nodes):
    with App(toy_graph()) as app:
        alone = whole_drag(app)
    with App(toy_graph("split", labels=LABELS)) as app:
        node_of = {name: where(two_nodes, handle) for name, handle in app._remote.handles.items()}
        assert node_of == LABELS
        assert whole_drag(app) == alone
        costs = app.costs()
    rounds = alone[0] + 1
    there = [costs["generator/features", f"{node}/features"] for node in ("tracker", "motion")]
    back = [costs[edge] for edge in (("tracker/handles", "drag/handles"), ("motion/gradient", "drag/gradient"))]
    assert [cost.messages for cost in there + back] == [rounds] * 4
    assert all(cost.bytes > 0 for cost in there + back)
    # All that goes there goes in one call, and all that comes back in its answer: they have waited the same time.
    assert len({cost.seconds for cost in there + back}) == 1
    assert 0 < there[0].seconds / rounds < 0.1
    inside = costs["tracker/handles", "motion/handles"], costs["drag/gradient", "generator/gradient"]
    assert all(cost.messages and not cost.bytes and not cost.seconds for cost in inside)


def where(ray, handle) -> dict[str, str]:
    """The labels of the node that an actor is on, without Ray's own."""
    labels = ray.get(handle.__ray_call__.remote(lambda _: ray.get_runtime_context().get_node_labels()))
    return {key: value for key, value in labels.items() if not key.startswith("ray.io/")}


def test_labels_that_no_node_has_fail_the_start_in_one_line(two_nodes):
    wanted = {"follow": {"zone": "c"}}
    problem = "container 'follow': no node of the cluster has the labels zone=c; there are zone=a, zone=b"
    with deadline(5), pytest.raises(StartError) as error:
        App(toy_graph("split", labels=wanted))
    assert str(error.value) == problem


def test_a_container_that_finds_no_room_fails_the_start_within_the_deadline(two_nodes):
    graph = toy_graph("split", labels=LABELS)
    spec = graph.containers["follow"]
    graph.containers["follow"] = type(spec)(**{**vars(spec), "num_cpus": 64.0})
    with deadline(30), pytest.raises(StartError, match="container 'follow' found no place in the cluster within 10 s"):
        App(graph, deadline=10.0)
