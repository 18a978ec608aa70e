"""A run measures what is missing, and keeps what it has measured whatever happens."""

import json

import numpy as np
import pytest

from draggan_runtime.errors import UserError
from draggan_runtime.evaluation import protocols
from draggan_runtime.evaluation.cases import pairs_of_seeds
from draggan_runtime.evaluation.methods import Method, parse
from draggan_runtime.evaluation.protocol import Column, Evaluated, Outcome
from draggan_runtime.evaluation.report import shown, write_report
from draggan_runtime.evaluation.rows import ROWS, read_rows
from draggan_runtime.evaluation.runner import Evaluation
from draggan_runtime.evaluation.sessions import Interrupted
from draggan_runtime.evaluation.table import plain, tables


class Sum(Evaluated):
    """Measures without editing: the sum of a case's seeds."""

    name = "sum"
    columns = (Column("total", "sum", 0),)
    about = "Sums <of> seeds."
    shared = ("before",)

    def __init__(self, offset=0):
        self.options = {"offset": offset}
        self.ran = []
        self.fails, self.interrupts = set(), set()

    def cases(self, count):
        return pairs_of_seeds(count)

    def prepare(self):
        self.ran.append("prepare")

    def run(self, case, method, sessions):
        self.ran.append((case.id, method.name))
        if (case.id, method.name) in self.fails:
            raise RuntimeError("two\nlines")
        if (case.id, method.name) in self.interrupts:
            raise Interrupted
        if method.name == "blind":
            return Outcome({"failed": "no face"}, {"before": np.zeros((4, 4, 3), np.uint8)})
        total = sum(case.seeds) + self.options["offset"]
        return Outcome(
            {"total": total, "stopped": "reached"}, {"before": np.zeros((4, 4, 3), np.uint8)}, {"x": np.ones(3)}
        )

    def of_set(self, arrays):
        return {"sets": float(sum(each["x"].sum() for each in arrays))}


@pytest.fixture(autouse=True)
def known(monkeypatch):
    monkeypatch.setitem(protocols.PROTOCOLS, "sum", Sum)


def methods(*names):
    return [Method(name) for name in names]


def run(protocol, out, count=3, of=("a", "b"), **more):
    protocol.ran.clear()
    Evaluation(protocol, methods(*of), count, out, **more).run()
    return protocol.ran


def test_a_rerun_does_only_what_is_missing(tmp_path):
    ids = [case.id for case in pairs_of_seeds(3)]
    assert run(Sum(), tmp_path, 2) == ["prepare", *((id, m) for id in ids[:2] for m in "ab")]
    assert run(Sum(), tmp_path, 2) == []
    assert run(Sum(), tmp_path, 3) == ["prepare", (ids[2], "a"), (ids[2], "b")]
    assert run(Sum(), tmp_path, 2, of="bc") == ["prepare", (ids[0], "c"), (ids[1], "c")]
    assert len(read_rows(tmp_path)) == 8


def test_other_parameters_are_measured_anew_and_rows_of_the_old_ones_do_not_count(tmp_path):
    run(Sum(), tmp_path, 3)
    assert len(run(Sum(), tmp_path, 2, of="a", set=["tracker.radius=9"])) == 3
    assert [row["method"] for row in read_rows(tmp_path)].count("a") == 2
    assert [row["method"] for row in read_rows(tmp_path)].count("b") == 3


def test_a_last_line_that_was_cut_off_is_measured_again(tmp_path):
    run(Sum(), tmp_path, 3)
    path = tmp_path / ROWS
    path.write_bytes(path.read_bytes()[:-30])
    assert len(read_rows(tmp_path)) == 5
    assert run(Sum(), tmp_path, 3) == ["prepare", (pairs_of_seeds(3)[2].id, "b")]
    assert len(read_rows(tmp_path)) == 6
    good = [line for line in path.read_text().splitlines() if line.endswith("}")]
    assert len([json.loads(line) for line in good]) == 6


def test_what_fails_is_a_row_with_one_line_and_is_tried_again(tmp_path):
    protocol = Sum()
    second = pairs_of_seeds(2)[1].id
    protocol.fails.add((second, "a"))
    run(protocol, tmp_path, 2)
    assert [row.get("error") for row in read_rows(tmp_path)] == [None, None, "RuntimeError: two lines", None]
    assert run(Sum(), tmp_path, 2) == ["prepare", (second, "a")]
    assert not any("error" in row for row in read_rows(tmp_path))


def test_an_interrupted_case_is_not_kept_and_the_next_run_goes_on(tmp_path):
    protocol = Sum()
    first, second = (case.id for case in pairs_of_seeds(2))
    protocol.interrupts.add((first, "b"))
    assert run(protocol, tmp_path, 2) == ["prepare", (first, "a"), (first, "b")]
    assert run(Sum(), tmp_path, 2) == ["prepare", (first, "b"), (second, "a"), (second, "b")]


def test_a_callback_that_says_false_ends_the_run(tmp_path):
    protocol = Sum()
    Evaluation(protocol, methods("a"), 5, tmp_path).run(lambda now: now.row is None)
    assert len(protocol.ran) == 2
    assert len(read_rows(tmp_path)) == 1


def test_a_row_says_all_that_made_it(tmp_path):
    run(Sum(), tmp_path, 1)
    row = read_rows(tmp_path)[0]
    assert row["seeds"] == list(pairs_of_seeds(1)[0].seeds)
    assert row["options"] == {"offset": 0}
    assert row["versions"]["numpy"] == np.__version__
    assert {"commit", "overrides", "settings"} <= row.keys()


def test_overrides_that_do_not_fit_are_refused_before_anything_is_measured(tmp_path):
    with pytest.raises(UserError, match="radiuss"):
        Evaluation(Sum(), parse(["mine:tracker.radiuss=8"]), 1, tmp_path)


def test_the_table_has_means_of_numbers_and_counts_of_words(tmp_path):
    run(Sum(), tmp_path, 3, of=("a", "blind"))
    (table,) = plain(tables(read_rows(tmp_path), tmp_path))
    a, blind = table["methods"]
    assert a["figures"]["total"]["value"] == pytest.approx(np.mean([sum(c.seeds) for c in pairs_of_seeds(3)]))
    assert a["counts"] == {"stopped": {"reached": 3}}
    assert a["of_set"] == {"sets": 9.0}
    assert blind["figures"] == {}
    assert blind["counts"] == {"failed": {"no face": 3}}


def test_protocols_with_other_options_are_tables_of_their_own(tmp_path):
    run(Sum(), tmp_path, 2)
    run(Sum(offset=5), tmp_path, 2)
    assert [table.group for table in tables(read_rows(tmp_path), tmp_path)] == ["sum-offset0", "sum-offset5"]


def test_what_failed_is_shown_after_the_best_median_and_worst_case(tmp_path):
    run(Sum(), tmp_path, 5, of=("a", "blind"))
    (table,) = tables(read_rows(tmp_path), tmp_path)
    totals = sorted(sum(case.seeds) for case in pairs_of_seeds(5))
    assert [(place, row["figures"]["total"]) for place, row in shown(table, "a")] == [
        ("best", totals[0]),
        ("median", totals[2]),
        ("worst", totals[4]),
    ]
    assert [place for place, _ in shown(table, "blind")] == ["failed"] * 3
    assert "Sums &lt;of&gt; seeds." in write_report([table], tmp_path).read_text()
