"""The U-Net: shapes, size of the reference architecture, reach, refusals."""

import pytest
import torch

from ambient_policy.errors import SettingsError
from ambient_policy.networks.sizes import check_horizon
from ambient_policy.networks.unet1d import UNet1d


@pytest.mark.parametrize("widths", [(16,), (16, 32), (16, 32, 64)])
def test_answer_has_the_shape_of_the_chunk(widths: tuple[int, ...]) -> None:
    net = UNet1d(3, 5, widths, embedding=16)
    assert net(torch.randn(4, 16, 3), torch.rand(4), torch.randn(4, 5)).shape == (4, 16, 3)


def test_every_input_reaches_every_step_of_the_answer() -> None:
    """A chunk's last action must be able to depend on its first, on observation and on noise."""
    net = UNet1d(1, 2, (32, 64, 128), embedding=32)
    x = torch.randn(1, 16, 1, requires_grad=True)
    c, o = torch.rand(1, requires_grad=True), torch.randn(1, 2, requires_grad=True)
    for step in (0, 15):
        grads = torch.autograd.grad(net(x, c, o)[0, step].sum(), (x, c, o))
        assert all((g != 0).all() for g in grads)


def test_parameters_of_the_reference_size() -> None:
    """diffusion_policy's network for A = 2, To O = 40 (Push-T keypoints) has 65 million weights."""
    net = UNet1d(2, 40)
    assert sum(p.numel() for p in net.parameters()) == pytest.approx(65e6, rel=0.03)


def test_refusals() -> None:
    with pytest.raises(SettingsError, match=r"pred = 10 .* multiple of 4. Set .* to 8 or 12"):
        check_horizon(10, [1, 2, 3])
    with pytest.raises(SettingsError, match=r"kernel = 4 must be odd"):
        UNet1d(1, 1, (8,), kernel=4)
    with pytest.raises(SettingsError, match=r"groups = 8 must divide every one"):
        UNet1d(1, 1, (12,))
