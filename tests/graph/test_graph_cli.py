"""draggan graph and draggan nodes, as a person or a program calls them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from graph_helpers import Files
from typer.testing import CliRunner

from draggan_runtime.cli import graph, nodes
from draggan_runtime.errors import UserError

runner = CliRunner()


def test_check_lists_what_runs_where() -> None:
    result = runner.invoke(graph.app, ["check", "spread", "--set", "tracker.radius=8"])
    assert result.exit_code == 0
    assert "radius=8" in result.output
    assert result.output.rstrip().endswith("all fit")


def test_check_without_a_name_checks_live() -> None:
    data = json.loads(runner.invoke(graph.app, ["check", "--format", "json"]).output)
    assert data["name"] == "live"
    assert data["home"] == "engine"
    tracker = next(node for node in data["nodes"] if node["id"] == "tracker")
    assert (tracker["container"], tracker["params"]["radius"]) == ("engine", 12.0)
    assert {"from": "generator/features", "to": "tracker/features", "qos": "reliable"} in data["edges"]


def test_check_says_what_a_swap_leaves_out(files: Files) -> None:
    result = runner.invoke(graph.app, ["check", "graph.yaml", "--set", "follow.impl=parts.py:Bare"])
    assert "note: follow.radius is left out: parts.py:Bare does not have it" in result.output


def test_show_draws() -> None:
    assert runner.invoke(graph.app, ["show", "local"]).output.startswith("flowchart LR\n")
    assert runner.invoke(graph.app, ["show", "local", "--as", "dot"]).output.startswith('digraph "local" {\n')


def test_a_graph_that_does_not_fit_is_one_line_and_exit_code_2(files: Files) -> None:
    files.write("bad.yaml", (files.folder / "graph.yaml").read_text().replace("features: ", "featurs: "))
    done = subprocess.run(
        [sys.executable, "-m", "draggan_runtime", "graph", "check", "bad.yaml"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr == (
        "draggan: bad.yaml:8: node 'follow': input 'featurs' is not a port of parts.py:Follow; it has features, goal\n"
    )
    assert done.stdout == ""


def test_nodes_list_and_info() -> None:
    listed = json.loads(runner.invoke(nodes.app, ["list", "--format", "json"]).output)
    assert "tracking/nearest" in [node["name"] for node in listed]
    assert "tracking/nearest" in runner.invoke(nodes.app, ["list"]).output
    info = json.loads(runner.invoke(nodes.app, ["info", "tracking/nearest", "--format", "json"]).output)
    assert {"name": "features", "message": "Features", "role": "sync", "optional": False} in info["inputs"]
    radius = next(p for p in info["params"] if p["name"] == "radius")
    assert radius["value"] == "float, > 0, <= 128, default 12.0"
    assert "> 0, <= 128" in runner.invoke(nodes.app, ["info", "tracking/nearest"]).output


def test_nodes_info_of_an_unknown_node() -> None:
    result = runner.invoke(nodes.app, ["info", "tracking/nearst"])
    assert isinstance(result.exception, UserError)


@pytest.mark.parametrize(("impl", "code"), [("parts.py:Follow", 1), ("parts.py:Camera", 1), ("tracking/none", 0)])
def test_nodes_check_exit_code_says_whether_it_passed(files: Files, impl: str, code: int) -> None:
    result = runner.invoke(nodes.app, ["check", impl])
    assert result.exit_code == code, result.output
    data = json.loads(runner.invoke(nodes.app, ["check", impl, "--format", "json"]).output)
    assert data["passed"] is (code == 0)


def test_nodes_check_takes_parameters(files: Files) -> None:
    result = runner.invoke(nodes.app, ["check", "tracking/nearest", "--set", "radius=-1", "--format", "json"])
    check = json.loads(result.output)["checks"][-1]
    assert not check["ok"]
    assert check["message"].startswith("'radius' of NearestTracker should be greater than 0, not -1")


@pytest.mark.parametrize("command", [["graph"], ["graph", "check"], ["graph", "show"], ["nodes", "check"]])
def test_help_teaches_with_examples(command: list[str]) -> None:
    app = {"graph": graph.app, "nodes": nodes.app}[command[0]]
    text = runner.invoke(app, [*command[1:], "--help"]).output
    assert len(command) == 1 or f"draggan {' '.join(command)} " in text


def test_the_manual_s_commands_are_run_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert runner.invoke(graph.app, ["check", "live"]).exit_code == 0
