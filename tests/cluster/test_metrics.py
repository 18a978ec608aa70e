"""What is measured of a cluster has names, units and tags as Prometheus wants them; logs say who and where."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ray.util import metrics as ray_metrics

from draggan_runtime.cluster.log import log, log_to
from draggan_runtime.cluster.metrics import ClusterMetrics, SessionMetrics

Recorded = list[tuple[str, str, float, dict[str, str]]]


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    """What Ray's core is given to export: name, kind, value, tags."""
    seen: Recorded = []

    def core(kind: str) -> type:
        class Core:
            def __init__(self, name: str, *_: Any) -> None:
                self.name = name

            def record(self, value: float, tags: dict[str, str] | None = None) -> None:
                seen.append((self.name, kind, value, dict(tags or {})))

        return Core

    for name, kind in (("Count", "Counter"), ("Sum", "Counter"), ("Histogram", "Histogram"), ("Gauge", "Gauge")):
        monkeypatch.setattr(ray_metrics, f"Cython{name}", core(kind))
    return seen


def everything() -> None:
    session, cluster = SessionMetrics("nose"), ClusterMetrics()
    session.step(0.05)
    session.pause(0.2)
    session.age(0.3)
    session.seen(0.4)
    session.restart()
    cluster.queue(3)
    cluster.engine("engine-1", 2, 1.5, 20.0)
    cluster.restart()


def test_what_the_figures_are(recorded: Recorded) -> None:
    everything()
    nose, engine = {"session": "nose"}, {"engine": "engine-1"}
    assert recorded == [
        ("draggan_step_seconds", "Histogram", 0.05, nose),
        ("draggan_steps_total", "Counter", 1.0, nose),
        ("draggan_pause_seconds", "Histogram", 0.2, nose),
        ("draggan_steps_total", "Counter", 1.0, nose),
        ("draggan_frame_age_seconds", "Gauge", 0.3, nose),
        ("draggan_input_to_picture_seconds", "Histogram", 0.4, nose),
        ("draggan_engine_deaths_total", "Counter", 1.0, nose),
        ("draggan_queue_length", "Gauge", 3, {}),
        ("draggan_engine_sessions", "Gauge", 2, engine),
        ("draggan_batch_size", "Gauge", 1.5, engine),
        ("draggan_steps_per_second", "Gauge", 20.0, engine),
        ("draggan_engine_restarts_total", "Counter", 1.0, {}),
    ]


def test_names_are_as_prometheus_wants_them(recorded: Recorded) -> None:
    everything()
    for name, kind, _, _ in recorded:
        assert re.fullmatch(r"draggan_[a-z_]+", name)
        assert name.endswith("_total") == (kind == "Counter")
        assert not re.search(r"_(ms|milliseconds|mb)\b", name)
        if kind == "Histogram":
            assert name.endswith("_seconds")


def test_an_engine_that_is_gone_counts_for_nothing(recorded: Recorded) -> None:
    ClusterMetrics().gone("engine-1")
    assert {value for _, _, value, _ in recorded} == {0}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "logs"
    log_to(tmp_path / "other", "other")


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_line_of_a_log_says_who_and_where(folder: Path) -> None:
    log_to(folder, "session-nose", session="nose", node="ab12")
    log("engine died", engine="engine-1", step=7)
    (line,) = lines(folder / "session-nose.jsonl")
    assert {
        "what": "engine died",
        "session": "nose",
        "node": "ab12",
        "engine": "engine-1",
        "step": 7,
    }.items() <= line.items()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["at"])
    assert line["pid"] > 0


def test_logs_do_not_grow_without_end(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("draggan_runtime.cluster.log._BYTES", 2000)
    log_to(folder, "manager", node="ab12")
    for number in range(200):
        log("placed", number=number)
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    assert sorted(sizes) == ["manager.jsonl", "manager.jsonl.1", "manager.jsonl.2"]
    assert max(sizes.values()) <= 2000
    assert lines(folder / "manager.jsonl")[-1]["number"] == 199


def test_logs_of_processes_long_gone_are_dropped(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("draggan_runtime.cluster.log._FILES", 5)
    for number in range(12):
        log_to(folder, f"engine-{number}")
        log("engine up")
    assert len(list(folder.iterdir())) <= 6
    assert (folder / "engine-11.jsonl").exists()
