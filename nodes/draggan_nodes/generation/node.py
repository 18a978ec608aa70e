"""The generator as a node: holds each session's latent, gives its features, follows gradients back to it."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, cast

import torch
from pydantic import Field

from draggan_nodes.generation.adam import Moments, adam, no_moments
from draggan_nodes.generation.latents import moved, prior_gradient, to_tensor, to_w_plus
from draggan_nodes.generation.pace import pace
from draggan_nodes.generation.passes import Look, Pass, Wish, grouped, look, warm_up
from draggan_nodes.generation.protocol import GeneratorNetwork
from draggan_nodes.generation.regions import Regions, box, regions_for, whole_map, windows, with_more
from draggan_nodes.generation.styles import Styles
from draggan_nodes.generation.tuned import OwnNetwork
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
    TunedWeights,
)
from draggan_runtime.node import Need, Node, NodeParams, Turn, event, latched


class GeneratorParams(NodeParams):
    model: str = Field("ffhq", description="the model's name, see `draggan models list`")
    space: Literal["auto", "w", "w_plus"] = Field(
        "auto",
        description="what a drag moves: one w shared by the coarse slots, or each slot's own; "
        "auto: w_plus with a mask, w without",
    )
    slots: int | None = Field(None, ge=1, description="how many of the first slots move; unset: the model's")
    learning_rate: float = Field(3e-3, gt=0, description="Adam's step size, of w; if whitened, of its spread")
    masked_learning_rate: float | None = Field(
        None, gt=0, description="the step size if there is a mask; unset: learning_rate"
    )
    whitened: Literal["never", "auto", "always"] = Field(
        "never",
        description="step as w varies: Adam on whitened w, with one second moment for all its coordinates; "
        "auto: if there is no mask",
    )
    prior: float = Field(
        0.05, ge=0, description="weight of the whitened distance from the picture's latent, in its standard deviations"
    )
    masked_prior: float | None = Field(None, ge=0, description="the prior's weight if there is a mask; unset: prior")
    near: float = Field(0.0, ge=0, description="px at 512 left on average below which steps get smaller; 0: never")
    sure: float = Field(0.0, ge=0, le=1, description="confidence on average below which steps get smaller; 0: never")
    beta1: float = Field(0.9, ge=0, lt=1, description="Adam's decay of the first moment")
    beta2: float = Field(0.999, ge=0, lt=1, description="Adam's decay of the second moment")
    epsilon: float = Field(1e-8, gt=0, description="Adam's guard against division by zero")
    batch: int = Field(
        8, ge=1, description="most sessions in one pass; 1: each by itself, bit for bit as if it were the only one"
    )
    whole_map: bool = Field(False, description="compute whole feature maps and cut the boxes: slow, to compare with")


@dataclass
class DragState:
    """A session's latent: ``start`` ``[num_ws, w_dim]``, and ``offset`` ``[1 or slots, w_dim]`` on its slots.

    ``origin`` names the latent that was set last; ``anchor`` ``[num_ws, w_dim]`` is the one that the prior stays near.
    ``reference``: this step's features are those of the drag's start. ``tuning`` names its picture's weights, of which
    ``own`` is the network. ``look``, and the ``kept`` styles of what does
    not move, are computed again if missing.
    """

    step: int = 0
    origin: str = ""
    anchor: torch.Tensor | None = None
    start: torch.Tensor | None = None
    offset: torch.Tensor | None = None
    slots: int = 0
    whitened: bool = False
    moments: Moments | None = None
    regions: Regions = field(default_factory=dict)
    reference: bool = False
    tuning: str = ""
    own: OwnNetwork = field(default_factory=OwnNetwork)
    look: Look | None = None
    kept: Styles | None = None

    @property
    def w_plus(self) -> torch.Tensor:
        """``[num_ws, w_dim]``. Raises DragganError if no latent has come yet."""
        if self.start is None:
            raise DragganError("the generator has no latent yet: ask for a seed or a saved latent first")
        return self.start if self.offset is None else moved(self.start, self.offset, self.slots)

    @property
    def distance(self) -> torch.Tensor:
        """``[slots, w_dim]``: how far the moved slots are from the anchor's."""
        assert self.anchor is not None
        return (self.w_plus - self.anchor)[: self.slots]


class Generator(Node):
    """Latent in, features out, gradients back; Adam on the latent (paper, section 3.2).

    Steps that are ``whitened`` are those of steepest descent where length is measured in standard deviations of w
    (Mahalanobis): what moves the handle is what moves it in other pictures too. A mask asks for moves that other
    pictures do not show. Only the moved slots are optimised; all others stay as they are, bit for bit. A goal
    on ``placed`` gives ``maps``, whole, of the latent as it is: for who judges points while no drag runs.
    """

    Params = GeneratorParams
    State = DragState
    fixed = frozenset({"model"})
    inputs = {
        "latent": event(Latent),
        "begin": event(Begin),
        "gradient": event(FeatureGradient),
        "boxes": event(NeedBoxes, optional=True),
        "placed": event(Goal, optional=True),
        "goal": latched(Goal, optional=True),
        "mask": latched(Mask, optional=True),
        "handles": latched(Handles, optional=True),
        "tuning": latched(TunedWeights, optional=True),
    }
    outputs = {"latent": Latent, "features": Features, "maps": Features}

    network: GeneratorNetwork

    @classmethod
    def prepare(cls, params: GeneratorParams) -> None:
        models.find(params.model).fetch()

    def configure(self) -> None:
        self.network = cast(GeneratorNetwork, models.find(self.params.model).load(self.context.device))
        self._check(self.params, self._needs)
        warm_up(self.context.device)

    def change(self, params: GeneratorParams) -> None:
        self._check(params, self._needs)
        super().change(params)

    def change_needs(self, needs: Mapping[str, tuple[Need, ...]]) -> None:
        self._check(self.params, needs.get("features", ()))
        super().change_needs(needs)

    @property
    def _needs(self) -> tuple[Need, ...]:
        return self.context.needs.get("features", ())

    @cached_property
    def _spread(self) -> torch.Tensor:
        """``[w_dim, w_dim]``: of ``x`` of unit variance, ``x @ _spread.T`` varies as w does."""
        spread: torch.Tensor = torch.linalg.inv(self.network.w_whitening.double())
        return spread.float()

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
        descending, looking = [], []
        for turn in turns:
            with turn.alone():
                if "latent" in turn.inputs:
                    self._set(turn, turn["latent"])
                elif "begin" in turn.inputs:
                    (self._resume if turn["begin"].resume else self._begin)(turn)
                    looking.append(turn)
                elif "gradient" in turn.inputs:
                    self._expect(turn, turn["gradient"])
                    descending.append(turn)
                elif "placed" in turn.inputs:
                    self._emit_maps(turn, turn["placed"])
                else:
                    self._add_boxes(turn, turn["boxes"])
                    looking.append(turn)
        self._descend(descending)
        looking += descending
        self._look(looking)
        for turn in _well(looking):
            self._emit_features(turn)

    def _set(self, turn: Turn, latent: Latent) -> None:
        state: DragState = turn.state
        start = to_w_plus(self.network, latent)
        origin = latent.origin or _origin(start) + latent.tuning
        anchor = state.anchor if origin == state.origin else start
        if latent.anchor is not None:
            anchor = to_w_plus(self.network, replace(latent, space="w_plus", values=latent.anchor))
        fresh = DragState(latent.step, origin, anchor, start, tuning=latent.tuning, own=state.own)
        vars(state).update(vars(fresh))
        self._own(turn)
        self._emit_latent(turn)

    def _own(self, turn: Turn) -> GeneratorNetwork:
        """The network of the session's picture. Raises UserError if what was tuned was another model."""
        state: DragState = turn.state
        return state.own.of(self.network, state.tuning, turn.get("tuning"))

    def _begin(self, turn: Turn) -> None:
        state: DragState = turn.state
        state.start = state.w_plus
        state.slots = self.params.slots or self.network.coarse_slots
        free = self.params.space == "w_plus" or (self.params.space == "auto" and _masked(turn))
        state.offset = torch.zeros_like(state.start[: state.slots if free else 1])
        state.whitened = {"never": False, "auto": not _masked(turn), "always": True}[self.params.whitened]
        state.moments = no_moments(state.offset)
        state.kept = None
        state.reference = True
        # Handles of an earlier drag may still be latched; a drag begins at the user's.
        self._around(turn, {})

    def _resume(self, turn: Turn) -> None:
        """An interrupted drag goes on: what was sent of this step is sent again."""
        self._emit_latent(turn)

    def _expect(self, turn: Turn, gradient: FeatureGradient) -> None:
        state: DragState = turn.state
        if gradient.step != state.step or state.offset is None or state.moments is None:
            raise DragganError(f"gradient of step {gradient.step}, but the latent is at step {state.step}")

    def _descend(self, turns: Sequence[Turn]) -> None:
        self._look(turns)
        passes: dict[Pass, list[Turn]] = {}
        for turn in _well(turns):
            with turn.alone():
                turn.state.look.check(turn["gradient"])
                passes.setdefault(turn.state.look.at, []).append(turn)
        for at, members in passes.items():
            with _together(members):
                slopes = at.pull({turn.state.look.row: turn["gradient"] for turn in members})
                distances = torch.stack([turn.state.distance for turn in members])
                priors = prior_gradient(distances, self.network.w_whitening)
                for turn, prior in zip(members, priors, strict=True):
                    with turn.alone():
                        shared = len(turn.state.offset) == 1
                        prior = prior.sum(dim=0, keepdim=True) if shared else prior
                        self._move(
                            turn,
                            slopes[turn.state.look.row]
                            + _masked_or(turn, self.params.masked_prior, self.params.prior) * prior,
                        )

    def _move(self, turn: Turn, slope: torch.Tensor) -> None:
        """One step of Adam; what is read at the next step."""
        state: DragState = turn.state
        if not torch.isfinite(slope).all():
            raise DragganError(f"the gradient of step {state.step} is not finite; the latent stays as it was")
        assert state.offset is not None
        assert state.moments is not None
        handles: Handles | None = turn.get("handles")
        step, state.moments = adam(
            slope @ self._spread if state.whitened else slope,
            state.moments,
            learning_rate=_masked_or(turn, self.params.masked_learning_rate, self.params.learning_rate)
            * pace(turn.get("goal"), handles, self.params.near, self.params.sure),
            betas=(self.params.beta1, self.params.beta2),
            epsilon=self.params.epsilon,
            isotropic=state.whitened,
        )
        state.offset = state.offset + (step @ self._spread.T if state.whitened else step)
        state.step += 1
        state.reference = False
        self._emit_latent(turn)
        self._around(turn, handles.positions if handles else {})

    def _add_boxes(self, turn: Turn, request: NeedBoxes) -> None:
        state: DragState = turn.state
        if request.step != state.step:
            raise DragganError(f"boxes of step {request.step} wanted, but the latent is at step {state.step}")
        if request.level not in self.network.levels:
            raise UserError(f"boxes of level '{request.level}' wanted, which the model does not have")
        state.regions = with_more(state.regions, request)
        state.look = None

    def _around(self, turn: Turn, tracked: Mapping[int, XY]) -> None:
        """What is read of the latent as it is now: features around the handles."""
        goal: Goal | None = turn.get("goal")
        handles = [tracked.get(p.id, p.handle) for p in goal.points] if goal else []
        turn.state.regions = regions_for(self._needs, handles, self.network.size, masked=_masked(turn))
        turn.state.look = None

    def _look(self, turns: Sequence[Turn]) -> None:
        """Forward passes for those turns that have none, or whose pass another session has used up."""
        missing, wishes = [], []
        for turn in _well(turns):
            if turn.state.look is None or turn.state.look.at.pulled:
                with turn.alone():
                    wishes.append(self._wish(turn))
                    missing.append(turn)
        for group in grouped([wish.kind for wish in wishes], self.params.batch):
            members = [missing[i] for i in group]
            with _together(members):
                looks = look([wishes[i] for i in group], whole=self.params.whole_map)
                for turn, seen in zip(members, looks, strict=True):
                    turn.state.look = seen

    def _wish(self, turn: Turn) -> Wish:
        state: DragState = turn.state
        start = state.w_plus if state.start is None or state.offset is None else state.start
        offset = torch.zeros_like(start[:1]) if state.offset is None else state.offset
        if state.kept is None:
            state.kept = Styles(start[None], state.slots)
        cells = windows(state.regions, self.network.levels, self.network.size)
        return Wish(self._own(turn), start, offset, state.slots, state.kept, cells)

    def _emit_latent(self, turn: Turn) -> None:
        state: DragState = turn.state
        turn.emit(
            "latent",
            Latent(
                session=turn.session,
                step=state.step,
                space="w_plus",
                values=state.w_plus,
                origin=state.origin,
                tuning=state.tuning,
            ),
        )

    def _emit_features(self, turn: Turn) -> None:
        state: DragState = turn.state
        features = Features(
            session=turn.session,
            step=state.step,
            size=self.network.size,
            levels=state.look.boxes if state.look else {},
            reference=state.reference,
        )
        turn.emit("features", features)

    def _emit_maps(self, turn: Turn, goal: Goal) -> None:
        """Of the levels that are read and that the model has."""
        state: DragState = turn.state
        network, size = self._own(turn), self.network.size
        wanted = {need.level for need in self.context.needs.get("maps", ())} & network.levels.keys()
        if state.start is None or not goal.points or not wanted:
            return
        with torch.no_grad():
            maps = network.features(state.w_plus[None], wanted)
        levels: dict[str, Boxes] = {}
        for name in wanted:
            known = network.levels[name]
            levels[name] = (box(maps[name][0], whole_map(known, size), known, size),)
        turn.emit("maps", Features(session=turn.session, step=state.step, size=size, levels=levels))

    def rest(self, state: DragState) -> None:
        """Of a masked session that is a whole map and its graph: 37 MB for ffhq, 144 for stylegan2:1024."""
        state.look = None

    def snapshot(self, state: DragState) -> dict[str, Any]:
        moments = state.moments
        return {
            "step": state.step,
            "origin": state.origin,
            "anchor": state.anchor,
            "start": state.start,
            "offset": state.offset,
            "slots": state.slots,
            "whitened": state.whitened,
            "moments": moments and [moments.first, moments.second, moments.count],
            "regions": state.regions,
            "reference": state.reference,
            "tuning": state.tuning,
        }

    def restore(self, data: Mapping[str, Any]) -> DragState:
        def tensor(values: Any) -> torch.Tensor | None:
            return None if values is None else to_tensor(values, self.network.w_mean)

        tensors = {name: tensor(data.get(name)) for name in ("anchor", "start", "offset")}
        state = DragState(**{**data, **tensors})
        if data["moments"] is not None:
            first, second, count = data["moments"]
            state.moments = Moments(tensor(first), tensor(second), count)  # type: ignore[arg-type]
        return state


def _masked_or(turn: Turn, masked: float | None, otherwise: float) -> float:
    """The one for a masked drag, if there is a mask and it is set."""
    return masked if masked is not None and _masked(turn) else otherwise


def _masked(turn: Turn) -> bool:
    mask: Mask | None = turn.get("mask")
    return mask is not None and mask.movable is not None


def _origin(w_plus: torch.Tensor) -> str:
    """A name for a latent, the same wherever and whenever it is set."""
    return hashlib.blake2b(w_plus.cpu().numpy().tobytes(), digest_size=8).hexdigest()


def _well(turns: Iterable[Turn]) -> list[Turn]:
    """Those that have not failed."""
    return [turn for turn in turns if turn.failure is None]


@contextlib.contextmanager
def _together(turns: Sequence[Turn]) -> Iterator[None]:
    """What is raised within fails these turns, and no others of the step."""
    try:
        yield
    except Exception as error:
        for turn in turns:
            turn.fail(error)
