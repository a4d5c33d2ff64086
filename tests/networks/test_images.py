"""Crops are windows of the frame, the trunk is ResNet-18, the softmax finds a bright spot."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ambient_policy.networks.images import ResNet, SpatialSoftmax, crop

ALMOST_ONE = 1 - 2**-24  # the largest number that a float32 draw from [0,1) gives


def numbered(batch: int, time: int, height: int, width: int) -> torch.Tensor:
    return torch.arange(batch * time * height * width * 3).reshape(batch, time, height, width, 3)


@given(st.integers(1, 30), st.integers(1, 30), st.data())
def test_a_crop_is_a_window_of_the_frame(height: int, width: int, data: st.DataObject) -> None:
    size = data.draw(st.tuples(st.integers(1, height), st.integers(1, width)))
    fraction = st.sampled_from([0.0, 0.3, 0.5, 0.99, ALMOST_ONE])
    where = torch.tensor(data.draw(st.lists(st.tuples(fraction, fraction), min_size=2, max_size=2)))
    frames = numbered(2, 2, height, width)
    cropped = crop(frames, size, where)
    assert cropped.shape == (2, 2, *size, 3)
    for row in range(2):
        free = [side - cut for side, cut in zip((height, width), size, strict=True)]
        top, left = (
            min(int(w * (f + 1)), f) for w, f in zip(where[row].tolist(), free, strict=True)
        )
        window = frames[row, :, top : top + size[0], left : left + size[1]]
        assert torch.equal(cropped[row], window)


def test_every_place_is_equally_likely_and_the_last_is_reached() -> None:
    where = torch.linspace(0, ALMOST_ONE, 13)[:, None].repeat(1, 2)
    tops = crop(torch.arange(96).reshape(1, 1, 96, 1, 1).repeat(13, 1, 1, 96, 1), (84, 84), where)
    assert tops[:, 0, 0, 0, 0].tolist() == list(range(13))


def test_without_a_place_the_crop_is_central() -> None:
    frames = numbered(1, 2, 7, 10)
    assert torch.equal(crop(frames, (3, 4)), frames[:, :, 2:5, 3:7])
    assert torch.equal(crop(frames, (7, 10)), frames)
    for size in ((3, 4), (4, 3), (7, 9)):
        assert torch.equal(crop(frames, size, torch.full((1, 2), 0.5)), crop(frames, size))


def test_the_trunk_has_the_weights_of_resnet_18() -> None:
    """torchvision's resnet18 has 11689512, of which its classifier 513000."""
    trunk = ResNet(3)
    assert sum(p.numel() for p in trunk.parameters()) == 11_689_512 - 513_000
    assert trunk(torch.zeros(1, 3, 84, 84)).shape == (1, 512, 3, 3)


def test_group_normalisation_stands_for_batch_normalisation() -> None:
    trunk = ResNet(3, (16, 32))
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in trunk.modules())
    images = torch.randn(4, 3, 32, 32)
    torch.testing.assert_close(trunk(images)[:1], trunk(images[:1]))


@pytest.mark.parametrize(("row", "column"), [(0, 0), (2, 4), (1, 3)])
def test_a_bright_spot_is_found_at_its_coordinates(row: int, column: int) -> None:
    softmax = SpatialSoftmax(1, 2)
    torch.nn.init.constant_(softmax.maps.weight, 1.0)
    features = torch.zeros(1, 1, 3, 5)
    features[0, 0, row, column] = 100.0
    expected = torch.tensor([column / 2 - 1, row - 1.0]).repeat(2)[None]
    torch.testing.assert_close(softmax(features), expected)


def test_a_uniform_map_is_found_in_the_middle() -> None:
    torch.testing.assert_close(SpatialSoftmax(4, 3)(torch.ones(2, 4, 5, 6)), torch.zeros(2, 6))
