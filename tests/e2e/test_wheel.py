"""The wheel holds all that a graph needs, and runs from anywhere."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", str(out), str(ROOT)]
    subprocess.run(pip, check=True, timeout=300)
    return next(out.glob("*.whl"))


def test_graphs_configs_and_launches_are_inside_and_no_generic_name_is_installed(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for name in ("graphs/drag.yaml", "configs/ffhq.yaml", "launch/live.yaml", "launch/edits/nose.yaml"):
        assert f"draggan_runtime/{name}" in names
    tops = {name.split("/")[0] for name in names}
    assert {t for t in tops if not t.endswith(".dist-info")} == {"draggan_runtime", "draggan_nodes"}


def test_it_runs_from_another_folder_without_the_checkout(wheel, tmp_path):
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    env = {**os.environ, "PYTHONPATH": str(site)}
    where = "import draggan_runtime, draggan_nodes; print(draggan_runtime.__file__, draggan_nodes.__file__)"
    found = subprocess.run(
        [sys.executable, "-c", where], env=env, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert str(ROOT) not in found.stdout
    done = subprocess.run(
        [sys.executable, "-m", "draggan_runtime", "graph", "check", "live"],
        env=env, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
