"""The functional Adam, against torch.optim.Adam."""

import torch
from draggan_nodes.generation.adam import adam, no_moments


def test_updates_are_those_of_torch():
    random = torch.Generator().manual_seed(0)
    start = torch.randn(3, 7, generator=random, dtype=torch.float64)
    reference = start.clone().requires_grad_()
    optimiser = torch.optim.Adam([reference], lr=2e-3, betas=(0.8, 0.99), eps=1e-6)
    parameter, moments = start, no_moments(start)
    for _ in range(50):
        gradient = torch.randn(3, 7, generator=random, dtype=torch.float64) * parameter
        reference.grad = gradient.clone()
        optimiser.step()
        step, moments = adam(gradient, moments, learning_rate=2e-3, betas=(0.8, 0.99), epsilon=1e-6)
        parameter = parameter + step
        torch.testing.assert_close(parameter, reference.detach(), rtol=1e-12, atol=1e-14)
    assert moments.count == 50


def test_arguments_stay_as_they_are():
    gradient = torch.full((4,), 2.0)
    moments = no_moments(gradient)
    adam(gradient, moments, learning_rate=0.1)
    assert torch.equal(gradient, torch.full((4,), 2.0))
    assert torch.equal(moments.first, torch.zeros(4))
    assert moments.count == 0


def test_isotropic_steps_turn_with_the_coordinates():
    random = torch.Generator().manual_seed(0)
    turn, _ = torch.linalg.qr(torch.randn(7, 7, generator=random, dtype=torch.float64))
    moments = turned_moments = no_moments(torch.zeros(1, 7, dtype=torch.float64))
    for _ in range(5):
        gradient = torch.randn(1, 7, generator=random, dtype=torch.float64)
        step, moments = adam(gradient, moments, learning_rate=0.1, isotropic=True)
        turned, turned_moments = adam(gradient @ turn, turned_moments, learning_rate=0.1, isotropic=True)
        torch.testing.assert_close(turned, step @ turn)


def test_a_first_isotropic_step_goes_down_the_gradient():
    gradient = torch.tensor([[3.0, -4.0]])
    step, _ = adam(gradient, no_moments(gradient), learning_rate=0.1, isotropic=True)
    torch.testing.assert_close(step, -0.1 * gradient / (25 / 2) ** 0.5)
