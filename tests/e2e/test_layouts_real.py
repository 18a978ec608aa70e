"""One edit of the real model in three layouts; what listens meanwhile; a tracker from outside in every layout."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

import draggan_runtime as draggan

LAYOUTS = ["local", "live-headless", "spread"]
NOSE = [((512, 590), (560, 590))]
STEPS = 5
OUTSIDE_TRACKER = '''"""Stands beside no project: a tracker someone keeps in a folder of their own."""

from draggan_nodes.tracking import Found, Tracker


class Still(Tracker):
    """Believes that nothing moves."""

    def find(self, level, points):
        return Found(points.positions, (points.positions[:, 0] * 0 + 0.5))
'''


def edit(launch: str, *overrides: str, watch=None) -> tuple[bytes, draggan.DragResult]:
    with draggan.open(seed=7, launch=launch, set=overrides) as session:
        result = session.drag(NOSE, max_steps=STEPS, progress=watch)
        return session.w_plus.tobytes(), result


@pytest.fixture(scope="module")
def edits():
    listening = []

    def listen(_):
        if not listening:
            listening.append(subprocess.run(["ss", "-ltnpH"], capture_output=True, text=True, check=True).stdout)

    launches = [*LAYOUTS, "split"]
    return {launch: edit(launch, watch=listen if launch == "spread" else None) for launch in launches}, listening[0]


def test_the_final_latent_is_identical_in_every_layout(edits):
    results, _ = edits
    assert results["local"][1].steps == STEPS
    assert len({latent for latent, _ in results.values()}) == 1


def test_nothing_of_a_running_session_listens_beyond_loopback(edits):
    _, listening = edits
    ours = [
        line for line in listening.splitlines() if "users:" in line and ("ray" in line or f"pid={os.getpid()}," in line)
    ]
    assert ours, "the cluster's own ports should be among those seen"
    addresses = [line.split()[3].rsplit(":", 1)[0] for line in ours]
    assert all("127.0.0.1" in a or a == "[::1]" for a in addresses), ours


@pytest.mark.parametrize("launch", LAYOUTS)
def test_a_tracker_in_a_file_of_ones_own_works_in_every_layout(launch, edits, tmp_path: Path):
    file = tmp_path / "still.py"
    file.write_text(OUTSIDE_TRACKER)
    latent, result = edit(launch, f"tracker.impl={file}:Still")
    assert result.points[0]["final"] == [512, 590]
    assert latent != edits[0][launch][0]


def test_another_tracker_changes_the_result_and_nothing_else_needs_to_change(edits):
    latent, result = edit("local", "tracker.impl=tracking/none")
    assert result.steps == STEPS
    assert not np.array_equal(np.frombuffer(latent), np.frombuffer(edits[0]["local"][0]))
