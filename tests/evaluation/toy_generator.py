"""A generator whose pictures slide: what a move of w does to them is known exactly."""

from __future__ import annotations

import torch
from torch.nn.functional import grid_sample, interpolate

SIDE = 128
#: px at 512 by which the picture slides, right and down, for one of w's first two numbers.
SLIDE = 30.0


class SlidingGenerator:
    """Noise of a few px, which slides by the first two numbers of slot 0; the other numbers do nothing."""

    sha256 = "sliding"
    z_dim = w_dim = 6
    num_ws, coarse_slots = 4, 2
    w_mean = torch.zeros(6)
    w_whitening = torch.eye(6)

    def __init__(self) -> None:
        noise = torch.randn(1, 1, 24, 24, generator=torch.Generator().manual_seed(3))
        self._noise = interpolate(noise, (2 * SIDE, 2 * SIDE), mode="bicubic").clamp(-2, 2) / 2
        self.drawn = 0

    def mapping(self, z, truncation_psi=1.0):
        return (truncation_psi * z)[:, None].expand(-1, self.num_ws, -1).contiguous()

    def image(self, w_plus):
        self.drawn += 1
        x = (torch.arange(SIDE) + 0.5) / SIDE - 0.5  # the middle half of the noise, each edge half as long
        grid = torch.stack(torch.meshgrid(x, x, indexing="xy"), -1)
        return grid_sample(self._noise, (grid - w_plus[0, 0, :2] * SLIDE / 512)[None], align_corners=False).expand(
            -1, 3, -1, -1
        )
