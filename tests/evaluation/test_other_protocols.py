"""The protocols paired, cycle, tracking and inversion, on one real case each: what they measure, computed by hand."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from draggan_runtime.cli import eval_run
from draggan_runtime.cli.eval import app
from draggan_runtime.errors import UserError
from draggan_runtime.evaluation.at_512 import at_512, squared_error
from draggan_runtime.evaluation.cycle import Cycle
from draggan_runtime.evaluation.inversion import Inversion
from draggan_runtime.evaluation.methods import known, parse
from draggan_runtime.evaluation.paired import Paired
from draggan_runtime.evaluation.protocols import protocol_of
from draggan_runtime.evaluation.rows import read_rows
from draggan_runtime.evaluation.runner import Evaluation, group_of
from draggan_runtime.evaluation.sessions import Sessions
from draggan_runtime.evaluation.tracking import FOLLOWED, Tracking
from draggan_runtime.perception import vgg
from draggan_runtime.perception.face_landmarks import landmarks

#: Of the default model: the slots that an edit moves.
COARSE = 10


@pytest.fixture(scope="module")
def sessions():
    with Sessions() as opened:
        yield opened


def ready(protocol):
    try:
        protocol.prepare()
    except UserError as error:
        pytest.skip(str(error))
    return protocol


def timeless(figures):
    return {key: value for key, value in figures.items() if key != "seconds"}


def picture(session, w_plus):
    session.set_latent(w_plus)
    return at_512(session.image())


def latents(session, case):
    found = []
    for seed in case.seeds:
        session.seed(seed)
        found.append(session.w_plus.copy())
    return found


def toward(first, second, amount):
    moved = first.copy()
    moved[:COARSE] += np.float32(amount) * (second - first)[:COARSE]
    return moved


@pytest.fixture(scope="module")
def pair(sessions):
    protocol = ready(Paired(max_steps=1))
    case = protocol.cases(2)[1]
    return protocol, case, {name: protocol.run(case, known()[name], sessions) for name in ("none", "best")}


def test_paired_the_second_picture_is_the_first_face_moved_toward_another_in_its_coarse_slots(pair, sessions):
    _, case, made = pair
    session = sessions.open(known()["best"])
    a, b = latents(session, case)
    first, second = picture(session, a), picture(session, toward(a, b, 0.3))
    figures = made["none"].figures
    assert figures["squared"] == pytest.approx(squared_error(first, second), rel=1e-3)
    assert figures["perceptual"] == pytest.approx(vgg.distance(vgg.features(first), vgg.features(second)), rel=1e-3)
    assert figures["squared_left"] == figures["perceptual_left"] == 1


def test_paired_an_edit_comes_nearer_to_the_second_picture_and_says_by_how_much(pair):
    none, best = (pair[2][name].figures for name in ("none", "best"))
    assert best["steps"] == 1
    assert best["stopped"] == "max_steps"
    assert best["squared"] != none["squared"]
    assert best["squared_left"] == pytest.approx(best["squared"] / none["squared"])
    assert best["perceptual_left"] == pytest.approx(best["perceptual"] / none["perceptual"])


def test_paired_a_row_is_the_same_whatever_was_measured_before(pair):
    _, case, made = pair
    with Sessions() as fresh:
        alone = Paired(max_steps=1).run(case, known()["best"], fresh)
    assert timeless(alone.figures) == timeless(made["best"].figures)


def test_paired_results_are_compared_with_the_second_pictures_as_sets(pair):
    _, _, made = pair
    arrays = [made[name].arrays for name in ("none", "best")]
    (distance,) = Paired().of_set(arrays).values()
    assert distance > 0
    assert list(Paired().of_set([{"target": each["after"], "after": each["after"]} for each in arrays]).values()) == [0]


def test_cycle_says_how_far_the_nose_went_and_came_back_and_what_that_cost(sessions):
    pytest.importorskip("dlib")
    protocol = ready(Cycle(px=20, max_steps=4))
    (case,) = protocol.cases(1)
    best = known()["best"]
    figures = protocol.run(case, best, sessions).figures
    (seed,) = case.seeds
    with Sessions() as fresh:
        session = fresh.open(best)
        session.seed(seed)
        start = at_512(session.image())
        nose = landmarks(start)[33]
        angle = np.random.RandomState(seed).uniform(0, 2 * np.pi)
        way = np.array([np.cos(angle), np.sin(angle)])
        here, there = (tuple(((place + 0.5) * 2 - 0.5).tolist()) for place in (nose, nose + 20 * way))
        session.drag([(here, there)], max_steps=4)
        middle = landmarks(at_512(session.image()))[33]
        session.drag([(there, here)], max_steps=4)
        end = at_512(session.image())
    assert figures["moved"] == pytest.approx((middle - nose) @ way)
    assert figures["returned"] == pytest.approx(np.hypot(*(landmarks(end)[33] - nose)))
    assert figures["perceptual"] == pytest.approx(vgg.distance(vgg.features(start), vgg.features(end)))
    assert figures["squared"] == pytest.approx(squared_error(start, end))
    assert figures["steps"] == 8
    assert figures["stopped"] == "max_steps, max_steps"
    none = protocol.run(case, known()["none"], sessions).figures
    assert none == {"perceptual": 0, "squared": 0, "moved": 0, "returned": 0}


def test_tracking_says_how_far_a_point_is_from_its_landmark_on_a_picture_that_no_edit_made(sessions):
    pytest.importorskip("dlib")
    protocol = ready(Tracking(amount=0.4, steps=4))
    case = protocol.cases(1)[0]
    made = {name: protocol.run(case, known()[name], sessions).figures for name in ("none", "best", "no-tracking")}
    session = sessions.open(known()["best"])
    a, b = latents(session, case)
    walk = [toward(a, b, 0.1 * i) for i in range(5)]
    begun, halfway, ended = (landmarks(picture(session, walk[i]))[list(FOLLOWED)] for i in (0, 2, 4))
    moved = np.linalg.norm(ended - begun, axis=1).mean()
    assert made["none"]["moved"] == made["none"]["drift"] == pytest.approx(moved)
    assert made["none"]["halfway"] == pytest.approx(np.linalg.norm(halfway - begun, axis=1).mean())
    assert {key: made["no-tracking"][key] for key in made["none"]} == pytest.approx(made["none"])
    handles = sessions.follow(known()["best"], walk, [tuple(xy) for xy in ((begun + 0.5) * 2 - 0.5).tolist()])
    found = (np.array(list(handles[4].positions.values())) + 0.5) / 2 - 0.5
    assert made["best"]["drift"] == pytest.approx(np.linalg.norm(found - ended, axis=1).mean(), abs=0.05)
    assert made["best"]["drift"] != made["none"]["drift"]
    assert 0 < made["best"]["confidence"] <= 1
    assert protocol.run(case, known()["best"], sessions).figures == made["best"]


@pytest.mark.parametrize(
    ("arguments", "count", "made"),
    [
        (["paired"], 30, Paired()),
        (["paired", "--pairs", "3", "--amount", "0.5", "--max-steps", "7"], 3, Paired(0.5, 7)),
        (["cycle"], 50, Cycle()),
        (["cycle", "--faces", "2", "--px", "10", "--max-steps", "9"], 2, Cycle(10, 9)),
        (["tracking"], 50, Tracking()),
        (["tracking", "--walks", "4", "--amount", "1", "--steps", "8"], 4, Tracking(1.0, 8)),
    ],
)
def test_each_has_a_command_with_its_options_and_can_be_made_again_from_a_row(
    monkeypatch, tmp_path, arguments, count, made
):
    calls = []
    monkeypatch.setattr(eval_run, "run", lambda protocol, *rest: calls.append((protocol, rest)))
    done = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    ((protocol, rest),) = calls
    assert (protocol.name, group_of(protocol), rest[0]) == (made.name, group_of(made), count)
    again = protocol_of({"protocol": protocol.name, "options": json.loads(json.dumps(dict(protocol.options)))})
    assert group_of(again) == group_of(made)


def test_a_command_keeps_rows_and_pictures_and_measures_nothing_twice(tmp_path):
    pytest.importorskip("dlib")
    ready(Cycle())
    command = ["cycle", "--faces", "1", "--method", "none", "--out", str(tmp_path)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    (row,) = read_rows(tmp_path)
    assert row["figures"]["perceptual"] == 0
    assert list(row["pictures"]) == ["before", "there", "back"]
    assert all((tmp_path / path).is_file() for path in row["pictures"].values())
    assert (tmp_path / "report.html").read_text().count("<img") == 3
    again = CliRunner().invoke(app, command)
    assert "1 of 1 rows were measured already" in again.stderr


def test_inversion_compares_what_was_found_with_the_picture_and_its_drag_with_that_of_the_true_latent(sessions):
    pytest.importorskip("dlib")
    protocol = ready(Inversion(px=20, max_steps=3))
    (case,) = protocol.cases(1)
    (short,) = parse(["short:source.impl=inversion/optimise,source.encoder=no,source.steps=2"])
    made = {row.name: protocol.run(case, row, sessions) for row in (known()["none"], short)}
    with Sessions() as fresh:
        session = fresh.open(known()["best"])
        session.seed(case.seeds[0])
        full = session.image()
        truth = at_512(full)
        nose = landmarks(truth)[33]
        angle = np.random.RandomState(case.seeds[0]).uniform(0, 2 * np.pi)
        drag = [tuple(xy * 2 + 0.5) for xy in (nose, nose + 20 * np.array([np.cos(angle), np.sin(angle)]))]
        session.drag([drag], max_steps=3)
        truth_dragged = at_512(session.image())
        session = fresh.open(short)
        found = session.invert(full, box=(0, 0, 1024, 1024))
        reconstruction = at_512(session.image())
        session.drag([drag], max_steps=3)
        dragged = at_512(session.image())
    figures = made["short"].figures
    assert found.steps == 2
    error = np.mean((reconstruction.astype(float) - truth) ** 2)
    assert figures["psnr"] == pytest.approx(10 * np.log10(255**2 / error), abs=0.01)
    assert figures["perceptual"] == pytest.approx(vgg.distance(vgg.features(reconstruction), vgg.features(truth)))
    apart = vgg.distance(vgg.features(dragged), vgg.features(truth_dragged))
    assert figures["dragged_apart"] == pytest.approx(apart)
    assert figures["nose_apart"] == pytest.approx(np.linalg.norm(landmarks(dragged)[33] - landmarks(truth_dragged)[33]))
    none = made["none"].figures
    assert (none["perceptual"], none["dragged_apart"], none["nose_apart"]) == (0, 0, 0)
    assert "psnr" not in none
    np.testing.assert_array_equal(made["short"].pictures["found"], reconstruction)


def test_without_method_inversion_compares_ways_to_invert_and_leaves_out_what_is_not_trained(
    monkeypatch, tmp_path, capsys
):
    monkeypatch.setenv("DRAGGAN_CACHE", str(tmp_path))
    rows = eval_run.ready(Inversion(), "ffhq")
    assert [row.name for row in rows] == ["none", "optimise", "optimise-pixels", "pivotal"]
    assert "draggan train encoder --model ffhq" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"draggan train encoder --model ffhq$"):
        Evaluation(Inversion(), parse(["encoder"]), 1, tmp_path)
