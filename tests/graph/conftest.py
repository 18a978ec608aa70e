"""Every graph test has a folder of its own to write files in."""

from __future__ import annotations

from pathlib import Path

import pytest
from graph_helpers import GRAPH, PARTS, Files


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    """An empty current folder with parts.py and graph.yaml in it."""
    monkeypatch.chdir(tmp_path)
    made = Files(tmp_path)
    made.write("parts.py", PARTS)
    made.write("graph.yaml", GRAPH)
    return made
