"""What an inversion leaves in its folder: latent, tuned weights, pictures to compare, session and result.json."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from draggan_runtime import tensor_files
from draggan_runtime.api import Inversion, Session
from draggan_runtime.edit_files import RESULT, SESSION
from draggan_runtime.errors import UserError
from draggan_runtime.files import write_atomically
from draggan_runtime.messages import TunedWeights
from draggan_runtime.perception import vgg
from draggan_runtime.pictures import COMPOSITE, Pixels, save_png

LATENT = "latent.npy"
#: Only where weights were tuned.
TUNING = "tuning.safetensors"
FILES = (SESSION, LATENT, TUNING, "piece.png", "reconstruction.png", "side-by-side.png", RESULT)


def write(session: Session, inversion: Inversion, photo: Path, out: Path) -> dict[str, Any]:
    """Write an inversion's files to ``out``, and give what ``result.json`` holds.

    Raises UserError if the folder cannot be written.
    """
    session.save(out / SESSION)
    buffer = io.BytesIO()
    np.save(buffer, inversion.w_plus, allow_pickle=False)
    write_atomically(out / LATENT, buffer.getvalue())
    tuning = session.record.tuning
    if tuning is not None:
        tensor_files.write(out / TUNING, _factors(tuning), {"model": session.record.model, "name": tuning.name})
    else:
        (out / TUNING).unlink(missing_ok=True)
    save_png(out / "piece.png", inversion.piece, source="")
    save_png(out / "reconstruction.png", inversion.picture)
    save_png(out / "side-by-side.png", np.hstack([inversion.piece, inversion.picture]), source=COMPOSITE)
    written: dict[str, Any] = {
        "model": session.record.model,
        "photo": photo.name,
        "steps": inversion.steps,
        "seconds": round(inversion.seconds, 3),
        "compared_by": inversion.by,
        "distance": round(inversion.distance, 4),
        **scores(inversion.piece, inversion.picture),
        "photo_to_picture": inversion.matrix.tolist(),
    }
    if inversion.warnings:
        written["warnings"] = list(inversion.warnings)
    write_atomically(out / RESULT, (json.dumps(written, indent=2) + "\n").encode())
    return written


def _factors(tuning: TunedWeights) -> dict[str, torch.Tensor]:
    """By weight ``NAME.up`` and ``NAME.down``, whose product is added to it."""
    ups = {f"{name}.up": torch.as_tensor(up) for name, (up, _) in tuning.factors.items()}
    return ups | {f"{name}.down": torch.as_tensor(down) for name, (_, down) in tuning.factors.items()}


def scores(photo: Pixels, picture: Pixels) -> dict[str, float]:
    """How like a photo a picture of its size is: PSNR in dB, and hed-vgg16's distance if its network can be had."""
    error = np.mean(np.square(photo.astype(np.float32) - picture))
    found = {"psnr": round(float(10 * np.log10(255**2 / max(error, 1e-9))), 2)}
    with contextlib.suppress(UserError):
        found["hed_vgg16_distance"] = round(vgg.distance(vgg.features(photo), vgg.features(picture)), 4)
    return found
