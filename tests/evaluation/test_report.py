"""The report is one file that a person can read: tables, pictures of chosen cases, failures with their reasons."""

import base64
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from draggan_runtime.cli.eval import app
from draggan_runtime.errors import UserError
from draggan_runtime.evaluation.command import command_of
from draggan_runtime.evaluation.failures import read_failures
from draggan_runtime.evaluation.figure import interval
from draggan_runtime.evaluation.report import shown
from draggan_runtime.evaluation.rows import ROWS, read_rows
from draggan_runtime.evaluation.table import tables
from draggan_runtime.pictures import SYNTHETIC, save_png

GROUP = "landmarks-points1-max_steps300"
DISTANCES = {"best": [4.0, 1.0, 9.0, 3.0, 7.0], "nearest": [5.0, 6.0, 4.0, 5.0, 2.0], "<b>": [8.0] * 5}


@pytest.fixture
def out(tmp_path):
    rows = []
    for method, distances in DISTANCES.items():
        for case, distance in enumerate(distances):
            pictures = {name: f"{GROUP}/{case}/{name}.png" for name in ("before", "target")}
            pictures["after"] = f"{GROUP}/{case}/{len(rows)}-after.png"
            for number, path in enumerate(pictures.values()):
                (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
                save_png(tmp_path / path, np.full((64, 64, 3), 40 * number + 9 * case, np.uint8))
            rows.append(
                {
                    "group": GROUP,
                    "protocol": "landmarks",
                    "options": {"points": 1, "max_steps": 300},
                    "case": str(case),
                    "method": method,
                    "overrides": ["tracker.radius=9"] if method == "<b>" else [],
                    "settings": "s",
                    "graph": {"launch": "local", "config": "small one", "set": ["drag.patience=9"]},
                    "figures": {"distance": distance, "steps": 7, "stopped": "reached & done"},
                    "pictures": pictures,
                }
            )
    rows[-1]["figures"] = {"failed": "no face in the result"}
    (tmp_path / ROWS).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


class Page(HTMLParser):
    """What a browser would make of it: elements by tag, and text; asserts that each that is opened is closed."""

    VOID = {"meta", "img", "br"}

    def __init__(self, text):
        super().__init__()
        self.elements, self.words, self._open = [], [], []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag):
        return [attrs for of, attrs in self.elements if of == tag]


def written(out, *more):
    done = CliRunner().invoke(app, ["report", str(out), *more])
    assert done.exit_code == 0, done.output
    return Page((out / "report.html").read_text())


def test_it_is_one_file_whose_links_lead_somewhere_and_whose_pictures_say_that_they_are_synthetic(out):
    page = written(out)
    assert page.all("link") == page.all("script") == []
    ids = {attrs["id"] for _, attrs in page.elements if "id" in attrs}
    for link in page.all("a"):
        assert link["href"][1:] in ids if link["href"].startswith("#") else (out / link["href"]).is_file()
    assert page.all("img")
    for image in page.all("img"):
        kind, data = image["src"].split(",")
        assert kind == "data:image/webp;base64"
        picture = Image.open(io.BytesIO(base64.b64decode(data)))
        assert picture.size == (320, 320)
        assert SYNTHETIC in picture.info["xmp"].decode()


def test_tables_have_intervals_and_methods_their_best_median_and_worst_case(out):
    page = written(out)
    (table,) = tables(read_rows(out), out)
    low, high = table.lines[0].figures["distance"].low, table.lines[0].figures["distance"].high
    text = "".join(page.words)
    assert f"4.80\n{low:.2f}–{high:.2f}" in text
    assert "case 1: px from target 1.00; steps 7 – reached & done" in text
    assert [(place, row["case"]) for place, row in shown(table, "best")] == [
        ("best", "1"),
        ("median", "0"),
        ("worst", "2"),
    ]
    assert ["open" in attrs for attrs in page.all("details")] == [True, True, False]
    assert "<b>: tracker.radius=9" in text
    assert "1 × no face in the result" in text


def test_one_case_is_shown_under_each_method(out):
    page = written(out)
    text = "".join(page.words)
    assert "case 0, the median of best: px from target" in text
    assert [name for name in ("best, 4.00", "nearest, 5.00", "<b>, 8.00") if name in text] == [
        "best, 4.00",
        "nearest, 5.00",
        "<b>, 8.00",
    ]


def test_intervals_are_drawn_at_one_scale_from_zero(out):
    (table,) = tables(read_rows(out), out)
    means = {}
    for line in table.lines:
        drawing = interval(table, line)
        left, right = map(float, re.search(r"M([\d.]+) 7H([\d.]+)", drawing).groups())
        means[line.method] = float(re.search(r'cx="([\d.]+)"', drawing).group(1)) - 4
        assert left <= means[line.method] + 4 <= right <= 156.1
    assert means["best"] / means["<b>"] == pytest.approx(4.8 / 8, abs=0.01)


def test_any_method_may_be_the_open_one(out):
    page = written(out, "--pictures", "<b>")
    assert ["open" in attrs for attrs in page.all("details")] == [True, False, False]
    assert "the median of <b>" in "".join(page.words)
    refused = CliRunner().invoke(app, ["report", str(out), "--pictures", "other"])
    assert isinstance(refused.exception, UserError)
    assert "not measured here" in str(refused.exception)


def test_the_command_that_made_a_table_is_given(out):
    (table,) = tables(read_rows(out), out)
    assert command_of(table) == (
        "draggan eval landmarks --pairs 5 --points 1 --max-steps 300 --config 'small one' --set drag.patience=9 "
        "--method best --method nearest --method '<b>:tracker.radius=9' --out OUT"
    )


def test_a_picture_that_is_gone_is_said_so(out):
    for path in (out / GROUP / "1").iterdir():
        path.unlink()
    assert "before: the picture is gone" in "".join(written(out).words)


ENTRY = f"- {{protocol: {GROUP}, case: 2, method: best, why: It <slid> away.}}\n"


def test_failures_have_a_reason_and_the_rows_figures_and_pictures(out, tmp_path):
    file = tmp_path / "failures.yaml"
    file.write_text(ENTRY)
    without = len(written(out).all("img"))
    page = written(out, "--failures", str(file))
    text = "".join(page.words)
    assert "#failures" in [link["href"] for link in page.all("a")]
    assert "It <slid> away." in text
    assert "case 2: px from target 9.00" in text.split("It <slid> away.")[1]
    assert len(page.all("img")) == without + 3


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (ENTRY + ENTRY.replace("case: 2", "case: 9"), "entry 2: case 9 was not measured under 'best'"),
        (ENTRY.replace("method: best", "method: mine"), "entry 1: case 2 was not measured under 'mine'"),
        (ENTRY.replace(GROUP, "landmarks"), f"no table 'landmarks'; there are {GROUP}"),
        (ENTRY.replace(", why: It <slid> away.", ""), "entry 1 'why': Field required"),
        (ENTRY.replace("why", "because"), "entry 1 '(why|because)'"),
        ("why: no list", "the file: .*list"),
        ("- [", "line 1|line 2"),
        (None, "cannot be read: No such file"),
    ],
)
def test_failures_that_cannot_be_meant_are_one_line(out, tmp_path, text, says):
    file = tmp_path / "failures.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UserError, match=says) as caught:
        read_failures(file, tables(read_rows(out), out))
    assert "\n" not in str(caught.value)
