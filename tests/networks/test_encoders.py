"""The encoders of the observation history: widths, order, reach, one for each part."""

import pytest
import torch

from ambient_policy.errors import SettingsError
from ambient_policy.networks.encoders import (
    ImageEncoder,
    ObservationEncoder,
    Perceptron,
    octaves_of,
)


def frames(batch: int, time: int, side: int = 20) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    shape = (batch, time, side, side, 3)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def small(
    obs: int = 2, size: tuple[int, ...] = (17, 18), layers: tuple[int, ...] = ()
) -> ImageEncoder:
    torch.manual_seed(0)
    return ImageEncoder((20, 20, 3), obs, size, (16, 32), 5, layers)


def test_without_layers_the_history_is_the_condition() -> None:
    encoder = Perceptron(6)
    history = torch.arange(12.0).reshape(2, 2, 3)
    assert encoder.width == 6
    assert list(encoder.parameters()) == []
    assert torch.equal(encoder(history), history.reshape(2, 6))


@pytest.mark.parametrize("widths", [[5], [7, 5]])
def test_the_last_width_is_that_of_the_condition(widths: list[int]) -> None:
    encoder = Perceptron(6, widths)
    assert encoder.width == 5
    assert encoder(torch.zeros(4, 2, 3)).shape == (4, 5)


def test_every_observation_of_every_step_reaches_the_condition() -> None:
    torch.manual_seed(0)
    history = torch.randn(1, 2, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(Perceptron(6, [16, 4])(history).sum(), history)
    assert (gradient != 0).all()


def test_octaves_are_sines_and_cosines_of_rising_frequency() -> None:
    x = torch.linspace(-1, 1, 9)[:, None]
    waves = octaves_of(x, 3)
    assert waves.shape == (9, 6)
    torch.testing.assert_close(waves[:, 0::2] ** 2 + waves[:, 1::2] ** 2, torch.ones(9, 3))
    # sin 2a = 2 sin a cos a: each octave is the one before it, twice as fast
    torch.testing.assert_close(waves[:, 2], 2 * waves[:, 0] * waves[:, 1])
    torch.testing.assert_close(waves[:, 4], 2 * waves[:, 2] * waves[:, 3])
    assert (waves[0] - waves[-1]).abs().max() > 1  # both ends of the range stay apart
    assert Perceptron(6, octaves=2).width == 6 * 5


@pytest.mark.parametrize("layers", [(), (7, 4)])
def test_frames_become_two_coordinates_per_keypoint_and_step(layers: tuple[int, ...]) -> None:
    encoder = small(layers=layers)
    encoded = encoder(frames(3, 2))
    assert encoded.shape == (3, encoder.width) == (3, layers[-1] if layers else 2 * 2 * 5)
    assert layers or (encoded.abs() <= 1).all()


def test_each_frame_is_encoded_as_if_alone() -> None:
    """Frames fold into the batch: neither other rows nor other steps change a frame's features."""
    encoder, history = small().eval(), frames(3, 2)
    together = encoder(history).reshape(3, 2, -1)
    alone = small(obs=1).eval()
    for row in range(3):
        for step in range(2):
            one = alone(history[row : row + 1, step : step + 1])[0]
            torch.testing.assert_close(one, together[row, step], atol=1e-6, rtol=0)


def test_where_the_crop_is_taken_is_seen() -> None:
    encoder, history = small(), frames(1, 2)
    centre, corner = encoder(history), encoder(history, torch.zeros(1, 2))
    assert not torch.allclose(centre, corner)
    moved = torch.zeros_like(history)
    moved[:, :, 2:19, 1:19] = history[:, :, :17, :18]  # the corner, now where the centre is cut
    torch.testing.assert_close(encoder(moved), corner)


def test_the_condition_is_the_parts_side_by_side_each_with_weights_of_its_own() -> None:
    torch.manual_seed(0)
    state = Perceptron(6, [4])
    left, right = (ImageEncoder((20, 20, 3), 2, (), (16, 32), 5) for _ in range(2))
    encoder = ObservationEncoder({"state": state, "left": left, "right": right})
    assert encoder.width == 4 + 20 + 20
    seen = frames(3, 2)
    parts = {"right": seen, "state": torch.ones(3, 2, 3), "left": seen}
    encoded = encoder(parts)
    assert torch.equal(encoded[:, :4], state(parts["state"]))
    assert torch.equal(encoded[:, 4:24], left(seen)) and torch.equal(encoded[:, 24:], right(seen))
    assert not torch.allclose(encoded[:, 4:24], encoded[:, 24:])


def test_refusals() -> None:
    with pytest.raises(SettingsError, match=r"crop = \[21, 20\] does not fit frames of 20 x 20"):
        small(size=(21, 20))
    with pytest.raises(
        SettingsError, match=r"an image of 8 x 20 pixels is halved 3 times.* more than 8"
    ):
        small(size=(8, 20))
    with pytest.raises(SettingsError, match=r"channels = \[20\] must be multiples of 16"):
        ImageEncoder((20, 20, 3), 2, (), (20,))
