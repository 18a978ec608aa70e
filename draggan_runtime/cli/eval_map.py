"""``draggan eval train-map``: what the row ``learned-map`` of the tables needs."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from draggan_runtime import models
from draggan_runtime.cli.train import carry_out


def train_map(
    model: Annotated[str, typer.Option(help="Model; see draggan models list.")] = "ffhq",
    faces: Annotated[int, typer.Option(min=1, help="Random faces to learn from.")] = 240,
) -> None:
    """Learn from a model's own pictures what to do to w so that points move as asked: the method learned-map.

    \b
    draggan eval train-map
    draggan eval landmarks --method none --method learned-map --out out/eval

    Ctrl-C keeps the faces that are made, and the same command goes on from there. The map goes to the user's cache.
    """
    from draggan_runtime.evaluation.learned_map import files
    from draggan_runtime.evaluation.learned_map.training import Training

    source = models.find(model)
    licence = f"{source.info.licence}; made from the model {model}"
    training = Training(source.load("cpu"), files.path(model), faces, {"licence": licence})
    if not training.finished:
        print(f"draggan: licence of the map: {licence}", file=sys.stderr)
        carry_out(training, "faces")
    print(training.file)
