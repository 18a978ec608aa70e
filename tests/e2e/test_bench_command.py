"""The benchmarks as commands: that they run and say what they should; never how fast."""

from __future__ import annotations

import json
import subprocess
import sys

from xvfb import virtual_screen


def test_bench_window_presses_keys_and_misses_none_it_counts():
    command = [sys.executable, "-m", "draggan_runtime", "bench", "window", "--steps", "8", "--repeats", "1"]
    with virtual_screen((1280, 720)) as screen:
        done = subprocess.run(
            [*command, "--rate", "5", "--format", "json"],
            env=screen.env, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [row["run"] for row in rows] == ["headless", "window", "window and hand"]
    assert all(row["steps_per_second"] > 0 for row in rows)
    assert [row["events_per_second"] > 0 for row in rows] == [False, False, True]
    assert rows[2]["events_lost"] <= 1  # one may be on its way


def test_bench_window_needs_a_screen(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    command = [sys.executable, "-m", "draggan_runtime", "bench", "window"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "DISPLAY is not set" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
