"""The encoder of the observation history: widths, order, reach."""

import pytest
import torch

from ambient_policy.networks.encoders import StateEncoder


def test_without_layers_the_history_is_the_condition() -> None:
    encoder = StateEncoder(6)
    history = torch.arange(12.0).reshape(2, 2, 3)
    assert encoder.width == 6
    assert list(encoder.parameters()) == []
    assert torch.equal(encoder(history), history.reshape(2, 6))


@pytest.mark.parametrize("widths", [[5], [7, 5]])
def test_the_last_width_is_that_of_the_condition(widths: list[int]) -> None:
    encoder = StateEncoder(6, widths)
    assert encoder.width == 5
    assert encoder(torch.zeros(4, 2, 3)).shape == (4, 5)


def test_every_observation_of_every_step_reaches_the_condition() -> None:
    torch.manual_seed(0)
    history = torch.randn(1, 2, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(StateEncoder(6, [16, 4])(history).sum(), history)
    assert (gradient != 0).all()
