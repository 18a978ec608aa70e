"""``draggan train``: networks that learn from a model's own pictures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from draggan_runtime import heap, trainings
from draggan_runtime.cli.common import INTERRUPTED
from draggan_runtime.cli.progress import Watch, watched
from draggan_runtime.files import write_atomically
from draggan_runtime.trainings import Sampled


def train(
    name: Annotated[str, typer.Argument(help="What to train: encoder.")],
    model: Annotated[str, typer.Option(help="Model; see draggan models list.")] = "ffhq",
    samples: Annotated[int | None, typer.Option(min=2, help="Pictures to learn from.", show_default=False)] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps of learning.", show_default=False)] = None,
    curve: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="Also write how it went: step, part unexplained.")
    ] = None,
) -> None:
    """Train a network from a model's own pictures; it goes to the user's cache, under the model's licence.

    \b
    draggan train encoder                       the first guess of a photo's latent: draggan invert begins there
    draggan train encoder --model cats

    Ctrl-C keeps what is done, and the same command goes on from there, to the same result.
    """
    training = trainings.find(name, model, samples, steps)
    if not training.finished:
        print(f"draggan: licence of the {name}: {training.licence}", file=sys.stderr)
        carry_out(training, "pictures")
    if training.curve:
        print(f"{training.curve[-1][1]:.1%} unexplained in pictures that were held out")
    print(training.file)
    if curve is not None:
        rows = "".join(f"{step},{value:.5f}\n" for step, value in training.curve)
        write_atomically(curve, f"step,unexplained\n{rows}".encode())


def carry_out(training: Sampled, samples: str) -> None:
    """Sample and learn under bars, which Ctrl-C ends; ``samples`` says what is sampled."""
    heap.keep_freed()
    with watched(training.samples, "{task.completed}/{task.total}", "sampling") as watch:
        for made in training.sample():
            watch.show(made, samples)
            _go_on(watch)
    with watched(training.steps, "{task.completed}/{task.total}", "learning") as watch:
        for made, unexplained in training.learn():
            watch.show(made, f"steps, {unexplained:.0%} unexplained")
            _go_on(watch)


def _go_on(watch: Watch) -> None:
    if watch.interrupted:
        print("draggan: interrupted; the same command goes on from here", file=sys.stderr)
        raise typer.Exit(INTERRUPTED)
