"""The film of an edit: H.264 in MP4, or an animated GIF; either says in its metadata that it is synthetic."""

from __future__ import annotations

import contextlib
import math
import struct
import uuid
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import av
import av.filter
import cv2
import numpy as np

from draggan_runtime.errors import UserError
from draggan_runtime.files import part_path, replacing, unwritable
from draggan_runtime.pictures import Pixels, xmp_packet

SUFFIXES = (".mp4", ".gif")
GIF_SIDE = 512  # px, the longer side at most
GIF_FPS = 12.5

_H264 = ("libx264", "libopenh264", "h264_videotoolbox")
_ITU709 = 1
_OTHER = 12.0  # mean difference in colour, of 255, from which a GIF's picture is another one
_XMP_BOX = uuid.UUID("BE7ACFCB-97A9-42E8-9C71-999491E3AFAC").bytes  # XMP specification part 3, MPEG-4


class _Film(Protocol):
    def add(self, image: Pixels, count: int = 1) -> None: ...

    def close(self) -> None: ...


class VideoWriter:
    """Writes pictures to ``path`` (``.mp4`` or ``.gif``) at ``fps`` pictures per second.

    The first and the last picture stand for ``hold`` seconds; the others equally long, if ``even``. The file appears
    under its name when :meth:`close` has finished it, never half-written; without a picture none appears. A GIF is at
    most 512 px and 12.5 pictures per second, leaving pictures out evenly. Raises UserError for another suffix and
    for a folder that cannot be written.
    """

    def __init__(self, path: Path | str, fps: int = 25, hold: float = 1.0, even: bool = True) -> None:
        self.path = Path(path)
        self._gif = self.path.suffix.lower() == ".gif"
        if self.path.suffix.lower() not in SUFFIXES:
            raise UserError(f"cannot write {path}: a video's name ends with {' or '.join(SUFFIXES)}")
        self._every = math.ceil(fps / GIF_FPS) if self._gif else 1
        self._fps = Fraction(fps, self._every)
        self._even = even
        self._held = max(0, round(hold * self._fps) - 1)
        self._film: _Film | None = None
        self._count = 0
        self._last: Pixels | None = None
        self._left_out = False
        self._shape: tuple[int, ...] = ()

    def add(self, image: Pixels, count: int = 1) -> None:
        """Append ``image`` uint8 RGB ``[H, W, 3]``; all have the size of the first, or ValueError.

        It stands for ``count`` pictures: it is written once and shown that long.
        """
        if self._film is None:
            self._film, self._shape = self._open(image), image.shape
            for _ in range(self._held):
                self._film.add(image)
        if image.shape != self._shape:
            raise ValueError(f"the video's pictures are {list(self._shape)}, not {list(image.shape)}")
        kept = -(-(self._count + count) // self._every) - -(-self._count // self._every)
        if kept:
            self._film.add(image, kept)
        self._last, self._left_out = image, not kept
        self._count += count

    def close(self) -> None:
        """Finish the file. A second call does nothing."""
        film, self._film = self._film, None
        if film is None or self._last is None:
            return
        with replacing(self.path) as part:
            for _ in range(self._held + self._left_out):
                film.add(self._last)
            film.close()
            (_mark_gif if self._gif else _mark_mp4)(part)

    def discard(self) -> None:
        """Give up: leaves no file. Does nothing after :meth:`close`."""
        film, self._film = self._film, None
        if film is not None:
            with contextlib.suppress(OSError, av.FFmpegError):
                film.close()
            part_path(self.path).unlink(missing_ok=True)

    def _open(self, image: Pixels) -> _Film:
        part = part_path(self.path)
        try:
            part.touch()  # PyAV opens the file only when it has something to write
            return _Gif(part, image, self._fps) if self._gif else _Mp4(part, image, self._fps, self._even)
        except OSError as error:
            raise unwritable(self.path, error) from error


class _Mp4:
    def __init__(self, path: Path, image: Pixels, fps: Fraction, even: bool) -> None:
        codec = h264_encoder()
        self._container = av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"})
        self._container.metadata["comment"] = "synthetic"
        options = {"crf": "18", "preset": "fast"} if codec == "libx264" else {}
        if not even:
            options["bf"] = (
                "0"  # pictures in another order than shown confuse players where they stand differently long
            )
        self._stream: Any = self._container.add_stream(codec, rate=fps, options=options)
        height, width = image.shape[:2]
        self._stream.width, self._stream.height = width + width % 2, height + height % 2
        self._stream.pix_fmt = "yuv420p"
        if codec != "libx264":
            self._stream.bit_rate = 12 * width * height
        context = self._stream.codec_context
        # Said outright, since players guess by the picture's height.
        context.colorspace = context.color_primaries = context.color_trc = _ITU709
        context.color_range = 1
        self._time_base = 1 / fps
        self._index = 0
        self._durations: dict[int, int] = {}

    def add(self, image: Pixels, count: int = 1) -> None:
        height, width = image.shape[:2]
        even = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = av.VideoFrame.from_ndarray(even, format="rgb24").reformat(
            format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG"
        )
        frame.pts, frame.time_base = self._index, self._time_base
        self._durations[self._index] = count
        self._index += count
        self._mux(self._stream.encode(frame))

    def close(self) -> None:
        self._mux(self._stream.encode(None))
        self._container.close()

    def _mux(self, packets: Any) -> None:
        for packet in packets:  # the encoder knows no durations; without them the last picture would not stand
            packet.duration = self._durations.pop(round(packet.pts * packet.time_base / self._time_base), 1) * round(
                self._time_base / packet.time_base
            )
            self._container.mux(packet)


class _Gif:
    """A palette from the first picture, and ordered dither, so that still parts stay still; a new one for another."""

    def __init__(self, path: Path, image: Pixels, fps: Fraction) -> None:
        scale = min(1.0, GIF_SIDE / max(image.shape[:2]))
        self._size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
        self._delay = max(2, round(100 / fps))  # 1/100 s, GIF's unit
        self._container = av.open(str(path), "w", format="gif", options={"loop": "0"})
        self._stream: Any = self._container.add_stream("gif", rate=Fraction(100, self._delay))
        self._stream.width, self._stream.height = self._size
        self._stream.pix_fmt = "pal8"
        self._time_base = Fraction(1, 100)
        self._stream.codec_context.time_base = self._time_base
        self._index = 0
        self._colours(image)

    def _frame(self, image: Pixels) -> Any:
        small = cv2.resize(image, self._size, interpolation=cv2.INTER_AREA)
        frame = av.VideoFrame.from_ndarray(np.asarray(small, dtype=np.uint8), format="rgb24")
        frame.pts, frame.time_base = self._index * self._delay, self._time_base
        return frame

    def _colours(self, image: Pixels) -> None:
        """Choose a palette for pictures like this one."""
        self._like = _gist(image)
        palette = _palette(self._frame(image))
        graph = av.filter.Graph()
        width, height = self._size
        source = graph.add_buffer(width=width, height=height, format="rgb24", time_base=self._time_base)
        colours = graph.add_buffer(
            width=palette.width, height=palette.height, format=palette.format.name, time_base=self._time_base
        )
        use = graph.add("paletteuse", "dither=bayer:bayer_scale=4:diff_mode=rectangle")
        sink = graph.add("buffersink")
        source.link_to(use, 0, 0)
        colours.link_to(use, 0, 1)
        use.link_to(sink)
        graph.configure()
        palette.pts, palette.time_base = 0, self._time_base
        colours.push(palette)
        colours.push(None)
        self._graph, self._source, self._sink = graph, source, sink

    def _push(self, frame: Any) -> None:
        self._source.push(frame)
        for coloured in _pull(self._sink):
            self._container.mux(self._stream.encode(coloured))

    def add(self, image: Pixels, count: int = 1) -> None:
        if np.abs(_gist(image) - self._like).mean() > _OTHER:
            self._push(None)
            self._colours(image)
        frame = self._frame(image)
        self._index += count
        self._push(frame)

    def close(self) -> None:
        self._push(None)
        self._container.mux(self._stream.encode(None))
        self._container.close()


def _gist(image: Pixels) -> Any:
    """What a picture's colours are, roughly."""
    return cv2.resize(image, (8, 8), interpolation=cv2.INTER_AREA).astype(np.float32)


def _palette(frame: Any) -> Any:
    graph = av.filter.Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format="rgb24", time_base=Fraction(1, 100))
    graph.link_nodes(source, graph.add("palettegen", "reserve_transparent=1"), graph.add("buffersink")).configure()
    graph.push(frame)
    graph.push(None)
    return graph.pull()


def _pull(sink: Any) -> Iterator[Any]:
    with contextlib.suppress(av.BlockingIOError, av.EOFError):
        while True:
            yield sink.pull()


def h264_encoder() -> str:
    """The first H.264 encoder of this PyAV that opens. Raises UserError if it has none."""
    for name in _H264:
        with contextlib.suppress(av.FFmpegError, ValueError):
            context: Any = av.CodecContext.create(name, "w")
            context.width = context.height = 64
            context.pix_fmt = "yuv420p"
            context.time_base = Fraction(1, 25)
            context.open()
            return name
    raise UserError("this PyAV has no H.264 encoder: install the 'av' wheel, or write a .gif")


def _mark_mp4(path: Path) -> None:
    """Append the XMP packet in a top-level box of its own (XMP specification part 3, MPEG-4)."""
    packet = xmp_packet().encode()
    with path.open("ab") as file:
        file.write(struct.pack(">I4s", 8 + len(_XMP_BOX) + len(packet), b"uuid") + _XMP_BOX + packet)


def _mark_gif(path: Path) -> None:
    """Put the XMP packet into an application extension before the trailer (XMP specification part 3, GIF).

    The packet is not cut into sub-blocks: whichever of its bytes a reader takes for a length leads it into
    the descending bytes after it, which lead to the end.
    """
    with path.open("r+b") as file:
        file.seek(-1, 2)
        if file.read(1) != b";":
            raise ValueError(f"{path} does not end as a GIF does")
        file.seek(-1, 2)
        file.write(b"\x21\xff\x0bXMP DataXMP" + xmp_packet().encode())
        file.write(b"\x01" + bytes(range(255, -1, -1)) + b"\x00;")
