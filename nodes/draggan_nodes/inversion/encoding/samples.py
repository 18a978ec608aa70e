"""What the encoder learns from: pictures of the model, and the w's they were made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch

from draggan_nodes.inversion.encoding.network import GROUPS, groups, seen
from draggan_nodes.inversion.network import Invertible

#: Truncation is drawn from this range: photos lie farther from the mean than the faces that are shown by default.
PSI = (0.5, 1.0)
#: How often each finer group has a w of its own (style mixing, Karras et al. 2019, section 3.1).
MIXED = 0.3


@dataclass(frozen=True)
class Samples:
    """N pictures, uint8 ``[N, 3, h, w]`` at the size the encoder looks at, and their w ``[N, GROUPS, w_dim]``."""

    pictures: torch.Tensor
    w: torch.Tensor

    @classmethod
    def joined(cls, parts: Sequence[Samples]) -> Samples:
        """All of them, in order."""
        return cls(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(cls)))


@torch.no_grad()
def sample(network: Invertible, number: int) -> Samples:
    """The ``number``-th picture to learn from; none that a seed gives."""
    draw = np.random.default_rng([1, number])
    psi = float(draw.uniform(*PSI))
    z = torch.from_numpy(draw.standard_normal((GROUPS, network.z_dim), dtype=np.float32))
    drawn = network.mapping(z, psi)[:, 0]
    which = np.maximum.accumulate([0, *(i if draw.random() < MIXED else 0 for i in range(1, GROUPS))])
    w = drawn[torch.from_numpy(which)]
    picture = seen(network.image(w[groups(network.num_ws)][None]).clamp(-1, 1))
    return Samples(picture.add(1).mul(127.5).round().byte().cpu(), w[None].cpu())
