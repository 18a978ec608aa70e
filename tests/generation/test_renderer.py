"""Pictures of latents."""

import numpy as np
import torch
from draggan_nodes.generation.renderer import Renderer, RendererParams

from draggan_runtime.messages import Latent
from draggan_runtime.node import Context, Turn
from draggan_runtime.pictures import to_uint8


def test_pixels_are_rounded_and_clamped():
    x = torch.tensor([-2, -1, -1 + 0.6 / 127.5, 0, 1 - 0.4 / 127.5, 1, 2]).expand(3, 1, 7)
    assert to_uint8(x)[0, :, 0].tolist() == [0, 0, 1, 128, 255, 255, 255]


def test_a_latent_becomes_a_picture():
    node = Renderer(RendererParams(), Context("renderer"))
    node.configure()
    w_plus = node.network.mapping(torch.randn(1, 512, generator=torch.Generator().manual_seed(0)), 0.7)[0]
    turn = Turn(
        "s", 5, {"latent": Latent(session="s", step=5, space="w_plus", values=w_plus.numpy())}, node.new_state()
    )
    node.step([turn])
    [(port, frame)] = turn.emitted
    assert (port, frame.session, frame.step) == ("frame", "s", 5)
    assert frame.image.shape == (1024, 1024, 3)
    assert frame.image.dtype == np.uint8
    assert frame.image.flags.c_contiguous
    expected = (node.network.image(w_plus[None])[0].permute(1, 2, 0).clamp(-1, 1).numpy() + 1) * 127.5
    assert np.abs(frame.image - expected).max() <= 0.51
