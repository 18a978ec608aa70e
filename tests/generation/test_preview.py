"""Previews: about the picture, for little, while a drag runs."""

import numpy as np
import pytest
import torch
from draggan_nodes.generation.preview import Preview, fit_readout
from draggan_nodes.generation.renderer import Renderer, RendererParams

from draggan_runtime.errors import UserError
from draggan_runtime.messages import Frame, Latent
from draggan_runtime.node import Context, Turn


def renderer(model="stylegan2:64", preview="16"):
    node = Renderer(RendererParams(model=model, preview=preview), Context("renderer"))
    node.configure()
    return node


class Session:
    def __init__(self, node):
        self.node, self.state = node, node.new_state()

    def send(self, port, w_plus, step, origin="a"):
        """What comes of a latent: its frame, or None."""
        latent = Latent(session="s", step=step, space="w_plus", values=w_plus, origin=origin)
        turn = Turn("s", step, {port: latent}, self.state)
        self.node.step([turn])
        assert [p for p, _ in turn.emitted] in ([], ["preview" if port == "preview" else "frame"])
        return turn.emitted[0][1] if turn.emitted else None


def latents(network, seeds):
    z = torch.stack([torch.randn(network.z_dim, generator=torch.Generator().manual_seed(n)) for n in seeds])
    return network.mapping(z, 0.7)


def toward(network, share, seeds=(7, 8)):
    """A latent whose coarse slots are on the way from one seed to another, as a drag's are."""
    start, other = latents(network, seeds)
    start = start.clone()
    start[: network.coarse_slots] += share * (other - start)[: network.coarse_slots]
    return start


def psnr(a, b, where=...):
    return 10 * np.log10(255**2 / np.mean((a[where].astype(float) - b[where]) ** 2))


@pytest.fixture(scope="module")
def face():
    """The default model: a full picture, one on the way from there, its preview and the full picture of that."""
    node = renderer("ffhq", "auto")
    session = Session(node)
    start, moved = latents(node.network, (7,))[0], toward(node.network, 0.4)
    first, preview = session.send("latent", start, 0), session.send("preview", moved, 9)
    return first, preview, session.send("latent", moved, 9)


def test_a_preview_shows_a_moved_face_where_it_is(face: tuple[Frame, Frame, Frame]):
    first, preview, full = face
    assert (preview.session, preview.step, preview.preview, full.preview) == ("s", 9, True, False)
    assert preview.image.shape == full.image.shape == (1024, 1024, 3)
    assert preview.image.dtype == np.uint8
    change = np.abs(full.image.astype(float) - first.image).mean(2)
    moved = change > 25
    assert 0.1 < moved.mean() < 0.9
    assert psnr(preview.image, full.image) > 24
    assert psnr(preview.image, full.image, moved) > psnr(first.image, full.image, moved) + 10
    # To a few pixels: shifted by a cell it fits worse.
    for shift in ((0, 16), (0, -16), (16, 0), (-16, 0)):
        off = np.roll(preview.image, shift, (0, 1))
        assert psnr(off, full.image, moved) < psnr(preview.image, full.image, moved) - 2


def test_what_stays_is_as_sharp_as_it_was(face: tuple[Frame, Frame, Frame]):
    node = renderer("ffhq", "auto")
    session = Session(node)
    first = session.send("latent", latents(node.network, (7,))[0], 0)
    hardly = session.send("preview", toward(node.network, 0.02), 1)
    assert psnr(hardly.image, first.image) > 30
    assert psnr(hardly.image, first.image) > psnr(face[1].image, face[2].image) + 5


def test_the_readout_is_the_ridge_regression_of_colours_on_features():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(40, 40, generator=generator) @ torch.randn(40, 300, generator=generator) + 3
    colours = torch.rand(3, 300, generator=generator) * 255
    ridge = 0.02
    fitted = fit_readout(features, colours, ridge)
    # The same as least squares with one more equation a feature, in float64.
    x, y = features.numpy().astype(float).T, colours.numpy().astype(float).T
    strength = ridge * x.var(0).mean() * len(x)
    rows = np.vstack(
        [np.hstack([x, np.ones((300, 1))]), np.hstack([np.sqrt(strength) * np.eye(40), np.zeros((40, 1))])]
    )
    expected = np.linalg.lstsq(rows, np.vstack([y, np.zeros((40, 3))]), rcond=None)[0]
    np.testing.assert_allclose(fitted.weights.numpy(), expected[:-1].T, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(fitted.offset.numpy(), expected[-1], rtol=1e-4)


def test_colours_that_are_linear_in_the_features_are_found_again():
    generator = torch.Generator().manual_seed(1)
    weights = torch.randn(3, 8, generator=generator) * 12
    maps = torch.randn(2, 8, 12, 20, generator=generator)  # wider than high

    def picture(features: torch.Tensor) -> np.ndarray:
        cells = (weights @ features.flatten(1)).reshape(3, 12, 20).permute(1, 2, 0) + 120
        return cells.clamp(0, 255).round().to(torch.uint8).numpy().repeat(4, 0).repeat(4, 1)

    preview = Preview(maps[0], picture(maps[0]))
    assert preview.picture(maps[0]).shape == (48, 80, 3)
    drawn, expected = preview.picture(maps[1]), picture(maps[1])
    middles = np.s_[2::4, 2::4]
    assert psnr(drawn[middles], expected[middles]) > psnr(picture(maps[0])[middles], expected[middles]) + 10


def test_the_latent_shown_in_full_has_no_preview():
    session = Session(renderer())
    moved = toward(session.node.network, 0.5)
    session.send("latent", latents(session.node.network, (7,))[0], 0)
    assert session.send("preview", moved, 5) is not None
    session.send("latent", moved, 5)
    assert session.send("preview", moved, 5) is None


def test_a_picture_is_never_previewed_from_another():
    session = Session(renderer())
    one, other = latents(session.node.network, (7, 8))
    assert session.send("preview", one, 0) is None
    session.send("latent", one, 0, "a")
    assert session.send("preview", other, 1, "b") is None
    assert session.send("preview", other, 1, "") is None
    session.send("latent", other, 0, "b")
    assert session.send("preview", other + 0.01, 1, "b") is not None
    assert session.send("preview", one, 2, "a") is None


def test_each_full_picture_is_where_previews_start_from():
    node = renderer()
    twice, once = Session(node), Session(node)
    start, on, end = (toward(node.network, share) for share in (0, 0.6, 0.7))
    for session, steps in ((twice, ((0, start), (6, on))), (once, ((6, on),))):
        for step, w_plus in steps:
            session.send("latent", w_plus, step)
            session.send("preview", w_plus + 0.01, step + 1)
    np.testing.assert_array_equal(twice.send("preview", end, 8).image, once.send("preview", end, 8).image)


def test_sessions_do_not_share_what_they_have_seen():
    node = renderer()
    one, other = Session(node), Session(node)
    w_plus = latents(node.network, (7,))[0]
    one.send("latent", w_plus, 0)
    assert other.send("preview", w_plus + 0.01, 1) is None


def test_a_restored_session_waits_for_its_next_full_picture():
    session = Session(renderer())
    w_plus = latents(session.node.network, (7,))[0]
    session.send("latent", w_plus, 0)
    session.state = session.node.restore(session.node.snapshot(session.state))
    assert session.send("preview", w_plus + 0.01, 1) is None
    session.send("latent", w_plus, 0)
    assert session.send("preview", w_plus + 0.01, 1) is not None


@pytest.mark.parametrize(("model", "level"), [("stylegan2:64", "64"), ("stylegan2:32", "32")])
def test_the_level_chosen_is_the_models_finest_up_to_64(model, level):
    one, other = Session(renderer(model, "auto")), Session(renderer(model, level))
    w_plus = latents(one.node.network, (7,))[0]
    for session in (one, other):
        session.send("latent", w_plus, 0)
    shown = one.send("preview", w_plus + 0.05, 1).image
    assert shown.shape == (int(level), int(level), 3)
    np.testing.assert_array_equal(shown, other.send("preview", w_plus + 0.05, 1).image)


def test_previews_can_be_turned_off_and_their_level_changed_while_running():
    session = Session(renderer())
    w_plus = latents(session.node.network, (7,))[0]
    session.send("latent", w_plus, 0)
    coarse = session.send("preview", w_plus + 0.05, 1)
    session.node.change(RendererParams(model="stylegan2:64", preview="none"))
    assert session.send("preview", w_plus + 0.05, 1) is None
    session.node.change(RendererParams(model="stylegan2:64", preview="32"))
    assert not np.array_equal(session.send("preview", w_plus + 0.05, 1).image, coarse.image)


@pytest.mark.parametrize("level", ["128", "rgb", "fine"])
def test_a_level_the_model_does_not_have_is_a_user_error(level):
    with pytest.raises(UserError, match=f"no feature level '{level}'.* it has 4, 8, 16, 32, 64$"):
        renderer(preview=level)
    node = renderer()
    with pytest.raises(UserError, match="no feature level"):
        node.change(RendererParams(model="stylegan2:64", preview=level))
