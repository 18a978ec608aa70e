"""The manual's examples run as they stand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
LEAVES = {
    "1_drag.py": ["before.png", "after.png"],
    "2_mask_and_progress.py": ["with_mask.png"],
    "3_save_and_reopen.py": ["nose.draggan", "nose.png"],
    "4_your_own_tracker.py": [],
}


def test_every_example_is_run():
    assert sorted(LEAVES) == sorted(p.name for p in EXAMPLES.glob("*.py"))


@pytest.mark.parametrize("name", LEAVES)
def test_example(name, tmp_path):
    done = subprocess.run(
        [sys.executable, EXAMPLES / name], cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(LEAVES[name])
    if name.startswith("1"):
        assert done.stdout.startswith("reached after")
