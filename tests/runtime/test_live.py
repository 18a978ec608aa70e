"""The live loop: commands, what it says, and what survives."""

from __future__ import annotations

import time

import pytest
from test_layouts import begin
from toy import toy_graph

from draggan_runtime.app import App
from draggan_runtime.live import Live
from draggan_runtime.messages import Command
from draggan_runtime.session import load_session, save_session


class Hand:
    """Stands in for a capture: gives commands once the one before has been carried out."""

    def __init__(self, app: App, *verbs) -> None:
        self.app, self.verbs, self.pump = app, list(verbs), app.pump
        app.pump = self

    def __call__(self, wait: float = 0.0) -> bool:
        moved = self.pump(wait)
        if self.verbs and self.app.settled:
            verb, *argument = self.verbs.pop(0).split(" ", 1)
            self.app.commands.append(Command(session="main", verb=verb, argument=" ".join(argument)))
        return moved


def live(app: App, out, *verbs) -> list[str]:
    said: list[str] = []
    Hand(app, *verbs, "quit")
    Live(app, said.append, out).run()
    return said


def test_a_session_from_start_to_save_and_open(tmp_path):
    with App(toy_graph()) as app:
        begin(app)
        said = live(app, tmp_path, "start", "undo", "redo", "save", "undo", "open", "quit")
        assert said[0].startswith("reached after")
        assert "saved" in said[1]
        assert said[-1] == f"opened {tmp_path / 'edit-1.draggan'}"
        assert load_session(tmp_path / "edit-1.draggan").w_plus.tobytes() == app.record.w_plus.tobytes()
        assert load_session(tmp_path / "edit-1.png").w_plus.tobytes() == app.record.w_plus.tobytes()


@pytest.mark.parametrize(
    ("verb", "says"),
    [
        ("undo", "nothing to undo"),
        ("redo", "nothing to redo"),
        ("open nowhere.draggan", "cannot be read"),
        ("save /dev/null/a.draggan", "cannot write"),
        ("set tracker.offset=wide", "offset"),
        ("set tracker.speed=1", "speed"),
        ("set nonsense", "key=value"),
    ],
)
def test_what_cannot_be_done_is_said_and_the_session_goes_on(verb, says, tmp_path):
    with App(toy_graph()) as app:
        begin(app)
        said = live(app, tmp_path, verb, "start")
        assert says in said[0]
        assert said[-1].startswith("reached")


def test_a_parameter_can_be_set(tmp_path):
    with App(toy_graph()) as app:
        begin(app)
        live(app, tmp_path, "set tracker.offset=3.5")
        assert app.record.params["tracker"]["offset"] == 3.5


def test_the_autosave_always_holds_the_session_as_it_is(tmp_path):
    with App(toy_graph()) as app:
        begin(app)
        live(app, tmp_path, "start")
        assert load_session(tmp_path / "autosave.draggan").w_plus.tobytes() == app.record.w_plus.tobytes()
        live(app, tmp_path, "undo")
        assert load_session(tmp_path / "autosave.draggan").w_plus.tobytes() == app.record.w_plus.tobytes()
        assert load_session(tmp_path / "autosave-previous.draggan").history


def test_what_takes_long_to_keep_is_kept_less_often_while_a_drag_runs(tmp_path, monkeypatch):
    kept = []

    def slow(record, path, sync=True):
        time.sleep(0.02)
        kept.append(record.step)
        save_session(record, path, sync=sync)

    monkeypatch.setattr("draggan_runtime.live.save_session", slow)
    with App(toy_graph(generator={"slow": 0.02})) as app:
        begin(app)
        live(app, tmp_path, "start")
        steps = app.record.step
    assert 0 < len(kept) < steps / 4
    assert load_session(tmp_path / "autosave.draggan").w_plus.tobytes() == app.record.w_plus.tobytes()


def test_the_session_is_kept_as_it_is_when_the_program_is_interrupted(tmp_path):
    with App(toy_graph()) as app:
        begin(app)

        def interrupt(progress):
            if progress.drag_steps == 7:
                raise KeyboardInterrupt

        app.on_progress = interrupt
        with pytest.raises(KeyboardInterrupt):
            live(app, tmp_path, "start")
        assert app.record.step == load_session(tmp_path / "autosave.draggan").step == 7


def test_the_autosave_is_not_written_when_nothing_has_changed(tmp_path):
    with App(toy_graph()) as app:
        begin(app)
        live(app, tmp_path)
        (tmp_path / "autosave.draggan").unlink(missing_ok=True)
        live(app, tmp_path)
        assert not (tmp_path / "autosave.draggan").exists()
