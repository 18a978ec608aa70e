"""Latents from seeds, and latents that were saved."""

import numpy as np
import pytest
from draggan_nodes.inversion.latent import LatentSource, LatentSourceParams

from draggan_runtime.errors import UserError
from draggan_runtime.messages import LatentRequest
from draggan_runtime.node import Context, NoState, Turn


def answer(request, **params):
    node = LatentSource(LatentSourceParams(**params), Context("source"))
    turn = Turn(request.session, request.step, {"request": request}, NoState())
    node.step([turn])
    if turn.failure:
        raise turn.failure
    [(port, latent)] = turn.emitted
    assert port == "latent"
    return latent


def test_a_seed_gives_the_z_of_the_published_tools():
    latent = answer(LatentRequest(session="s", seed=7, truncation_psi=0.5))
    assert latent.space == "z"
    assert latent.truncation_psi == 0.5
    assert latent.values.dtype == np.float32
    np.testing.assert_array_equal(latent.values, np.random.RandomState(7).randn(1, 512)[0].astype(np.float32))


def test_z_has_the_length_that_the_model_wants():
    assert answer(LatentRequest(session="s", seed=7), z_dim=64).values.shape == (64,)


def test_a_saved_latent_goes_through_unchanged():
    w_plus = np.random.RandomState(0).randn(23, 512).astype(np.float32)
    latent = answer(LatentRequest(session="s", step=12, w_plus=w_plus))
    assert (latent.space, latent.session, latent.step) == ("w_plus", "s", 12)
    assert latent.values is w_plus


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"seed": 1, "w_plus": np.zeros((23, 512))},
        {"photo": np.zeros((80, 80, 3)), "w_plus": np.zeros((23, 512))},
        {"seed": -1},
        {"seed": 2**32},
    ],
)
def test_a_request_that_makes_no_latent_is_a_user_error(request_):
    with pytest.raises(UserError):
        answer(LatentRequest(session="s", **request_))


def test_a_photo_that_comes_with_its_latent_is_not_searched_and_that_it_cannot_be_placed_is_said():
    given = np.zeros((80, 80, 3), np.uint8), np.zeros((23, 512), np.float32), np.eye(2, 3)
    request = LatentRequest(session="s", photo=given[0], w_plus=given[1], placement=given[2])
    turn = Turn("s", 0, {"request": request}, NoState())
    LatentSource(LatentSourceParams(), Context("source")).step([turn])
    assert [port for port, _ in turn.emitted] == ["latent", "notice"]
    assert "inversion/latent takes none" in turn.emitted[1][1].text
