"""What edges cost: counted where messages arrive and where they cross, kept, and drawn."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from test_layouts import begin, drag
from toy import toy_graph
from typer.testing import CliRunner

from draggan_runtime import cost_file
from draggan_runtime.app import App
from draggan_runtime.cli import graph as graph_command
from draggan_runtime.errors import UserError
from draggan_runtime.execution.costs import Costs, EdgeCost
from draggan_runtime.execution.delivery import Delivery, Outcome
from draggan_runtime.execution.parcel import Parcel
from draggan_runtime.graph import load_launch
from draggan_runtime.graph.draw import cost_text, mermaid
from draggan_runtime.messages import Box, Features, Handles

CELLS = 512 * 6 * 6
HEADER = 1000  # what a message's names and numbers take at most


def features(array, step=3):
    box = Box(array, (2, 1), 8.0, (64, 64))
    return Features(session="main", step=step, size=(512, 512), levels={"64": (box,)})


def to(target, message, source="generator/features"):
    node, port = target.split("/")
    return Delivery(node, port, message, source=source)


def crossed(value, deliveries):
    """The value as it arrives, and what was counted."""
    costs = Costs()
    return pickle.loads(pickle.dumps(Parcel(value, deliveries, costs), protocol=5)), costs.take()


@pytest.mark.parametrize("make", [lambda a: a, torch.from_numpy], ids=["numpy", "torch"])
def test_a_message_for_two_inputs_crosses_once_and_its_bytes_are_divided(make):
    array = np.random.default_rng(0).random((512, 6, 6), dtype=np.float32)
    message = features(make(array))
    deliveries = [to("tracker/features", message), to("motion/features", message)]
    arrived, costs = crossed(deliveries, deliveries)
    assert [(d.node, d.port, d.source) for d in arrived] == [(d.node, d.port, d.source) for d in deliveries]
    assert arrived[0].message is arrived[1].message
    np.testing.assert_array_equal(arrived[0].message.levels["64"][0].values, array)
    sizes = [cost.bytes for cost in costs.values()]
    assert CELLS * 4 < sum(sizes) < CELLS * 4 + HEADER
    assert abs(sizes[0] - sizes[1]) <= 1


def test_an_array_that_two_messages_share_is_counted_with_the_first():
    shared = torch.zeros(512, 6, 6)
    deliveries = [to("a/x", features(shared, 1)), to("b/x", features(shared, 2))]
    arrived, costs = crossed(deliveries, deliveries)
    assert arrived[0].message.levels["64"][0].values is arrived[1].message.levels["64"][0].values
    assert costs["generator/features", "a/x"].bytes > CELLS * 4
    assert costs["generator/features", "b/x"].bytes < HEADER


def test_an_outcome_arrives_whole():
    handles = Handles(session="main", step=3, size=(512, 512), positions={1: (3.0, 4.0)}, confidence={1: 1.0})
    outcome = Outcome([to("drag/handles", handles, "tracker/handles")], pending=True, seconds=0.25)
    arrived, costs = crossed(outcome, outcome.deliveries)
    assert arrived == outcome
    assert 0 < costs["tracker/handles", "drag/handles"].bytes < HEADER


def rounds_of_a_drag(app: App) -> int:
    """How many features messages it took."""
    begin(app)
    drag(app)
    assert app.progress.stopped == "reached"
    return app.progress.drag_steps + 1


def test_in_one_container_messages_are_counted_and_nothing_crosses(tmp_path, monkeypatch):
    monkeypatch.setenv("DRAGGAN_CACHE", str(tmp_path))
    with App(toy_graph()) as app:
        rounds = rounds_of_a_drag(app)
        costs = app.costs()
        cost_file.save(app)
    for edge in ("tracker/features", "motion/features"):
        assert costs["generator/features", edge] == EdgeCost(messages=rounds)
    assert costs["motion/gradient", "drag/gradient"].messages == rounds
    assert costs["drag/gradient", "generator/gradient"].messages == rounds - 1
    assert costs["drag/progress", "display/progress"].messages == rounds
    assert all(cost.bytes == 0 and cost.seconds == 0 for cost in costs.values())
    assert cost_file.load(app.graph, "toy") == costs
    assert f'|"Features<br/>{rounds} x"|' in mermaid(app.graph, costs)
    with pytest.raises(UserError, match=r"laid out otherwise.*draggan launch toy"):
        cost_file.load(toy_graph("split"), "toy")


def test_show_says_to_run_a_launch_first(tmp_path, monkeypatch):
    monkeypatch.setenv("DRAGGAN_CACHE", str(tmp_path))
    error = CliRunner().invoke(graph_command.app, ["show", "split", "--costs"]).exception
    assert isinstance(error, UserError)
    assert str(error) == "'split' has not been run yet; run it first: draggan launch split"


def test_show_has_a_table_of_what_each_edge_cost(tmp_path, monkeypatch):
    monkeypatch.setenv("DRAGGAN_CACHE", str(tmp_path))

    class Ran:
        graph = load_launch("split")

        def costs(self):
            return {("generator/features", "tracker/features"): EdgeCost(10, 370_000, 0.018)}

    cost_file.save(Ran())
    lines = CliRunner().invoke(graph_command.app, ["show", "split", "--costs", "--as", "table"]).output.splitlines()
    figures = {tuple(line.split()[:2]): line.split()[2:] for line in lines[1:]}
    assert figures["generator/features", "tracker/features"] == ["10", "37", "kB", "1.8"]
    assert figures["generator/features", "motion/features"] == ["0"]
    assert cost_text(EdgeCost(10, 370_000, 0.018)) == "10 x 37 kB, 1.8 ms"
