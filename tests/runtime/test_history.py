"""Undo and redo of drags, and what a session carries along."""

from __future__ import annotations

import numpy as np
import pytest
from test_layouts import LAYOUTS, begin, drag
from toy import toy_graph

from draggan_runtime.app import App
from draggan_runtime.errors import UserError
from draggan_runtime.messages import Goal, LatentRequest
from draggan_runtime.pictures import save_png
from draggan_runtime.session import UNDOABLE, SessionRecord, dump_session, load_session, pairs, save_session


def state(app: App) -> tuple:
    record = app.record
    return record.w_plus.tobytes(), record.step, record.points


@pytest.mark.parametrize("layout", LAYOUTS)
def test_undo_and_redo_are_exact(layout):
    with App(toy_graph(layout)) as app:
        begin(app)
        states = [state(app)]
        for x in (140.0, 150.0):
            drag(app)
            app.post(Goal(session="main", points=pairs([(tuple(app.record.w_plus[0]), (x, 90.0))])))
            app.run_until_settled()
            states.append(state(app))
        drag(app)
        last = app.record.w_plus.tobytes()
        for before in reversed(states):
            app.undo()
            app.run_until_settled()
            assert state(app)[:2] == before[:2]
            assert app.frame.step == app.record.step
            assert int(app.frame.image[0, 0, 0]) == int(app.record.w_plus[0, 0])
        with pytest.raises(UserError, match="nothing to undo"):
            app.undo()
        for _ in states:
            app.redo()
        app.run_until_settled()
        assert app.record.w_plus.tobytes() == last
        with pytest.raises(UserError, match="nothing to redo"):
            app.redo()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_whatever_is_undone_the_graph_knows_the_picture_that_was_edited_first(layout, tmp_path):
    with App(toy_graph(layout)) as app:
        begin(app)
        for x in (140.0, 150.0):
            drag(app)
            app.post(Goal(session="main", points=pairs([(tuple(app.record.w_plus[0]), (x, 90.0))])))
            app.run_until_settled()
        first = app.record.history[0].start
        assert (app.record.anchor == first).all()
        seen = []
        app.watch(lambda node, turn: seen.extend(turn.inputs.values()) if node == "source" else None)
        app.undo()
        app.run_until_settled()
        assert (app.record.anchor == first).all()
        if layout == "local":
            assert (seen[-1].anchor == first).all()
        save_session(app.record, tmp_path / "a.draggan")
        app.post(LatentRequest(session="main", w_plus=np.array([[7.0, 7.0]], np.float32)))
        app.run_until_settled()
        assert (app.record.anchor == 7).all()
    with App(toy_graph(layout), load_session(tmp_path / "a.draggan")) as app:
        app.restore()
        app.run_until_settled()
        assert (app.record.anchor == first).all()


def test_points_come_back_with_the_drag():
    with App(toy_graph()) as app:
        begin(app)
        asked = app.record.points
        drag(app)
        app.undo()
        assert app.record.points == asked
        app.redo()
        (point,) = app.record.points
        assert point.target == asked[0].target
        assert point.handle == app.record.history[-1].handles[1]


def test_undo_takes_back_a_running_drag():
    with App(toy_graph("live", generator={"slow": 0.02})) as app:
        begin(app, target=(400.0, 400.0))
        before = state(app)
        app.start_drag()
        while app.progress is None or app.progress.drag_steps < 3:
            app.pump(0.05)
        app.undo()
        app.run_until_settled()
        assert not app.dragging
        assert state(app) == before


def test_a_drag_after_an_undo_does_what_it_would_have_done_without():
    with App(toy_graph()) as app:
        begin(app)
        drag(app)
        once = app.record.w_plus.tobytes()
        app.undo()
        drag(app)
        assert app.record.w_plus.tobytes() == once
        with pytest.raises(UserError, match="nothing to redo"):
            app.redo()


def test_a_new_picture_has_no_history():
    with App(toy_graph()) as app:
        begin(app)
        drag(app)
        app.undo()
        app.post(LatentRequest(session="main", seed=5))
        app.run_until_settled()
        assert (app.record.seed, app.record.history, app.record.undone) == (5, [], [])


def test_history_is_saved_and_a_reopened_session_can_be_undone(tmp_path):
    with App(toy_graph()) as app:
        begin(app)
        drag(app)
        start = app.record.history[0].start.tobytes()
        save_session(app.record, tmp_path / "a.draggan")
    with App(toy_graph(), load_session(tmp_path / "a.draggan")) as app:
        app.restore()
        app.run_until_settled()
        app.undo()
        assert app.record.w_plus.tobytes() == start


def test_a_png_carries_its_session(tmp_path):
    with App(toy_graph()) as app:
        begin(app)
        drag(app)
        save_png(tmp_path / "a.png", app.frame.image, session=dump_session(app.record))
        record = load_session(tmp_path / "a.png")
        assert record.w_plus.tobytes() == app.record.w_plus.tobytes()
        assert record.history[0].handles == app.record.history[0].handles


@pytest.mark.parametrize("damage", ["none", "cut"])
def test_a_png_without_a_whole_session_is_refused(damage, tmp_path):
    path = tmp_path / "a.png"
    save_png(path, np.zeros((8, 8, 3), np.uint8), session=b"" if damage == "none" else b"DRAGGAN\x01 cut")
    with pytest.raises(UserError, match="carries no session" if damage == "none" else "damaged or cut off"):
        load_session(path)


def test_a_session_of_a_thousand_drags_keeps_the_last_hundred():
    record = SessionRecord(w_plus=np.zeros((12, 512), np.float32))
    for step in range(1000):
        record.step = step
        record.begin()
    assert [drag.start_step for drag in record.history] == list(range(1000 - UNDOABLE, 1000))
    assert len(dump_session(record)) < 2.1 * UNDOABLE * record.w_plus.nbytes
