"""The benchmarks as commands: that they run and say what they should; never how fast."""

from __future__ import annotations

import json
import subprocess
import sys

from xvfb import virtual_screen


def test_bench_window_presses_keys_and_misses_none_it_counts():
    command = [sys.executable, "-m", "draggan_runtime", "bench", "window", "--steps", "60", "--repeats", "1"]
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


def bench(*arguments):
    """What a benchmark prints as JSON."""
    command = [sys.executable, "-m", "draggan_runtime", "bench", *arguments, "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_bench_step_tells_boxes_from_whole_maps():
    common = ["--model", "stylegan2:64", "--set", "tracker.level='32'", "--set", "motion.level='32'"]
    rows = bench("step", *common, "--steps", "2", "--repeats", "1", "--compare")
    assert [row["whole_map"] for row in rows] == [False, True]
    boxes, whole = rows
    assert boxes["flops_per_step"] < whole["flops_per_step"] / 3
    for row in rows:
        assert (row["model"], row["points"], row["mask"], row["layout"]) == ("stylegan2:64", 1, False, "local")
        assert row["ms_per_step"] > row["ms_by_stage"]["generator"] > 0
        assert 0 < row["fraction_of_peak"] < 1


def test_bench_batch_steps_sessions_together_and_each_by_itself():
    common = ["--model", "stylegan2:64", "--set", "tracker.level='32'", "--set", "motion.level='32'"]
    rows = bench("batch", *common, "--sessions", "1,3", "--steps", "2", "--repeats", "1")
    assert [row["sessions"] for row in rows] == [1, 3]
    assert rows[0]["unbatched_to_one"] == 1
    for row in rows:
        assert row["ms_batched"] > row["ms_by_stage"]["generator"] > 0
        assert row["unbatched_to_one"] == row["ms_unbatched"] / rows[0]["ms_unbatched"]


def test_bench_step_counts_the_arithmetic_of_the_whole_map_with_a_mask():
    """The same whether it was asked for or the mask needs it; within the mask's own part."""
    common = ["--steps", "2", "--repeats", "1", "--set", "tracker.level='64'"]
    masked = bench("step", *common, "--mask", "--points", "5")
    plain = bench("step", *common, "--whole-map", "--layout", "local")
    assert masked["mask"]
    assert masked["points"] == 5
    assert masked["peak_memory_mb"] > 100
    # W+ with a mask, W without: the styles' gradients differ a little.
    assert 0.9 < masked["flops_per_step"] / plain["flops_per_step"] < 1.1


def test_bench_step_in_another_process_knows_the_time_alone():
    row = bench("step", "--steps", "2", "--repeats", "1", "--layout", "live-headless")
    assert row["ms_per_step"] > 0
    assert row["ms_by_stage"] is row["flops_per_step"] is row["peak_memory_mb"] is None


def test_bench_edit_says_how_long_until_arrival():
    found = bench("edit", "--edits", "2")
    assert found["arrived"] == 2
    assert [run["seed"] for run in found["each"]] == [0, 1]
    assert min(run["steps"] for run in found["each"]) <= found["steps"] <= max(run["steps"] for run in found["each"])
    assert found["seconds"] > 0


def test_bench_render_times_full_pictures():
    found = bench("render", "--model", "stylegan2:128", "--pictures", "2")
    assert found["size"] == [128, 128]
    assert found["ms_per_picture"] > 0
    assert found["flops_per_picture"] > 1e8
