"""A video plays, lasts as long as it should, and says it is synthetic."""

from __future__ import annotations

import struct
import uuid
from pathlib import Path

import av
import numpy as np
import pytest
from draggan_nodes.display.video import VideoWriter
from PIL import Image

from draggan_runtime.errors import UserError

GENERATED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
XMP_BOX = uuid.UUID("BE7ACFCB-97A9-42E8-9C71-999491E3AFAC")


def pictures(count: int, height: int = 96, width: int = 128) -> list[np.ndarray]:
    """A white square that moves over a coloured ground."""
    ground = np.zeros((height, width, 3), np.uint8)
    ground[..., 0], ground[..., 1], ground[..., 2] = 200, 120, 60
    frames = []
    for i in range(count):
        frame = ground.copy()
        frame[20:40, 4 + 2 * i : 24 + 2 * i] = 255
        frames.append(frame)
    return frames


def write(path: Path, frames: list[np.ndarray], **options: object) -> Path:
    writer = VideoWriter(path, **options)  # type: ignore[arg-type]
    for frame in frames:
        writer.add(frame)
    writer.close()
    return path


def decode(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def boxes(data: bytes) -> list[tuple[bytes, bytes]]:
    """Type and content of the top-level boxes of an MP4 file."""
    found, at = [], 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        assert size >= 8
        found.append((kind, data[at + 8 : at + size]))
        at += size
    assert at == len(data)
    return found


def test_an_mp4_is_h264_as_ordinary_players_want_it(tmp_path: Path) -> None:
    path = write(tmp_path / "edit.mp4", pictures(12), fps=25, hold=0)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert (stream.width, stream.height) == (128, 96)
        assert float(stream.average_rate) == 25
        assert float(stream.duration * stream.time_base) == pytest.approx(12 / 25)
    kinds = [kind for kind, _ in boxes(path.read_bytes())]
    assert kinds.index(b"moov") < kinds.index(b"mdat")


def test_an_mp4_shows_the_pictures_in_their_colours(tmp_path: Path) -> None:
    frames = pictures(12)
    shown = decode(write(tmp_path / "edit.mp4", frames, hold=0))
    assert len(shown) == 12
    for wanted, got in zip(frames, shown, strict=True):
        assert np.abs(wanted.astype(int) - got).mean() < 4


def test_first_and_last_picture_stand_for_a_second(tmp_path: Path) -> None:
    frames = pictures(12)
    shown = decode(write(tmp_path / "edit.mp4", frames, fps=25, hold=1.0))
    assert len(shown) == 24 + 12 + 24
    for still, picture in ((shown[:25], frames[0]), (shown[-25:], frames[-1])):
        assert all(np.abs(picture.astype(int) - s).mean() < 4 for s in still)


def test_an_odd_size_is_made_even_by_repeating_the_border(tmp_path: Path) -> None:
    frames = pictures(3, 95, 127)
    shown = decode(write(tmp_path / "edit.mp4", frames, hold=0))
    assert shown[0].shape == (96, 128, 3)
    assert np.abs(frames[0].astype(int) - shown[0][:95, :127]).mean() < 4


def test_an_mp4_carries_the_mark_in_the_box_players_skip(tmp_path: Path) -> None:
    path = write(tmp_path / "edit.mp4", pictures(3))
    marks = [body for kind, body in boxes(path.read_bytes()) if kind == b"uuid"]
    assert [uuid.UUID(bytes=mark[:16]) for mark in marks] == [XMP_BOX]
    assert GENERATED in marks[0][16:].decode()
    with av.open(str(path), options={"export_xmp": "1"}) as container:
        assert GENERATED in container.metadata["xmp"]


def test_a_gif_plays_for_ever_at_a_size_one_can_send(tmp_path: Path) -> None:
    frames = pictures(20, 600, 1200)
    path = write(tmp_path / "edit.gif", frames, fps=25, hold=1.0)
    with Image.open(path) as image:
        assert image.format == "GIF"
        assert image.size == (512, 256)
        assert image.info["loop"] == 0
        assert image.n_frames == 11 + 10 + 1 + 11  # of 20 at 25/s every second, and the last
        assert image.info["duration"] == 80
        image.seek(image.n_frames - 1)
        last = np.array(image.convert("RGB").resize((1200, 600)))
    assert np.abs(frames[-1].astype(int) - last).mean() < 8


def test_a_gif_carries_the_mark_where_xmp_belongs(tmp_path: Path) -> None:
    path = write(tmp_path / "edit.gif", pictures(3))
    with Image.open(path) as image:
        image.seek(image.n_frames - 1)
    data = path.read_bytes()
    start = data.index(b"\x21\xff\x0bXMP DataXMP") + 14
    assert GENERATED in data[start:].split(b"\x01\xff\xfe")[0].decode()
    # A reader that knows nothing of XMP walks the extension as sub-blocks and must come out at the file's trailer.
    at = start
    while data[at]:
        at += 1 + data[at]
    assert data[at:] == b"\x00;"


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_the_file_appears_when_it_is_finished_and_not_before(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"edit{suffix}"
    writer = VideoWriter(path)
    for frame in pictures(4):
        writer.add(frame)
    assert not path.exists()
    writer.close()
    writer.close()
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_a_discarded_video_leaves_nothing(tmp_path: Path, suffix: str) -> None:
    writer = VideoWriter(tmp_path / f"edit{suffix}")
    writer.add(pictures(1)[0])
    writer.discard()
    VideoWriter(tmp_path / f"empty{suffix}").close()
    assert list(tmp_path.iterdir()) == []


def test_pictures_of_different_sizes_do_not_go_into_one_video(tmp_path: Path) -> None:
    for suffix in (".mp4", ".gif"):
        writer = VideoWriter(tmp_path / f"edit{suffix}")
        writer.add(pictures(1)[0])
        with pytest.raises(ValueError, match="96, 128, 3"):
            writer.add(pictures(1, 64, 64)[0])
        writer.discard()


def test_a_name_or_folder_that_cannot_be_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"ends with \.mp4 or \.gif"):
        VideoWriter(tmp_path / "edit.avi")
    for suffix in (".mp4", ".gif"):
        with pytest.raises(UserError, match=r"cannot write .*missing"):
            VideoWriter(tmp_path / "missing" / f"edit{suffix}").add(pictures(1)[0])
