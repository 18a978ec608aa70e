"""Previews in the layouts with a window: who gets them, and what stands at the end."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import yaml

from draggan_runtime import api
from draggan_runtime.graph import load_launch
from draggan_runtime.messages import Command, Frame
from draggan_runtime.node import Turn

WINDOWS = [pytest.param("live", id="live"), pytest.param("window", id="window")]


def without_window(launch: str, folder: Path) -> Path:
    """A launch file with the renderer and the film of ``launch``, in one process, its display reading as there."""
    source = yaml.safe_load((Path(__file__).parents[2] / "launch" / f"{launch}.yaml").read_text())
    nodes = {name: source["nodes"][name] for name in ("renderer", "film")}
    nodes["display"] = {"inputs": {"frame": source["nodes"]["display"]["inputs"]["frame"]}}
    path = folder / "seen.yaml"
    layout = {"containers": {"local": {"place": "driver", "nodes": "rest"}}}
    path.write_text(yaml.safe_dump({"version": 1, "name": "seen", "graph": "drag", "config": "ffhq", "nodes": nodes}
                                   | layout))  # fmt: skip
    return path


@pytest.mark.parametrize("launch", WINDOWS)
def test_window_and_film_get_previews_and_the_session_full_pictures_only(launch: str) -> None:
    graph = load_launch(launch)
    readers: dict[str, set[str]] = {"frame": set(), "preview": set()}
    for edge in graph.edges:
        if edge.source_node == "renderer":
            readers[edge.source_port].add(edge.target_node)
    assert readers == {"frame": {"session", "display", "film", "paste"}, "preview": {"display", "film"}}
    shares = {e.target_port: e.qos.share for e in graph.edges if e.target_node == "renderer"}
    assert shares["latent"] == 0  # in full only when no drag runs
    assert 0 < shares["preview"] < 0.5


def test_a_drag_is_seen_in_previews_and_ends_in_full(tmp_path: Path) -> None:
    launch, film = without_window("live", tmp_path), tmp_path / "film.mp4"
    with api.open(seed=7, launch=str(launch), set=[f"film.out={tmp_path}"]) as session:
        seen: list[Frame] = []

        def look(node: str, turn: Turn) -> None:
            if node == "display" and turn.get("frame") is not None:
                seen.append(turn["frame"])

        session.app.watch(look)
        session.app.post(Command(session="main", verb="record", argument=str(film)))
        result = session.drag([((512, 590), (640, 590))], max_steps=40)
        picture = session.image()
        *during, last = seen
        assert len(during) >= 2
        assert all(frame.preview for frame in during)
        assert all(frame.step < result.steps for frame in during)  # the last is not previewed first
        assert (last.preview, last.step) == (False, result.steps)
        assert last.image is picture  # what is saved
        assert session.app.frame is last
        steps = [frame.step for frame in during]
        assert steps == sorted(set(steps))
        seen.clear()
        session.undo()
        assert [(frame.step, frame.preview) for frame in seen] == [(0, False)]
        session.redo()
        assert [(frame.step, frame.preview) for frame in seen[1:]] == [(result.steps, False)]
        np.testing.assert_array_equal(session.image(), picture)
        session.app.post(Command(session="main", verb="record"))
        session.app.run_until_settled()
    with av.open(str(film)) as container:
        images = [frame.to_ndarray(format="rgb24").astype(float) for frame in container.decode(video=0)]
    assert np.abs(images[-1] - picture).mean() < 4
    unlike = [np.abs(image - picture).mean() for image in images]
    assert max(unlike) > 15  # where it began


def test_a_preview_level_is_chosen_or_turned_off_by_a_word(tmp_path: Path) -> None:
    launch = str(without_window("window", tmp_path))
    for level in ("32", "none"):
        _, params = load_launch(launch, [f"renderer.preview={level}"]).nodes["renderer"].load()
        assert params.model_dump()["preview"] == level
    with api.open(seed=7, launch=launch, set=["renderer.preview=none", f"film.out={tmp_path}"]) as session:
        seen: list[Frame] = []
        session.app.watch(lambda node, turn: seen.append(turn.get("frame")) if node == "display" else None)
        session.drag([((512, 590), (640, 590))], max_steps=4)
        assert [frame.step for frame in seen if frame is not None] == [4]
