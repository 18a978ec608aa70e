"""The display without a screen: which files it writes, when, and what is in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from draggan_nodes.display.files import FileDisplay
from pydantic import ValidationError

from draggan_runtime.errors import UserError
from draggan_runtime.messages import Frame, Goal, Mask, PointPair, Progress
from draggan_runtime.node import Context, Turn
from draggan_runtime.pictures import load_picture

GOAL = Goal(session="s", points=(PointPair(0, (40.0, 60.0), (100.0, 60.0)),))


class Display:
    """A FileDisplay with one session's state, fed message by message."""

    def __init__(self, **params: Any) -> None:
        self.node = FileDisplay(FileDisplay.Params(**params), Context("display"))
        self.node.configure()
        self.state = self.node.new_state()
        self.latched: dict[str, Any] = {"goal": GOAL}

    def frame(self, step: int, session: str = "s") -> None:
        message = Frame(session=session, step=step, image=picture(step))
        self.node.step([Turn(session, step, {**self.latched, "frame": message}, self.state)])

    def progress(self, step: int, stopped: Any = None) -> None:
        message = Progress(
            session="s", step=step, drag_steps=step, handles={0: (40.0 + step, 60.0)}, distances={0: 60.0 - step},
            confidence={}, loss=0.1, w_plus=np.zeros((1, 1)), seconds=1.0, stopped=stopped,
        )  # fmt: skip
        self.node.step([Turn("s", step, {**self.latched, "progress": message}, self.state)])

    def change(self, **params: Any) -> None:
        self.node.change(FileDisplay.Params(**{**self.node.params.model_dump(), **params}))

    def close(self) -> None:
        self.node.deactivate()
        self.node.cleanup()


def picture(step: int) -> np.ndarray:
    return np.full((128, 160, 3), 100 + step, np.uint8)


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_the_first_picture_is_before(tmp_path: Path) -> None:
    display = Display(out=str(tmp_path / "new" / "folder"))
    display.frame(0)
    display.frame(1)
    assert names(tmp_path / "new" / "folder") == ["before.png"]
    assert np.array_equal(load_picture(tmp_path / "new" / "folder" / "before.png"), picture(0))


@pytest.mark.parametrize("frame_first", [True, False])
def test_the_picture_at_which_a_drag_ended_is_after_whichever_message_comes_first(
    tmp_path: Path, frame_first: bool
) -> None:
    display = Display(out=str(tmp_path))
    display.frame(0)
    display.progress(4)
    for message in ("frame", "end") if frame_first else ("end", "frame"):
        if message == "frame":
            display.frame(5)
        else:
            display.progress(5, "reached")
    assert names(tmp_path) == ["after.png", "before.png", "overlay.png"]
    assert np.array_equal(load_picture(tmp_path / "after.png"), picture(5))
    drawn = load_picture(tmp_path / "overlay.png")
    assert tuple(drawn[60, 45]) != tuple(picture(5)[60, 45])


def test_an_older_picture_is_not_taken_for_the_last(tmp_path: Path) -> None:
    display = Display(out=str(tmp_path))
    display.frame(0)
    display.frame(4)
    display.progress(5, "reached")
    assert names(tmp_path) == ["before.png"]


def test_the_next_drag_writes_after_again_and_before_stays(tmp_path: Path) -> None:
    display = Display(out=str(tmp_path))
    display.frame(0)
    for step in (5, 9):
        display.progress(step, "reached")
        display.frame(step)
    assert np.array_equal(load_picture(tmp_path / "after.png"), picture(9))
    assert np.array_equal(load_picture(tmp_path / "before.png"), picture(0))


def test_a_drag_of_no_steps_has_the_same_picture_before_and_after(tmp_path: Path) -> None:
    display = Display(out=str(tmp_path))
    display.frame(0)
    display.progress(0, "cancelled")
    assert names(tmp_path) == ["after.png", "before.png", "overlay.png"]


def test_the_overlay_darkens_what_may_not_move_and_after_does_not(tmp_path: Path) -> None:
    display = Display(out=str(tmp_path))
    movable = np.zeros((128, 160), np.uint8)
    movable[:100] = 1
    display.latched["mask"] = Mask(session="s", movable=movable)
    display.frame(0)
    display.progress(0, "reached")
    assert (load_picture(tmp_path / "overlay.png")[110:] < 60).all()
    assert (load_picture(tmp_path / "after.png")[110:] == 100).all()


def test_the_video_holds_every_picture_and_appears_when_the_display_is_deactivated(tmp_path: Path) -> None:
    display = Display(video=str(tmp_path / "edit.mp4"), fps=10)
    for step in range(6):
        display.frame(step)
    assert not (tmp_path / "edit.mp4").exists()
    display.close()
    assert names(tmp_path) == ["edit.mp4"]
    with av.open(str(tmp_path / "edit.mp4")) as container:
        levels = [f.to_ndarray(format="rgb24").mean() for f in container.decode(video=0)]
    assert len(levels) == 9 + 6 + 9
    assert np.allclose(levels[9:15], [100, 101, 102, 103, 104, 105], atol=1.5)


def test_points_are_drawn_into_the_video_when_asked_for(tmp_path: Path) -> None:
    shown = {}
    for points in (False, True):
        display = Display(video=str(tmp_path / f"{points}.gif"), points=points)
        display.frame(0)
        display.close()
        with av.open(str(tmp_path / f"{points}.gif")) as container:
            shown[points] = next(container.decode(video=0)).to_ndarray(format="rgb24").astype(int)
    assert abs(shown[False][60, 100] - 100).max() < 12
    blueness = shown[True][60, 100, 2] - shown[True][60, 100, 0]
    assert blueness > 60


def test_the_watermark_goes_onto_everything_written(tmp_path: Path) -> None:
    display = Display(out=str(tmp_path), video=str(tmp_path / "edit.gif"), watermark=True)
    display.frame(0)
    display.progress(0, "reached")
    display.close()
    for name in ("before.png", "after.png", "overlay.png"):
        assert (load_picture(tmp_path / name)[110:, 90:].max(axis=(0, 1)) > 200).all(), name
    with av.open(str(tmp_path / "edit.gif")) as container:
        assert next(container.decode(video=0)).to_ndarray(format="rgb24")[110:, 90:].max() > 200


def test_a_new_latent_has_its_own_before(tmp_path: Path) -> None:
    display = Display(out=str(tmp_path))
    display.frame(0)
    display.frame(3)
    (tmp_path / "before.png").unlink()
    display.frame(0)
    assert names(tmp_path) == ["before.png"]


def test_two_latents_in_a_row_have_each_their_before(tmp_path: Path) -> None:
    display = Display(out=str(tmp_path))
    display.frame(0)
    (tmp_path / "before.png").unlink()
    display.frame(0)
    assert names(tmp_path) == ["before.png"]


def test_folder_and_film_change_while_it_runs(tmp_path: Path) -> None:
    display = Display()
    for name in ("one", "two"):
        display.change(out=str(tmp_path / name), video=str(tmp_path / name / "edit.gif"))
        for step in (0, 0, 1):  # the drag before this one may have ended without a step
            display.frame(step)
        display.progress(1, "reached")
        display.change(out="", video="")
        assert names(tmp_path / name) == ["after.png", "before.png", "edit.gif", "overlay.png"]
    one = [(tmp_path / "one" / n, (tmp_path / "one" / n).stat().st_mtime_ns) for n in names(tmp_path / "one")]
    display.frame(0)
    display.progress(0, "reached")
    display.close()
    assert names(tmp_path) == ["one", "two"]
    assert all(path.stat().st_mtime_ns == written for path, written in one)


def test_a_folder_that_cannot_be_written_is_refused_while_it_runs_and_the_old_one_stays(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    display = Display(out=str(tmp_path / "old"))
    with pytest.raises(UserError, match="choose a folder"):
        display.change(out=str(tmp_path / "file" / "out"))
    display.frame(0)
    assert names(tmp_path / "old") == ["before.png"]


def test_with_nothing_asked_for_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    display = Display()
    display.frame(0)
    display.progress(0, "reached")
    display.close()
    assert names(tmp_path) == []


def test_cleanup_without_deactivate_leaves_no_half_written_video(tmp_path: Path) -> None:
    display = Display(video=str(tmp_path / "edit.mp4"))
    display.frame(0)
    display.node.cleanup()
    assert names(tmp_path) == []


def test_two_sessions_do_not_overwrite_each_other(tmp_path: Path) -> None:
    display = Display(out=str(tmp_path))
    display.frame(0)
    with pytest.raises(UserError, match="one session"):
        display.frame(0, session="other")


def test_what_cannot_be_written_is_refused_before_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for params in ({"out": str(tmp_path / "file" / "out")}, {"video": str(tmp_path / "file" / "edit.mp4")}):
        with pytest.raises(UserError, match="choose a folder"):
            FileDisplay.prepare(FileDisplay.Params(**params))
    with pytest.raises(ValidationError, match=r"ends? with \.mp4 or \.gif"):
        FileDisplay.Params(video="edit.avi")
