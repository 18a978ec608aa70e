"""Make the pictures of docs/photos.md: python docs/photo_pictures.py PHOTO... [FOLDER]

Each photo is inverted by the preset, from the mean face, then made to smile, and turned; each edit is pasted back.
Takes minutes a photo.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

import draggan_runtime as draggan
from draggan_runtime.inversion_files import scores
from draggan_runtime.perception.face_landmarks import landmarks

HERE = Path(__file__).parent
HEIGHT = 360
#: px of the model's picture; the corners of the mouth go out and up, the nose to the right.
SMILE, TURN = (26, -20), (45, 0)
NOSE, MOUTH = 33, (48, 54)


def pairs(picture: np.ndarray) -> dict[str, list[draggan.api.Pair]]:
    """The drags of a face, by where its landmarks are."""
    found = landmarks(picture)
    if found is None:
        raise SystemExit("no face in the picture of the latent")
    nose, left, right = (found[i] for i in (NOSE, *MOUTH))
    out = np.array(SMILE)
    return {
        "smile": [(tuple(left), tuple(left + out * (-1, 1))), (tuple(right), tuple(right + out))],
        "turn": [(tuple(nose), tuple(nose + TURN))],
    }


def row(photo: Path, folder: Path) -> None:
    """The piece, the picture of what was found for it, and the photo after each edit."""
    with draggan.open(photo=photo, set=["source.encoder=no"]) as session:
        piece, picture = np.asarray(session.app.placed.piece), session.image()
        print(photo, scores(piece, picture))
        shown = [piece, picture]
        for name, points in pairs(picture).items():
            result = session.drag(points, max_steps=150)
            print(f"  {name}: {result.stopped} after {result.steps} steps")
            shown.append(session.photo())
            session.undo()
    tiles = [Image.fromarray(tile) for tile in shown]
    tiles = [t.resize((round(t.width * HEIGHT / t.height), HEIGHT), Image.Resampling.LANCZOS) for t in tiles]
    path = folder / f"photo-{photo.stem}.jpg"
    Image.fromarray(np.hstack([np.asarray(tile) for tile in tiles])).save(path, quality=84, optimize=True)
    print(f"  {path}")


if __name__ == "__main__":
    given = [Path(argument) for argument in sys.argv[1:]]
    target = given.pop() if given and given[-1].is_dir() else HERE / "images"
    for each in given:
        row(each, target)
