"""Training a model's encoder: pictures, which are kept until it is learned, then the network, step by step."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import affine_grid, avg_pool2d, grid_sample

from draggan_nodes.inversion.encoding import files
from draggan_nodes.inversion.encoding.network import Encoder
from draggan_nodes.inversion.encoding.samples import Samples, sample
from draggan_runtime import models, tensor_files

SAMPLES, STEPS, BATCH = 6000, 4000, 32
LEARNING_RATE, WEIGHT_DECAY = 1e-3, 0.01
#: The part of the training in which the learning rate rises.
RISE = 0.05
#: Of the pictures the last are kept to see how well it does on new ones: one in so many.
HELD_OUT = 20
#: Steps between two checkpoints, and between two looks at what was held out.
KEEP, LOOK = 200, 100
#: How a picture is changed before it is shown: alignment is not exact, photos are blurred and noisy, light differs.
SHIFT, SCALE, TURN, NOISE, LIGHT = 0.02, 0.03, 0.04, 0.04, 0.08


class Training:
    """Of the encoder of a ``model``: go through :meth:`sample`, then :meth:`learn`, which ends by writing it.

    Either can be left at any step: another Training of the same settings goes on, and ends in the same encoder.
    """

    def __init__(self, model: str, samples: int = SAMPLES, steps: int = STEPS) -> None:
        source = models.find(model)
        self.licence = f"{source.info.licence}; made from the model {model}"
        self.samples, self.steps = samples, steps
        self.file = files.path(model)
        self._model = model
        self._about = {
            "format": files.FORMAT,
            "sha256": source.info.sha256,
            "samples": str(samples),
            "steps": str(steps),
            "licence": self.licence,
        }
        self._parts = self.file.with_name(f"{self.file.stem}-{files.FORMAT}-{source.info.sha256[:8]}.parts")
        self.curve = files.curve_of(tensor_files.said(self.file)["curve"]) if self.finished else []

    @property
    def finished(self) -> bool:
        """True if the file is there already, of these settings."""
        said = tensor_files.said(self.file)
        return {name: said.get(name) for name in self._about} == self._about

    def sample(self) -> Iterator[int]:
        """Make the pictures that are missing; yields how many there are."""
        network: Any = None
        for number in range(self.samples):
            if not self._part(number).is_file():
                network = network or models.find(self._model).load("cpu")
                tensor_files.write(self._part(number), asdict(sample(network, number)), {})
            yield number + 1

    def learn(self) -> Iterator[tuple[int, float]]:
        """Train the network; yields how many steps are made, and the part of w's variance unexplained as last seen.

        AdamW (Loshchilov and Hutter 2019); the loss is the squared error of w, in all groups of slots.
        """
        made = Samples.joined([Samples(**tensor_files.read(self._part(n))) for n in range(self.samples)])
        kept = max(1, self.samples // HELD_OUT)
        shown, held = (Samples(made.pictures[s], made.w[s]) for s in (slice(0, -kept), slice(-kept, None)))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            encoder = Encoder.of_generator(models.find(self._model).load("cpu"))
        optimiser = torch.optim.AdamW(encoder.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        begun = self._go_on(encoder, optimiser)
        for number in range(begun + 1, self.steps + 1):
            draw = torch.Generator().manual_seed(number)
            which = torch.randint(len(shown.w), (BATCH,), generator=draw)
            optimiser.zero_grad()
            answer = encoder.train()(changed(shown.pictures[which], draw))
            error = (answer - shown.w[which]).square().sum(-1).mean()
            error.backward()
            for group in optimiser.param_groups:
                group["lr"] = LEARNING_RATE * rate(number / self.steps)
            optimiser.step()
            if number % LOOK == 0 or number == self.steps:
                self.curve.append((number, unexplained(encoder, held)))
            if number % KEEP == 0:
                self._keep(encoder, optimiser, number)
            yield number, self.curve[-1][1] if self.curve else 1.0
        files.write(self._model, encoder, self._about, self.curve)
        shutil.rmtree(self._parts, ignore_errors=True)

    def _part(self, number: int) -> Path:
        return self._parts / f"{number}.safetensors"

    @property
    def _checkpoint(self) -> Path:
        return self._parts / f"learning-{self.samples}-{self.steps}.safetensors"

    def _keep(self, encoder: Encoder, optimiser: torch.optim.Optimizer, number: int) -> None:
        """Write down where the training is."""
        tensors = {f"encoder.{name}": value for name, value in encoder.state_dict().items()}
        for index, state in optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{name}": value for name, value in state.items()}
        tensor_files.write(self._checkpoint, tensors, {"number": str(number), "curve": files.curve_text(self.curve)})

    def _go_on(self, encoder: Encoder, optimiser: torch.optim.Optimizer) -> int:
        """Take up what :meth:`_keep` wrote last; the number of steps made."""
        said = tensor_files.said(self._checkpoint)
        if not said:
            return 0
        tensors = tensor_files.read(self._checkpoint)
        encoder.load_state_dict({n.partition(".")[2]: t for n, t in tensors.items() if n.startswith("encoder.")})
        whole = optimiser.state_dict()
        for name, value in tensors.items():
            kind, index, key = (*name.split(".", 2), "")[:3]
            if kind == "optimiser":
                whole["state"].setdefault(int(index), {})[key] = value
        self.curve = files.curve_of(said["curve"])
        optimiser.load_state_dict(whole)
        return int(said["number"])


def rate(done: float) -> float:
    """The learning rate's factor when that part of the training is done: a rise, then a cosine."""
    return min(done / RISE, 0.5 * (1 + math.cos(math.pi * done)))


@torch.no_grad()
def unexplained(encoder: Encoder, samples: Samples) -> float:
    """The squared error of w as a part of its variance, over ``samples``, as they are."""
    batches = torch.arange(len(samples.w)).split(BATCH)  # type: ignore[no-untyped-call]
    answers = torch.cat([encoder.eval()(_floats(samples.pictures[batch])) for batch in batches])
    variance = (samples.w - encoder.w_mean).square().sum(-1).mean()
    return float((answers - samples.w).square().sum(-1).mean() / variance)


def changed(pictures: torch.Tensor, draw: torch.Generator) -> torch.Tensor:
    """uint8 ``[B, 3, h, w]`` as photos might show it: float, about [-1, 1], placed less exactly, blurred, noisy."""

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=draw)

    count = len(pictures)
    turn, scale = normal(count) * TURN, 1 + normal(count) * SCALE
    shift = normal(count, 2, 1) * 2 * SHIFT
    linear = torch.stack([turn.cos(), -turn.sin(), turn.sin(), turn.cos()], 1).view(-1, 2, 2) * scale[:, None, None]
    grid = affine_grid(torch.cat([linear, shift], 2), list(pictures.shape), align_corners=False)
    x = grid_sample(_floats(pictures), grid, padding_mode="reflection", align_corners=False)
    soft = avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
    x = x + (soft - x) * torch.rand(count, 1, 1, 1, generator=draw)
    x = x * (1 + normal(count, 1, 1, 1) * LIGHT) + normal(count, 3, 1, 1) * LIGHT / 2
    return x + normal(*x.shape) * NOISE * torch.rand(count, 1, 1, 1, generator=draw)


def _floats(pictures: torch.Tensor) -> torch.Tensor:
    return pictures.float() / 127.5 - 1
