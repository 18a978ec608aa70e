"""Words on a picture: cached letters, lines that fit, a list of keys and meanings."""

from __future__ import annotations

import functools

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from draggan_runtime.pictures import Pixels

SMALLEST = 9  # px, of letters

Colour = tuple[int, int, int]
Ink = NDArray[np.uint8]


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def line_height(size: int) -> int:
    """px from a line to the next, for letters of ``size`` px."""
    return round(size * 1.4)


@functools.lru_cache(maxsize=256)
def width_of(text: str, size: int) -> int:
    """px that ``text`` is wide."""
    return round(_font(size).getlength(text))


def fitted(text: str, size: int, room: int, smallest: int = SMALLEST) -> tuple[str, int]:
    """``text`` and its size so that it is at most ``room`` px wide: smaller, then with an end cut off."""
    while size > smallest and width_of(text, size) > room:
        size -= 1
    if width_of(text, size) > room:
        while text and width_of(text + "...", size) > room:
            text = text[:-1]
        text += "..."
    return text, size


def fitted_end(text: str, size: int, room: int) -> str:
    """``text`` so that it is at most ``room`` px wide: with its beginning cut off."""
    if width_of(text, size) <= room:
        return text
    while text and width_of("..." + text, size) > room:
        text = text[1:]
    return "..." + text


def wrapped(text: str, size: int, room: int) -> list[str]:
    """``text`` in lines of at most ``room`` px; a word that is longer is broken."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if width_of(longer, size) <= room:
            lines[-1] = longer
            continue
        if lines[-1]:
            lines.append("")
        for letter in word:
            if lines[-1] and width_of(lines[-1] + letter, size) > room:
                lines.append("")
            lines[-1] += letter
    return lines


@functools.lru_cache(maxsize=128)
def ink(text: str, size: int) -> Ink:
    """How much each px of a line is covered by ``text``, uint8 ``[line_height, width]``. Not to be written to."""
    image = Image.new("L", (max(1, width_of(text, size) + 2), line_height(size)), 0)
    ImageDraw.Draw(image).text((0, line_height(size) / 2), text, font=_font(size), fill=255, anchor="lm")
    covered = np.array(image)
    covered.setflags(write=False)
    return covered


def write(image: Pixels, text: str, size: int, at: tuple[int, int], colour: Colour, opacity: float = 1.0) -> None:
    """Write a line into ``image``, its upper left corner ``at`` (x, y); what lies outside is left out."""
    covered = ink(text, size)
    x, y = at
    left, top = max(0, -x), max(0, -y)
    x, y = x + left, y + top
    covered = covered[top : top + max(0, image.shape[0] - y), left : left + max(0, image.shape[1] - x)]
    below = image[y : y + covered.shape[0], x : x + covered.shape[1]]
    if below.size:
        share = covered[..., None].astype(np.float32) * (opacity / 255)
        below[:] = (below + (np.array(colour, np.float32) - below) * share + 0.5).astype(np.uint8)


def tint(region: Pixels, colour: Colour, opacity: float) -> None:
    """Lay a colour over a part of a picture, in place."""
    region[:] = cv2.add(cv2.convertScaleAbs(region, alpha=1 - opacity), (*(c * opacity for c in colour), 0))


def key_list(image: Pixels, rows: tuple[tuple[str, str], ...], size: int, colours: tuple[Colour, Colour]) -> None:
    """Write ``rows`` of (key, meaning) over all of ``image``, as large as fits up to ``size``; in place."""
    height, width = image.shape[:2]

    def columns(size: int) -> tuple[int, int]:
        return max(width_of(key, size) for key, _ in rows), max(width_of(text, size) for _, text in rows)

    while size > SMALLEST and (sum(columns(size)) + 3 * size > width or len(rows) * line_height(size) + size > height):
        size -= 1
    keys, texts = columns(size)
    step = min(round(line_height(size) * 1.25), (height - size) // len(rows))
    x = max(size // 2, (width - keys - texts - size) // 2)
    y = (height - step * len(rows)) // 2
    for key, text in rows:
        write(image, key, size, (x + keys - width_of(key, size), y), colours[0])
        write(image, text, size, (x + keys + size, y), colours[1])
        y += step
