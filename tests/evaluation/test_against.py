"""A table compares each method with one of them, case by case."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from draggan_runtime.cli.eval import app
from draggan_runtime.errors import UserError
from draggan_runtime.evaluation.rows import ROWS, read_rows
from draggan_runtime.evaluation.table import cells, tables

#: Cases differ far more than methods do.
NEAREST = {str(i): 10.0 * i for i in range(8)}
BETTER = {case: value - 1 - 0.1 * int(case) for case, value in NEAREST.items() if case != "0"} | {"9": 500.0}


@pytest.fixture
def out(tmp_path):
    rows = [
        {
            "group": "landmarks-points1-max_steps300",
            "protocol": "landmarks",
            "options": {"points": 1, "max_steps": 300},
            "case": case,
            "method": method,
            "overrides": [],
            "settings": "s",
            "figures": {"distance": value},
            "pictures": {},
        }
        for method, values in {"nearest": NEAREST, "better": BETTER, "elsewhere": {"77": 3.0}}.items()
        for case, value in values.items()
    ]
    rows.append({**rows[0], "method": "better", "case": "0", "figures": {"failed": "no face in the result"}})
    (tmp_path / ROWS).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def test_the_difference_is_that_of_the_cases_which_both_have(out):
    (table,) = tables(read_rows(out), out)
    nearest, better, elsewhere = table.lines
    differences = [-1 - 0.1 * i for i in range(1, 8)]
    assert better.difference.count == 7
    assert better.difference.value == pytest.approx(np.mean(differences))
    assert min(differences) < better.difference.low < np.mean(differences) < better.difference.high < max(differences)
    assert nearest.difference is None
    assert elsewhere.difference is None


def test_it_is_the_column_after_the_figure_it_is_of(out):
    (table,) = tables(read_rows(out), out)
    titles, lines = cells(table)
    assert titles[2:4] == ["px from target", "less nearest's"]
    assert lines[1][3].split("\n")[0] == "-1.40"
    assert {len(line) for line in lines} == {len(titles)}


def test_any_method_may_be_the_one_compared_with(out):
    (table,) = tables(read_rows(out), out, against="better")
    assert [line.difference and round(line.difference.value, 6) for line in table.lines] == [1.4, None, None]


def test_a_method_that_was_not_measured_is_one_line(out):
    with pytest.raises(UserError, match=r"--against other: .* nearest, better, elsewhere") as caught:
        tables(read_rows(out), out, against="other")
    assert "\n" not in str(caught.value)


def test_without_the_method_there_is_no_such_column(out):
    rows = [row for row in read_rows(out) if row["method"] != "nearest"]
    titles, _ = cells(tables(rows, out)[0])
    assert not any("nearest" in title for title in titles)


def test_on_a_narrow_terminal_lines_run_over_and_figures_are_whole(out, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    done = CliRunner().invoke(app, ["report", str(out)])
    (table,) = tables(read_rows(out), out)
    difference = table.lines[1].difference
    assert f"{difference.low:+.2f}…{difference.high:+.2f}" in done.output
    assert f"{table.lines[1].figures['distance'].value:.2f}" in done.output


def test_the_command_takes_its_name_and_json_has_the_difference(out):
    done = CliRunner().invoke(app, ["report", str(out), "--against", "better", "--format", "json"])
    (table,) = json.loads(done.stdout)
    assert table["against"] == "better"
    assert table["methods"][0]["difference"]["value"] == pytest.approx(1.4)
    assert "less better" in (out / "report.html").read_text()
