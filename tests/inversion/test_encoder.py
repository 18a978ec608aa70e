"""The encoder: what it learns from, that training goes on where it was left, and what it is for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from draggan_nodes.generation.stylegan2 import StyleGAN2
from draggan_nodes.generation.stylegan2_state import Architecture
from draggan_nodes.inversion.encoding import files, samples, training
from draggan_nodes.inversion.encoding.network import GROUPS, Encoder, groups, seen
from draggan_nodes.inversion.encoding.samples import Samples
from draggan_nodes.inversion.encoding.source import guess
from draggan_nodes.inversion.encoding.training import Training, changed, unexplained

import draggan_runtime as draggan
from draggan_runtime import models, tensor_files
from draggan_runtime.errors import DragganError, UserError

MODEL = "stylegan2:32"
LEVELS = ['tracker.level="32"', 'motion.level="32"', 'texture.level="32"']


@pytest.fixture(autouse=True)
def _narrow(monkeypatch):
    """A small encoder learns the same way."""
    monkeypatch.setattr("draggan_nodes.inversion.encoding.network.WIDTHS", (8, 16, 32))
    monkeypatch.setattr("draggan_nodes.inversion.encoding.network.LAST", 32)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DRAGGAN_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def network():
    return models.find(MODEL).load("cpu")


@pytest.fixture(scope="module")
def tiny():
    shape = Architecture(channels=(32, 24, 16, 12), mapping=(32, 32), z_dim=32)
    return StyleGAN2(shape.random_state(0), name="tiny", sha256="")


def trained(count: int = 6, steps: int = 5) -> Training:
    made = Training(MODEL, count, steps)
    assert list(made.sample()) == list(range(1, count + 1))
    assert [step for step, _ in made.learn()][-1] == steps
    return made


def test_a_sample_is_the_picture_of_its_w(tiny):
    one = samples.sample(tiny, 5)
    w_plus = one.w[0][groups(tiny.num_ws)]
    picture = tiny.image(w_plus[None]).clamp(-1, 1)
    np.testing.assert_array_equal(one.pictures, ((picture + 1) * 127.5).round().byte())
    assert not torch.equal(one.w, samples.sample(tiny, 6).w)
    torch.testing.assert_close(samples.sample(tiny, 5).w, one.w, rtol=0, atol=0)


def test_some_samples_mix_styles_and_finer_groups_follow_coarser_ones(tiny):
    drawn = torch.cat([samples.sample(tiny, n).w for n in range(40)])
    middle, fine = ((drawn[:, i] != drawn[:, i - 1]).any(-1).float().mean() for i in (1, 2))
    assert 0.05 < middle < 0.6
    assert 0.05 < fine < 0.6


def test_slots_fall_into_groups_from_coarse_to_fine():
    assert groups(23).tolist() == sorted(groups(23).tolist())
    assert torch.bincount(groups(23)).tolist() == [8, 8, 7]
    assert len(torch.unique(groups(8))) == GROUPS


@pytest.mark.parametrize(
    ("height", "width", "looks"), [(1024, 1024, (128, 128)), (1024, 512, (128, 64)), (32, 32, (32, 32))]
)
def test_pictures_of_any_shape_are_looked_at(network, height, width, looks):
    picture = torch.rand(1, 3, height, width) * 2 - 1
    assert tuple(seen(picture).shape[2:]) == looks
    assert Encoder.of_generator(network).w_plus(picture, 8).shape == (1, 8, 512)


def test_an_encoder_learns_what_it_is_shown(tiny):
    shown = Samples.joined([samples.sample(tiny, n) for n in range(8)])
    torch.manual_seed(0)
    encoder = Encoder.of_generator(tiny)
    before = unexplained(encoder, shown)
    optimiser = torch.optim.Adam(encoder.parameters(), 1e-3)
    for _ in range(25):
        loss = (encoder.train()(shown.pictures.float() / 127.5 - 1) - shown.w).square().sum(-1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert unexplained(encoder, shown) < 0.5 * before


def test_what_is_unexplained_is_the_error_as_a_part_of_the_variance(tiny):
    shown = Samples.joined([samples.sample(tiny, n) for n in range(3)])
    encoder = Encoder.of_generator(tiny).eval()
    errors, spread = [], []
    for picture, w in zip(shown.pictures, shown.w, strict=True):
        answer = encoder(picture[None].float() / 127.5 - 1)[0].detach().double()
        errors.append(((answer - w) ** 2).sum().item())
        spread.append(((tiny.w_mean - w) ** 2).sum().item())
    assert unexplained(encoder, shown) == pytest.approx(sum(errors) / sum(spread), rel=1e-5)


def test_pictures_are_changed_as_photos_differ_but_little():
    picture = torch.from_numpy(np.kron(np.random.RandomState(0).randint(0, 256, (4, 3, 8, 8)), np.ones((8, 8)))).byte()
    plain = picture.float() / 127.5 - 1
    first, again, other = (changed(picture, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert not torch.equal(first, other)
    flat = torch.corrcoef(torch.stack([plain.flatten(), first.flatten()]))[0, 1]
    assert 0.6 < float(flat) < 0.999


def test_a_training_left_in_the_middle_ends_in_the_same_encoder(cache, monkeypatch):
    monkeypatch.setattr(training, "KEEP", 2)
    monkeypatch.setattr(training, "LOOK", 2)
    whole = trained(6, 5)
    encoder, curve = tensor_files.read(whole.file), whole.curve
    assert [step for step, _ in curve] == [2, 4, 5]
    assert list(whole.file.parent.iterdir()) == [whole.file]
    whole.file.unlink()
    first = Training(MODEL, 6, 5)
    for made in first.sample():
        if made == 3:
            break
    second = Training(MODEL, 6, 5)
    list(second.sample())
    for made, _ in second.learn():
        if made == 3:  # of which two are kept
            break
    third = Training(MODEL, 6, 5)
    list(third.sample())
    assert [made for made, _ in third.learn()] == [3, 4, 5]
    assert third.curve == curve
    torch.testing.assert_close(tensor_files.read(third.file), encoder, rtol=0, atol=0)
    assert Training(MODEL, 6, 5).finished
    assert Training(MODEL, 6, 5).curve == curve
    assert not Training(MODEL, 7, 5).finished


def test_an_encoder_is_of_its_model_and_says_whose_weights_it_came_from(cache, network):
    with pytest.raises(UserError, match=f"to train it: draggan train encoder --model {MODEL}"):
        files.load(MODEL)
    made = trained(3, 1)
    assert "made from the model stylegan2:32" in tensor_files.said(made.file)["licence"]
    picture = torch.rand(1, 3, 32, 32) * 2 - 1
    torch.testing.assert_close(guess(MODEL, network, picture), files.load(MODEL).w_plus(picture, network.num_ws)[0])
    tensor_files.write(made.file, tensor_files.read(made.file), {"format": files.FORMAT, "sha256": "another's"})
    with pytest.raises(UserError, match="train it again"):
        files.load(MODEL)


def test_the_guess_is_one_of_three_inversions_behind_one_port(cache, network):
    photo = np.random.RandomState(0).randint(0, 256, (64, 64, 3), np.uint8)
    settings = [*LEVELS, "source.impl=inversion/encoder", "source.perceptual=no", "source.cut=centre"]
    with (
        draggan.open(model=MODEL, set=settings) as session,
        pytest.raises(DragganError, match="no encoder has been trained"),
    ):
        session.invert(photo)
    trained(3, 1)
    with draggan.open(model=MODEL, set=settings) as session:
        found = session.invert(photo)
        assert found.steps == 1
        pixels = torch.from_numpy(found.piece).permute(2, 0, 1)[None].float() / 127.5 - 1
        np.testing.assert_allclose(found.w_plus, guess(MODEL, network, pixels), atol=1e-6)


def test_a_search_begins_at_the_guess_if_that_is_nearer(cache, network, monkeypatch):
    trained(3, 1)
    near = network.mapping(torch.from_numpy(np.random.RandomState(3).randn(1, 512).astype(np.float32)), 0.7)[0]
    monkeypatch.setattr("draggan_nodes.inversion.optimise.guess", lambda *_: near)
    settings = [
        *LEVELS,
        "source.impl=inversion/optimise",
        "source.perceptual=no",
        "source.cut=centre",
        "source.steps=1",
    ]
    with draggan.open(model=MODEL, seed=3, set=settings) as session:
        found = session.invert(session.image())
        np.testing.assert_allclose(found.w_plus, near, atol=1e-5)
