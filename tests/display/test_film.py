"""Films of a live session: from one key to the next, paced as the session was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import draggan_nodes.display.film as module
import numpy as np
import pytest
from draggan_nodes.display.film import FilmRecorder

from draggan_runtime.messages import Command, Frame, Goal, LatentRequest, Message, PointPair, Progress
from draggan_runtime.node import Context, Turn


class Recorder:
    """A FilmRecorder with one session's state, and a clock one can set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **params: Any) -> None:
        self.now = 50.0
        monkeypatch.setattr(module.time, "monotonic", lambda: self.now)
        self.node = FilmRecorder(FilmRecorder.Params(**params), Context("film"))
        self.node.configure()
        self.state = self.node.new_state()
        self.said: list[Message] = []

    def event(self, after: float = 0.0, **message: Message) -> None:
        """A message comes ``after`` s."""
        self.now += after
        turn = Turn("s", 0, message, self.state)
        self.node.step([turn])
        self.said += [m for _, m in turn.emitted]

    def frame(self, level: int, after: float = 0.0, step: int = 0) -> None:
        image = np.full((128, 160, 3), level, np.uint8)
        self.event(after, frame=Frame(session="s", step=step, image=image))

    def record(self, after: float = 0.0, path: str = "") -> None:
        self.event(after, command=Command(session="s", verb="record", argument=path))

    def close(self) -> None:
        self.node.deactivate()
        self.node.cleanup()

    @property
    def words(self) -> list[str]:
        return [m.text for m in self.said if hasattr(m, "text")]


def pictures(path: Path) -> list[tuple[float, float]]:
    """(s, mean level) of each picture of a film."""
    with av.open(str(path)) as container:
        return [(float(f.time), f.to_ndarray(format="rgb24").mean()) for f in container.decode(video=0)]


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


@pytest.fixture(params=["mp4", "gif"])
def recorder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Recorder:
    return Recorder(monkeypatch, out=str(tmp_path / "new"), format=request.param, fps=10)


def test_a_film_holds_what_came_between_two_presses_as_long_as_it_took(recorder: Recorder, tmp_path: Path) -> None:
    recorder.frame(60)
    recorder.record()
    recorder.frame(120, after=0.5)
    recorder.frame(180, after=1.0)
    recorder.record(after=0.8)
    recorder.frame(240)
    recorder.close()
    (name,) = names(tmp_path / "new")
    shown = pictures(tmp_path / "new" / name)
    times, levels = zip(*shown, strict=True)
    assert times == pytest.approx([0, 0.5, 1.5, 2.2], abs=0.011)
    assert levels == pytest.approx([60, 120, 180, 180], abs=4)
    with av.open(str(tmp_path / "new" / name)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == ("h264" if name.endswith("mp4") else "gif")
        assert container.duration / 1e6 == pytest.approx(2.3, abs=0.06)
    assert recorder.words == [f"recording to {tmp_path / 'new' / name}", f"wrote {tmp_path / 'new' / name}"]
    assert [m.path != "" for m in recorder.said if hasattr(m, "path")] == [True, False]


def test_every_film_has_a_name_of_its_own(recorder: Recorder, tmp_path: Path) -> None:
    recorder.frame(60)
    for _ in range(3):
        recorder.record()
        recorder.record(after=0.3)
    assert [name.split(".")[0] for name in names(tmp_path / "new")] == ["recording-1", "recording-2", "recording-3"]
    recorder.record(path=str(tmp_path / "mine.gif"))
    recorder.record(after=0.3)
    assert "mine.gif" in names(tmp_path)


def test_pictures_that_come_faster_than_the_film_are_left_out(recorder: Recorder, tmp_path: Path) -> None:
    recorder.record()
    for level in range(100, 200):
        recorder.frame(level, after=0.01)
    recorder.record()
    shown = pictures(next((tmp_path / "new").iterdir()))
    assert 9 <= len(shown) <= 12
    assert shown[-1][1] == pytest.approx(199, abs=4)


def test_a_film_that_is_not_ended_is_whole_at_the_end(recorder: Recorder, tmp_path: Path) -> None:
    recorder.record()
    recorder.frame(60)
    recorder.now += 0.5
    assert not [name for name in names(tmp_path / "new") if not name.startswith(".")]
    recorder.close()
    (name,) = names(tmp_path / "new")
    assert pictures(tmp_path / "new" / name)[-1][0] == pytest.approx(0.4, abs=0.05)


def test_points_are_where_the_tracker_had_them_and_follow_the_hand(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def goal(target: float) -> Goal:
        return Goal(session="s", points=(PointPair(0, (30.0, 60.0), (target, 60.0)),))

    blue = {}
    for points in (False, True):
        recorder = Recorder(monkeypatch, out=str(tmp_path / str(points)), points=points, fps=10)
        recorder.event(goal=goal(140.0))
        recorder.record()
        recorder.frame(128)
        recorder.event(after=0.5, goal=goal(90.0))
        recorder.event(after=0.5, progress=progress(5))
        recorder.frame(128, step=5)
        recorder.event(request=LatentRequest(session="s", seed=3))
        recorder.frame(128, after=0.5)
        recorder.record(after=0.5)
        with av.open(str(tmp_path / str(points) / "recording-1.mp4")) as container:
            images = [f.to_ndarray(format="rgb24").astype(int) for f in container.decode(video=0)]
        blue[points] = [[i[60, x, 2] - i[60, x, 0] > 60 for x in (90, 140)] for i in images]
        red = [[i[60, x, 0] - i[60, x, 2] > 60 for x in (30, 60)] for i in images]
    assert not np.any(blue[False])
    assert blue[True] == [[False, True], [True, False], [True, False], [True, False], [True, False]]
    assert red == [[True, False], [True, False], [False, True], [True, False], [True, False]]


def progress(step: int) -> Progress:
    return Progress(
        session="s", step=step, drag_steps=step, handles={0: (60.0, 60.0)}, distances={}, confidence={}, loss=0.0,
        w_plus=np.zeros((1, 1)), seconds=1.0,
    )  # fmt: skip


def test_what_goes_wrong_is_said_and_ends_the_recording_only(recorder: Recorder, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    recorder.frame(60)
    recorder.record(path=str(tmp_path / "file" / "film.mp4"))
    assert "choose a folder" in recorder.words[-1]
    recorder.record(path=str(tmp_path / "film.avi"))
    assert "ends with .mp4 or .gif" in recorder.words[-1]
    assert all(m.problem for m in recorder.said if hasattr(m, "problem"))
    recorder.record()
    recorder.event(frame=Frame(session="s", image=np.zeros((64, 64, 3), np.uint8)), after=1.0)
    recorder.frame(60, after=1.0)
    assert "recording has ended" in recorder.words[-1]
    recorder.record()
    recorder.record(after=1.0)
    assert recorder.words[-1].startswith("wrote")
    recorder.close()
    assert len(names(tmp_path / "new")) == 1


def test_without_a_picture_there_is_no_film(recorder: Recorder, tmp_path: Path) -> None:
    recorder.record()
    recorder.record(after=1.0)
    assert "no picture" in recorder.words[-1]
    recorder.close()
    assert names(tmp_path / "new") == []
