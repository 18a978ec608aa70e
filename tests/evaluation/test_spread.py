"""Rows made by Ray workers are those of one process, and a worker that dies costs only what it had under way."""

import os
import signal
import sys
import time
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from ray import cloudpickle

from draggan_runtime.cluster.local import start_local
from draggan_runtime.cluster.profiles import Profile
from draggan_runtime.errors import UserError
from draggan_runtime.evaluation import spread
from draggan_runtime.evaluation.cases import pairs_of_seeds
from draggan_runtime.evaluation.methods import parse
from draggan_runtime.evaluation.protocol import Column, Evaluated, Outcome
from draggan_runtime.evaluation.rows import read_rows
from draggan_runtime.evaluation.runner import Evaluation
from draggan_runtime.evaluation.worker import placed

SMALL = [
    *(f"{node}.model=stylegan2:64" for node in ("generator", "renderer")),
    'tracker.level="64"',
    "local.threads=1",
]
METHODS = parse(["near:tracker.radius=6", "far:tracker.radius=14"])


class Dragged(Evaluated):
    """Two steps on a small model. ``log``: a folder that sees each run; ``deadly``: how often which unit kills."""

    name = "dragged"
    columns = (Column("left", "px left"),)
    about = "A drag."
    shared = ()

    def __init__(self, log=None, together=1, deadly=None, drags=True):
        self.options = {"drags": drags}
        self._log, self._together, self._deadly = log, together, deadly or {}

    def cases(self, count):
        return pairs_of_seeds(count)

    def prepare(self):
        pass

    def run(self, case, method, sessions):
        if self._log is not None:
            self._seen(case.id, method.name)
        if not self.options["drags"]:
            return Outcome({"left": 0})
        session = sessions.open(method)
        session.seed(case.seeds[0])
        result = sessions.drag(session, [((30, 40), (20, 30))], 2)
        return Outcome({"left": result.points[0]["distance"]}, {"after": session.image()}, {"w": session.w_plus})

    def _seen(self, case, method):
        before = len(list(self._log.glob(f"{case} {method} *")))
        (self._log / f"{case} {method} {os.getpid()} {before}").touch()
        if before < self._deadly.get((case, method), 0):
            os.kill(os.getpid(), signal.SIGKILL)
        until = time.monotonic() + 60
        while len(pids(self._log)) < self._together and time.monotonic() < until:
            time.sleep(0.02)


def seen(log):
    """(case, method, pid) of each time that one was begun."""
    return [tuple(path.name.split()[:3]) for path in log.iterdir()]


def pids(log):
    return {pid for _, _, pid in seen(log)}


@pytest.fixture
def log(tmp_path):
    (tmp_path / "log").mkdir()
    return tmp_path / "log"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers do not know the tests' folder
    address, pid = start_local(1, Profile.fast_failover, tmp_path_factory.mktemp("ray") / "ray.log")
    yield address
    os.kill(pid, signal.SIGTERM)
    os.waitpid(pid, 0)


def evaluation(out, protocol, count=2, methods=METHODS):
    return Evaluation(protocol, methods, count, out, set=SMALL)


def by_unit(out):
    return {(row["case"], row["method"]): row for row in read_rows(out)}


def test_rows_pictures_and_arrays_are_those_of_one_process_and_a_case_stays_with_one_worker(tmp_path, log, cluster):
    told = []
    evaluation(tmp_path / "one", Dragged()).run()
    spread.run(evaluation(tmp_path / "two", Dragged(log, together=2)), 2, cluster, told.append)
    one, two = by_unit(tmp_path / "one"), by_unit(tmp_path / "two")
    assert two == one
    assert len(one) == 4
    for row in one.values():
        first, second = (tmp_path / out / row["pictures"]["after"] for out in ("one", "two"))
        assert first.read_bytes() == second.read_bytes()
        first, second = (np.load(tmp_path / out / row["arrays"])["w"] for out in ("one", "two"))
        np.testing.assert_array_equal(first, second)
    assert len(pids(log)) == 2
    assert str(os.getpid()) not in pids(log)
    assert {len({pid for case, _, pid in seen(log) if case == of}) for of, _ in one} == {1}
    assert [now.done for now in told if now.row] == [1, 2, 3, 4]
    assert max(len(now.under_way) for now in told) == 2


def test_a_worker_that_dies_is_replaced_and_a_case_that_kills_all_of_them_is_a_row_with_an_error(
    tmp_path, log, cluster
):
    first, second = (case.id for case in pairs_of_seeds(2))
    deadly = {(first, "far"): 1, (second, "near"): 9}
    spread.run(evaluation(tmp_path, Dragged(log, deadly=deadly, drags=False)), 1, cluster)
    rows = by_unit(tmp_path)
    assert [unit for unit, row in rows.items() if "error" in row] == [(second, "near")]
    assert "died 3 times" in rows[second, "near"]["error"]
    assert "\n" not in rows[second, "near"]["error"]
    assert len(rows) == 4
    begun = Counter((case, method) for case, method, _ in seen(log))
    assert begun == {(first, "near"): 1, (first, "far"): 2, (second, "near"): 3, (second, "far"): 1}


def test_a_run_that_is_ended_keeps_its_rows_and_goes_on_in_one_process(tmp_path, log, cluster):
    spread.run(evaluation(tmp_path, Dragged(drags=False)), 2, cluster, lambda now: now.done < 2)
    kept = by_unit(tmp_path)
    assert len(kept) == 2
    evaluation(tmp_path, Dragged(log, drags=False)).run()
    begun = {(case, method) for case, method, _ in seen(log)}
    assert begun | kept.keys() == by_unit(tmp_path).keys()
    assert not begun & kept.keys()


def test_workers_of_another_version_are_refused(tmp_path, cluster):
    run = evaluation(tmp_path, Dragged())
    run.todo = [replace(unit, settings="another") for unit in run.todo]
    with pytest.raises(UserError, match="another version"):
        spread.run(run, 1, cluster)
    assert read_rows(tmp_path) == []


@pytest.mark.parametrize(("address", "says"), [("127.0.0.1:9", "no Ray cluster at"), ("here", "write host:port")])
def test_an_address_without_a_cluster_is_one_line_at_once(tmp_path, address, says):
    with pytest.raises(UserError, match=says) as caught:
        spread.run(evaluation(tmp_path, Dragged()), 2, address)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("nodes", "workers", "threads", "gpus"),
    [
        ([{"CPU": 8.0}], 1, 8, 0),
        ([{"CPU": 8.0}], 3, 2, 0),
        ([{"CPU": 2.0}], 4, 1, 0),
        ([{}, {"CPU": 4.0}, {"CPU": 4.0}], 1, 4, 0),
        ([{"CPU": 16.0, "GPU": 2.0}], 1, 8, 1),
        ([{"CPU": 16.0, "GPU": 3.0}], 4, 4, 0.5),
    ],
)
def test_workers_share_processors_and_gpus(nodes, workers, threads, gpus):
    ray = SimpleNamespace(nodes=lambda: [{"Alive": True, "Resources": node} for node in nodes])
    graph = {"launch": "local", "config": None, "set": ("tracker.radius=3",)}
    options, said = placed(ray, graph, workers, private=False)
    assert said["set"] == ("tracker.radius=3", f"local.threads={threads}")
    assert options["num_gpus"] == gpus
    own = {**graph, "set": ("local.threads=5",)}
    assert placed(ray, own, workers, private=False)[1] == own
