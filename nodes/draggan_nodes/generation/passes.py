"""Forward passes of one session or of several together, whose graphs are kept until their backward pass.

Sessions of one pass share its layers, and the reading of the weights, but neither latents nor windows; what each gets
is what it would get alone, up to rounding.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch

from draggan_nodes.generation.latents import moved, to_tensor
from draggan_nodes.generation.protocol import GeneratorNetwork, Window
from draggan_nodes.generation.regions import box, whole_map
from draggan_nodes.generation.styles import Styles
from draggan_runtime.errors import DragganError
from draggan_runtime.messages import Boxes, FeatureGradient
from draggan_runtime.threads import at_most

#: Products of a forward pass below which a second thread would gain little. On two cores, 64 map of the default model,
#: one point (1.5e8): 12 ms with one thread, 9.5 with two; with a busy process beside it 13 and 250.
#: A step whose tracker looks at the picture, one point (4.5e8): 66 and 60; beside busy processes 66 and 130 to 200.
LIGHT = 500_000_000
#: A session that wants more than this part of a map computes all of it.
_MOST = 0.25


@dataclass(frozen=True)
class Wish:
    """What a session wants computed.

    Of ``network``: ``start`` ``[num_ws, w_dim]`` with ``offset`` ``[1 or slots, w_dim]`` on its slots; by level,
    ``windows`` of its map; ``kept``: the styles of ``start`` that the offset leaves as they are.
    """

    network: GeneratorNetwork
    start: torch.Tensor
    offset: torch.Tensor
    slots: int
    kept: Styles
    windows: Mapping[str, Sequence[Window]]

    @property
    def kind(self) -> Hashable:
        """Wishes of one kind may share a pass; None: better alone.

        Whole maps keep a CPU busy as they are: eight of the 64 map of the default model take 8.7 times as long as one.
        """
        levels = []
        for name, wanted in self.windows.items():
            everything = _area(whole_map(self.network.levels[name], self.network.size))
            crowded = sum(map(_area, wanted)) > _MOST * everything
            if crowded and self.start.device.type == "cpu":
                return None
            levels.append((name, crowded))
        return id(self.network), self.slots, len(self.offset), tuple(levels)


class Pass:
    """A forward pass: of each session, by level, the windows' values; differentiable in its offset until pulled once.

    ``wishes`` are of one kind. ``whole``: compute whole maps and cut the windows out of them.
    """

    def __init__(self, wishes: Sequence[Wish], *, whole: bool = False) -> None:
        network, slots = wishes[0].network, wishes[0].slots
        self._leaves = [wish.offset.detach().requires_grad_() for wish in wishes]
        w_plus = [moved(wish.start, leaf, slots) for wish, leaf in zip(wishes, self._leaves, strict=True)]
        styles = Styles(torch.stack(w_plus), slots, *(wish.kept for wish in wishes))
        # The whole map is computed if it is wanted besides.
        more = {n: [whole_map(network.levels[n], network.size)] if whole else [] for n in wishes[0].windows}
        asked = {n: [[*wish.windows[n], *more[n]] for wish in wishes] for n in more}
        self._threads = 1 if network.products(asked) < LIGHT else None
        with at_most(self._threads):
            computed = network.boxes(styles, asked)
        self._values: list[dict[str, list[torch.Tensor]]] | None = [
            {name: computed[name][row][: len(of)] for name, of in wish.windows.items()}
            for row, wish in enumerate(wishes)
        ]

    def values(self, row: int) -> dict[str, list[torch.Tensor]]:
        """Of a session, by level, the windows' values ``[C, h, w]``. Raises RuntimeError if pulled already."""
        if self._values is None:
            raise RuntimeError("this pass has had its backward pass")
        return self._values[row]

    @property
    def pulled(self) -> bool:
        """True if the backward pass has been, and the graph is gone: for those that took no part too."""
        return self._values is None

    def pull(self, gradients: Mapping[int, FeatureGradient]) -> dict[int, torch.Tensor]:
        """By row of the sessions in ``gradients``, the gradient with respect to its offset. Frees the graph."""
        pairs = [
            (values, to_tensor(part, values))
            for row, gradient in gradients.items()
            for name, parts in gradient.levels.items()
            for values, part in zip(self.values(row)[name], parts, strict=True)
            if part is not None
        ]
        self._values = None
        leaves = {row: self._leaves[row] for row in gradients}
        if not pairs:
            return {row: torch.zeros_like(leaf) for row, leaf in leaves.items()}
        values, slopes = zip(*pairs, strict=True)
        del pairs
        with at_most(self._threads):
            found = torch.autograd.grad(values, list(leaves.values()), slopes)
        return dict(zip(leaves, found, strict=True))


@dataclass(frozen=True)
class Look:
    """A session's part in a pass: the pass, its row there, and by level the boxes sent."""

    at: Pass
    row: int
    boxes: dict[str, Boxes]

    def check(self, gradient: FeatureGradient) -> None:
        """Raises DragganError if ``gradient`` is not one of these boxes."""
        for name, parts in gradient.levels.items():
            sent = [tuple(box.values.shape) for box in self.boxes.get(name, ())]
            came = [None if part is None else tuple(part.shape) for part in parts]
            if len(sent) != len(came) or any(c not in (None, s) for s, c in zip(sent, came, strict=True)):
                raise DragganError(f"the gradient of level '{name}' has boxes {came}, but {sent} were sent")


def look(wishes: Sequence[Wish], *, whole: bool = False) -> list[Look]:
    """A pass of ``wishes`` of one kind, as each session sees it."""
    made = Pass(wishes, whole=whole)
    return [Look(made, row, _boxes(wish, made.values(row))) for row, wish in enumerate(wishes)]


def grouped(kinds: Sequence[Hashable], most: int) -> list[list[int]]:
    """Indices of equal ``kinds`` together, up to ``most``, in groups of about equal size; those of None alone."""
    by_kind: dict[Hashable, list[int]] = {}
    for i, kind in enumerate(kinds):
        by_kind.setdefault(("alone", i) if kind is None else ("kind", kind), []).append(i)
    groups = []
    for members in by_kind.values():
        count = -(-len(members) // most)
        edges = (len(members) * n // count for n in range(count + 1))
        groups += [members[a:b] for a, b in pairwise(edges)]
    return groups


def _boxes(wish: Wish, values: Mapping[str, Sequence[torch.Tensor]]) -> dict[str, Boxes]:
    network = wish.network
    return {
        name: tuple(
            box(part, window, network.levels[name], network.size) for part, window in zip(values[name], of, strict=True)
        )
        for name, of in wish.windows.items()
    }


def _area(window: Window) -> int:
    return (window.bottom - window.top) * (window.right - window.left)


def warm_up(device: str) -> None:
    """The first gradient of a process makes torch import for 0.3 s: not in somebody's drag."""
    leaf = torch.ones(1, device=device, requires_grad=True)
    torch.autograd.grad([2 * leaf], [leaf], [torch.ones(1, device=device)])
