"""When a drag ends, and what it says."""

from __future__ import annotations

import pytest
from test_layouts import START, begin, drag
from toy import toy_graph, unsure_of

from draggan_runtime.app import App
from draggan_runtime.errors import UserError
from draggan_runtime.execution.run import arrival_distance
from draggan_runtime.messages import Goal, LatentRequest
from draggan_runtime.session import pairs


@pytest.mark.parametrize(
    ("points", "arrived", "height", "px"),
    [(1, None, 512, 1.0), (5, None, 1024, 2.0), (6, None, 512, 2.0), (68, None, 1024, 4.0), (1, 0.5, 1024, 1.0)],
)
def test_how_near_is_near_enough(points, arrived, height, px):
    assert arrival_distance(points, arrived, height) == px


def test_max_steps_ends_a_drag():
    with App(toy_graph(drag={"max_steps": 4})) as app:
        begin(app, target=(400.0, 400.0))
        seen = drag(app)
        assert (seen[-1].stopped, seen[-1].drag_steps, app.record.step) == ("max_steps", 4, 4)


def test_a_handle_that_leaves_the_picture_is_lost():
    with App(toy_graph(tracker={"offset": 450.0})) as app:
        begin(app, target=(500.0, 50.0))
        assert drag(app)[-1].stopped == "lost"


@pytest.mark.parametrize("layout", ["local", "live"])
def test_a_target_out_of_reach_ends_at_the_nearest_it_came(layout):
    with App(toy_graph(layout, generator={"wall": 120.0}, drag={"patience": 20})) as app:
        begin(app, target=(160.3, 50.7))
        *seen, last = drag(app)
        nearest = min(seen, key=lambda progress: progress.distances[1])
        assert last.stopped == "out_of_reach"
        assert last.drag_steps == len(seen) == nearest.drag_steps + 20
        assert (last.w_plus == nearest.w_plus).all()
        assert (last.handles, last.distances) == (nearest.handles, nearest.distances)
        assert (app.record.w_plus == nearest.w_plus).all()
        assert last.step == len(seen) + 1 == app.record.step == app.frame.step
        assert app.frame.image[0, 0, 0] == int(nearest.w_plus[0, 0])
        app.post(Goal(session="main", points=pairs([(last.handles[1], (100.3, 50.7))])))
        assert drag(app)[-1].stopped == "reached"
        app.undo()
        app.run_until_settled()
        assert (app.record.w_plus == nearest.w_plus).all()


def test_a_new_target_gives_a_drag_new_patience():
    with App(toy_graph(generator={"wall": 120.0}, drag={"patience": 20})) as app:
        begin(app, target=(160.3, 50.7))
        nearer = Goal(session="main", points=pairs([((100.3, 50.7), (100.3, 90.7))]))
        app.on_progress = lambda p: app.post(nearer) if p.drag_steps == 35 else None
        app.start_drag()
        app.run_until_settled()
        assert (app.progress.stopped, app.progress.distances[1]) == ("reached", pytest.approx(0.5, abs=0.5))


def test_a_lost_drag_goes_back_to_the_nearest_it_came():
    with App(toy_graph(tracker={"offset": 340.0}, drag={"patience": 20})) as app:
        begin(app, target=(511.0, 50.7))
        app.on_progress = lambda p: app.change("tracker", {"offset": 450.0}) if p.drag_steps == 30 else None
        app.start_drag()
        app.run_until_settled()
        assert app.progress.stopped == "lost"
        assert app.progress.handles[1][0] == pytest.approx(470.3, abs=2)


def test_a_drag_that_has_arrived_settles():
    """Its points stay where they are: the toy's latent has nothing else to move."""
    with App(toy_graph()) as app:
        begin(app)
        without = drag(app)[-1].drag_steps
    with App(toy_graph(drag={"settle": 5})) as app:
        begin(app)
        *seen, last = drag(app)
        assert (last.stopped, last.drag_steps) == ("reached", without + 5)
        assert all(p.stopped is None for p in seen)


def test_a_drag_whose_steps_run_out_while_it_settles_has_reached():
    with App(toy_graph()) as app:
        begin(app)
        without = drag(app)[-1].drag_steps
    with App(toy_graph(drag={"settle": 5, "max_steps": without + 2})) as app:
        begin(app)
        last = drag(app)[-1]
        assert (last.stopped, last.drag_steps) == ("reached", without + 2)


def test_what_cannot_stay_where_it_arrived_ends_where_it_was_nearest():
    """The wall throws it back each time it arrives."""
    with App(toy_graph(generator={"wall": 120.0}, drag={"settle": 5, "arrived": 0.8})) as app:
        begin(app, target=(120.0, 50.7))
        *seen, last = drag(app)
        nearest = min(seen, key=lambda progress: progress.distances[1])
        assert last.stopped == "reached"
        assert last.distances == nearest.distances
        assert (app.record.w_plus == nearest.w_plus).all()


@pytest.mark.parametrize(
    ("points", "unsure", "ends"), [(1, 1, "lost"), (3, 1, "lost"), (4, 1, "reached"), (4, 2, "lost"), (8, 2, "reached")]
)
def test_a_drag_is_lost_if_more_than_a_quarter_of_its_points_are(points, unsure, ends):
    with App(unsure_of(toy_graph(drag={"min_confidence": 0.5}), unsure)) as app:
        begin(app, target=(110.0, 60.0))
        app.post(Goal(session="main", points=pairs([((100.3, 50.7), (110.0, 60.0))] * points)))
        assert drag(app)[-1].stopped == ends


def test_a_drag_whose_points_are_all_removed_is_cancelled():
    with App(toy_graph()) as app:
        begin(app, target=(400.0, 400.0))
        app.on_progress = lambda p: app.post(Goal(session="main")) if p.drag_steps == 3 else None
        app.start_drag()
        app.run_until_settled()
        assert app.progress.stopped == "cancelled"


def test_there_must_be_a_point_and_a_picture():
    with App(toy_graph()) as app:
        with pytest.raises(UserError, match="no point to drag"):
            app.start_drag()
        app.post(Goal(session="main", points=pairs([((1, 1), (2, 2))])))
        with pytest.raises(UserError, match="no picture yet"):
            app.start_drag()


def test_a_second_drag_goes_on_from_where_the_first_ended():
    with App(toy_graph()) as app:
        begin(app)
        first = drag(app)
        app.post(Goal(session="main", points=pairs([((130.0, 90.0), (140.0, 90.0))])))
        second = drag(app)
        assert second[0].step == first[-1].step
        assert [d.stopped for d in app.record.history] == ["reached", "reached"]
        assert (app.record.history[0].end == app.record.history[1].start).all()


def test_a_start_right_after_a_request_waits_for_the_picture():
    with App(toy_graph("live")) as app:
        app.post(LatentRequest(session="main", w_plus=START))
        app.post(Goal(session="main", points=pairs([((100.3, 50.7), (130.0, 90.0))])))
        app.start_drag()
        app.run_until_settled()
        assert app.progress.stopped == "reached"


def test_a_refused_start_is_told_to_the_graph(tmp_path):
    log = tmp_path / "log"
    with App(toy_graph(display={"log": str(log)})) as app:
        app.refuse("there is no point to drag")
        app.run_until_settled()
    assert log.read_text() == "progress 0\n"
