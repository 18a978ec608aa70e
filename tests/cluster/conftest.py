"""For all tests of this folder: a real cluster with a small model, started when the first of them asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from small_cluster import SmallCluster, running


@pytest.fixture(scope="package")
def small_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallCluster]:
    """An engine and a spare; deaths are noticed at once."""
    with running(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster
