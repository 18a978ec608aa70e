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
        parameter, moments = adam(parameter, gradient, moments, learning_rate=2e-3, betas=(0.8, 0.99), epsilon=1e-6)
        torch.testing.assert_close(parameter, reference.detach(), rtol=1e-12, atol=1e-14)
    assert moments.count == 50


def test_arguments_stay_as_they_are():
    parameter, gradient = torch.ones(4), torch.full((4,), 2.0)
    moments = no_moments(parameter)
    adam(parameter, gradient, moments, learning_rate=0.1)
    assert torch.equal(parameter, torch.ones(4))
    assert torch.equal(moments.first, torch.zeros(4))
    assert moments.count == 0
