"""Pictures for the report, with places drawn on them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from draggan_runtime.pictures import Pixels

Places = Sequence[Sequence[float]]


def drawn(picture: Pixels, dots: Places = (), rings: Places = ()) -> Pixels:
    """With a white dot at each place found, a blue ring where it should be, and a line from one to the other."""
    canvas = Image.fromarray(picture)
    draw = ImageDraw.Draw(canvas)
    r = 4 if max(len(dots), len(rings)) <= 8 else 2
    for (x, y), (tx, ty) in zip(dots, rings, strict=False):
        draw.line((x, y, tx, ty), fill=(255, 255, 255), width=1)
    for x, y in rings:
        draw.ellipse((x - r - 2, y - r - 2, x + r + 2, y + r + 2), outline=(40, 120, 255), width=2)
    for x, y in dots:
        draw.ellipse((x - r, y - r, x + r, y + r), fill=(255, 255, 255), outline=(0, 0, 0))
    return np.asarray(canvas)
