"""``draggan bench load``: that its figures are those of the file it was given; never how fast."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from checkpoint_files import nvidia
from draggan_nodes.generation.stylegan2_state import Architecture

#: Of 8 MB: large beside what a process takes by the way.
MODEL = Architecture(channels=(192, 192, 192, 192), mapping=(32, 32), z_dim=32)


def bench(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "draggan_runtime", "bench", "load", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_each_way_to_a_files_weights_is_measured_in_a_process_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("DRAGGAN_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "weights.pkl"
    file.write_bytes(nvidia(MODEL.random_state(0), nested=True, only_ema=True))
    megabytes = os.path.getsize(file) / 1e6
    done = bench(str(file), "--repeats", "1", "--format", "json")
    assert done.returncode == 0, done.stderr
    rows = {row["what"]: row for row in json.loads(done.stdout)}
    assert list(rows) == ["its bytes", "as data", "converted and kept", "loaded from safetensors"]
    for row in rows.values():
        assert row["seconds"] > 0
        assert megabytes * 0.9 < row["peak_memory_mb"] < megabytes * 40
    assert rows["its bytes"]["to_bytes"] == 1
    assert rows["its bytes"]["peak_memory_mb"] < megabytes * 1.5
    assert rows["its bytes"]["seconds"] < rows["converted and kept"]["seconds"]
    assert not (tmp_path / "cache").exists()


def test_a_file_that_is_none_is_one_line(tmp_path):
    done = bench(str(tmp_path / "no.pkl"))
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "no.pkl" in done.stderr
