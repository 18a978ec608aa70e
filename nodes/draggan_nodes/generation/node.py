"""The generator as a node: holds each session's latent, gives its features, follows gradients back to it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import torch
from pydantic import Field

from draggan_nodes.generation.adam import Moments, adam, no_moments
from draggan_nodes.generation.latents import moved, prior_gradient, to_tensor, to_w_plus
from draggan_nodes.generation.protocol import GeneratorNetwork
from draggan_nodes.generation.regions import Regions, box, regions_for, whole_map, windows, with_more
from draggan_nodes.generation.styles import Styles
from draggan_runtime import models
from draggan_runtime.errors import DragganError, UserError
from draggan_runtime.messages import (
    XY,
    Begin,
    Boxes,
    FeatureGradient,
    Features,
    Goal,
    Handles,
    Latent,
    Mask,
    NeedBoxes,
)
from draggan_runtime.node import Need, Node, NodeParams, Turn, event, latched
from draggan_runtime.threads import at_most

#: Products of a forward pass below which a second thread would gain little. On two cores, 64 map of the default model,
#: one point (1.5e8): 12 ms with one thread, 9.5 with two; with a busy process beside it 13 and 250.
LIGHT = 400_000_000


class GeneratorParams(NodeParams):
    model: str = Field("ffhq", description="the model's name, see `draggan models list`")
    space: Literal["auto", "w", "w_plus"] = Field(
        "auto",
        description="what a drag moves: one w shared by the coarse slots, or each slot's own; "
        "auto: w_plus with a mask, w without",
    )
    slots: int | None = Field(None, ge=1, description="how many of the first slots move; unset: the model's")
    learning_rate: float = Field(3e-3, gt=0, description="Adam's step size")
    prior: float = Field(0.05, ge=0, description="weight of the mean squared whitened offset from the start")
    beta1: float = Field(0.9, ge=0, lt=1, description="Adam's decay of the first moment")
    beta2: float = Field(0.999, ge=0, lt=1, description="Adam's decay of the second moment")
    epsilon: float = Field(1e-8, gt=0, description="Adam's guard against division by zero")
    whole_map: bool = Field(False, description="compute whole feature maps and cut the boxes: slow, to compare with")


@dataclass
class Pass:
    """A forward pass whose graph is kept: its leaf; by level the values of the boxes sent, and these boxes.

    ``threads``: with how many its backward pass should run; None: as many as there are.
    """

    offset: torch.Tensor
    values: dict[str, list[torch.Tensor]]
    boxes: dict[str, Boxes]
    threads: int | None


@dataclass
class DragState:
    """A session's latent: ``start`` ``[num_ws, w_dim]``, and ``offset`` ``[1 or slots, w_dim]`` on its slots.

    ``origin`` names the latent that was set last. ``reference``: this step's features are those of the drag's start.
    ``forward``, and the ``kept`` styles of what does not move, are computed again if missing.
    """

    step: int = 0
    origin: str = ""
    start: torch.Tensor | None = None
    offset: torch.Tensor | None = None
    slots: int = 0
    moments: Moments | None = None
    regions: Regions = field(default_factory=dict)
    reference: bool = False
    forward: Pass | None = None
    kept: Styles | None = None

    @property
    def w_plus(self) -> torch.Tensor:
        """``[num_ws, w_dim]``. Raises DragganError if no latent has come yet."""
        if self.start is None:
            raise DragganError("the generator has no latent yet: ask for a seed or a saved latent first")
        return self.start if self.offset is None else moved(self.start, self.offset, self.slots)


class Generator(Node):
    """Latent in, features out, gradients back; Adam on the latent (paper, section 3.2).

    Only the moved slots are optimised; all others stay as they are, bit for bit.
    """

    Params = GeneratorParams
    State = DragState
    fixed = frozenset({"model"})
    inputs = {
        "latent": event(Latent),
        "begin": event(Begin),
        "gradient": event(FeatureGradient),
        "boxes": event(NeedBoxes, optional=True),
        "goal": latched(Goal, optional=True),
        "mask": latched(Mask, optional=True),
        "handles": latched(Handles, optional=True),
    }
    outputs = {"latent": Latent, "features": Features}

    network: GeneratorNetwork

    @classmethod
    def prepare(cls, params: GeneratorParams) -> None:
        models.find(params.model).fetch()

    def configure(self) -> None:
        self.network = cast(GeneratorNetwork, models.find(self.params.model).load(self.context.device))
        self._check(self.params, self._needs)

    def change(self, params: GeneratorParams) -> None:
        self._check(params, self._needs)
        super().change(params)

    def change_needs(self, needs: Mapping[str, tuple[Need, ...]]) -> None:
        self._check(self.params, needs.get("features", ()))
        super().change_needs(needs)

    @property
    def _needs(self) -> tuple[Need, ...]:
        return self.context.needs.get("features", ())

    def _check(self, params: GeneratorParams, needs: Sequence[Need]) -> None:
        for need in needs:
            if need.level not in self.network.levels:
                raise UserError(
                    f"model '{self.network.name}' has no feature level '{need.level}'; "
                    f"it has {', '.join(self.network.levels)}"
                )
        if params.slots is not None and params.slots > self.network.num_ws:
            raise UserError(f"slots is {params.slots}, but the model has {self.network.num_ws}")

    def step(self, turns: Sequence[Turn]) -> None:
        for turn in turns:
            if "latent" in turn.inputs:
                self._set(turn, turn["latent"])
            elif "begin" in turn.inputs:
                (self._resume if turn["begin"].resume else self._begin)(turn)
            elif "gradient" in turn.inputs:
                self._descend(turn, turn["gradient"])
            else:
                self._add_boxes(turn, turn["boxes"])

    def _set(self, turn: Turn, latent: Latent) -> None:
        state: DragState = turn.state
        start = to_w_plus(self.network, latent)
        vars(state).update(vars(DragState(step=latent.step, origin=_origin(start), start=start)))
        self._emit_latent(turn)

    def _begin(self, turn: Turn) -> None:
        state: DragState = turn.state
        state.start = state.w_plus
        state.slots = self.params.slots or self.network.coarse_slots
        free = self.params.space == "w_plus" or (self.params.space == "auto" and _masked(turn))
        state.offset = torch.zeros_like(state.start[: state.slots if free else 1])
        state.moments = no_moments(state.offset)
        state.kept = None
        state.reference = True
        # Handles of an earlier drag may still be latched; a drag begins at the user's.
        self._look(turn, {})

    def _resume(self, turn: Turn) -> None:
        """An interrupted drag goes on: what was sent of this step is sent again."""
        self._emit_latent(turn)
        self._emit_features(turn)

    def _descend(self, turn: Turn, gradient: FeatureGradient) -> None:
        state: DragState = turn.state
        if gradient.step != state.step or state.offset is None or state.moments is None:
            raise DragganError(f"gradient of step {gradient.step}, but the latent is at step {state.step}")
        forward = self._forward(state)
        _check_layout(forward.boxes, gradient)
        state.forward = None
        slope = _pull(forward, gradient)
        slope = slope + self.params.prior * prior_gradient(state.offset, self.network.w_whitening)
        if not torch.isfinite(slope).all():
            raise DragganError(f"the gradient of step {state.step} is not finite; the latent stays as it was")
        state.offset, state.moments = adam(
            state.offset,
            slope,
            state.moments,
            learning_rate=self.params.learning_rate,
            betas=(self.params.beta1, self.params.beta2),
            epsilon=self.params.epsilon,
        )
        state.step += 1
        state.reference = False
        handles: Handles | None = turn.get("handles")
        self._emit_latent(turn)
        self._look(turn, handles.positions if handles else {})

    def _add_boxes(self, turn: Turn, request: NeedBoxes) -> None:
        state: DragState = turn.state
        if request.step != state.step:
            raise DragganError(f"boxes of step {request.step} wanted, but the latent is at step {state.step}")
        if request.level not in self.network.levels:
            raise UserError(f"boxes of level '{request.level}' wanted, which the model does not have")
        state.regions = with_more(state.regions, request)
        state.forward = None
        self._emit_features(turn)

    def _look(self, turn: Turn, tracked: Mapping[int, XY]) -> None:
        """Features of the latent as it is now, around the handles."""
        goal: Goal | None = turn.get("goal")
        handles = [tracked.get(p.id, p.handle) for p in goal.points] if goal else []
        turn.state.regions = regions_for(self._needs, handles, self.network.size, masked=_masked(turn))
        turn.state.forward = None
        self._emit_features(turn)

    def _forward(self, state: DragState) -> Pass:
        if state.forward is None:
            start = state.w_plus if state.start is None or state.offset is None else state.start
            offset = torch.zeros_like(start[:1]) if state.offset is None else state.offset
            leaf = offset.detach().requires_grad_()
            if state.kept is None:
                state.kept = Styles(start[None], state.slots)
            styles = Styles(moved(start, leaf, state.slots)[None], state.slots, state.kept)
            size, levels = self.network.size, self.network.levels
            wanted = windows(state.regions, levels, size)
            # The whole map is computed if it is wanted besides.
            more = {name: [whole_map(levels[name], size)] if self.params.whole_map else [] for name in wanted}
            asked = {name: [[*of, *more[name]]] for name, of in wanted.items()}
            threads = 1 if self.network.products(asked) < LIGHT else None
            with at_most(threads):
                computed = self.network.boxes(styles, asked)
            values = {name: computed[name][0][: len(of)] for name, of in wanted.items()}
            boxes = {
                name: tuple(
                    box(part, window, levels[name], size)
                    for part, window in zip(values[name], wanted[name], strict=True)
                )
                for name in wanted
            }
            state.forward = Pass(leaf, values, boxes, threads)
        return state.forward

    def _emit_latent(self, turn: Turn) -> None:
        state: DragState = turn.state
        latent = Latent(session=turn.session, step=state.step, space="w_plus", values=state.w_plus, origin=state.origin)
        turn.emit("latent", latent)

    def _emit_features(self, turn: Turn) -> None:
        state: DragState = turn.state
        features = Features(
            session=turn.session,
            step=state.step,
            size=self.network.size,
            levels=self._forward(state).boxes,
            reference=state.reference,
        )
        turn.emit("features", features)

    def snapshot(self, state: DragState) -> dict[str, Any]:
        moments = state.moments
        return {
            "step": state.step,
            "origin": state.origin,
            "start": state.start,
            "offset": state.offset,
            "slots": state.slots,
            "moments": moments and [moments.first, moments.second, moments.count],
            "regions": state.regions,
            "reference": state.reference,
        }

    def restore(self, data: Mapping[str, Any]) -> DragState:
        def tensor(values: Any) -> torch.Tensor | None:
            return None if values is None else to_tensor(values, self.network.w_mean)

        state = DragState(**{**data, "start": tensor(data["start"]), "offset": tensor(data["offset"])})
        if data["moments"] is not None:
            first, second, count = data["moments"]
            state.moments = Moments(tensor(first), tensor(second), count)  # type: ignore[arg-type]
        return state


def _masked(turn: Turn) -> bool:
    mask: Mask | None = turn.get("mask")
    return mask is not None and mask.movable is not None


def _origin(w_plus: torch.Tensor) -> str:
    """A name for a latent, the same wherever and whenever it is set."""
    return hashlib.blake2b(w_plus.cpu().numpy().tobytes(), digest_size=8).hexdigest()


def _pull(forward: Pass, gradient: FeatureGradient) -> torch.Tensor:
    """The gradient with respect to the offset, from that with respect to the boxes. Frees the graph."""
    pairs = [
        (values, to_tensor(part, values))
        for name, parts in gradient.levels.items()
        for values, part in zip(forward.values[name], parts, strict=True)
        if part is not None
    ]
    if not pairs:
        return torch.zeros_like(forward.offset)
    values, slopes = zip(*pairs, strict=True)
    with at_most(forward.threads):
        return torch.autograd.grad(values, forward.offset, slopes)[0]


def _check_layout(boxes: Mapping[str, Boxes], gradient: FeatureGradient) -> None:
    """Raises DragganError if the gradient is not one of these boxes."""
    for name, parts in gradient.levels.items():
        sent = [tuple(box.values.shape) for box in boxes.get(name, ())]
        came = [None if part is None else tuple(part.shape) for part in parts]
        if len(sent) != len(came) or any(c not in (None, s) for s, c in zip(sent, came, strict=True)):
            raise DragganError(f"the gradient of level '{name}' has boxes {came}, but {sent} were sent")
