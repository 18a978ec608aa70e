"""What tuned weights are of a network: its own, and a change of low rank."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from draggan_runtime.errors import UserError
from draggan_runtime.messages import TunedWeights
from draggan_runtime.wire import to_host


def changes_of(
    tuning: TunedWeights, tunable: Mapping[str, tuple[int, int]], like: torch.Tensor
) -> dict[str, torch.Tensor]:
    """By weight what is added to it, ``[outputs, inputs]``, with the dtype and device of ``like``.

    ``tunable``: of the network, by weight (outputs, inputs). Raises UserError if the changes are another model's.
    """
    changes = {}
    for name, pair in tuning.factors.items():
        up, down = (torch.from_numpy(np.array(to_host(m))).to(like) for m in pair)
        fits = up.dim() == down.dim() == 2 and up.shape[1] == down.shape[0]
        if not fits or tunable.get(name) != (up.shape[0], down.shape[1]):
            raise UserError(f"weights that were tuned as '{name}' do not fit this model; they are of another one")
        changes[name] = up @ down
        if not torch.isfinite(changes[name]).all():
            raise UserError("the tuned weights hold values that are not finite numbers")
    return changes
