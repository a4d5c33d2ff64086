"""The normaliser: exact inverse, fingerprint, refusals."""

import numpy as np
import pytest
import torch

from ambient_policy.actions import Representation
from ambient_policy.errors import DataError, SettingsError
from ambient_policy.normalize import Affine, AffineLayer, Normalizer, check_bounds


def test_layer_inverts_and_maps_the_range_to_one() -> None:
    layer = AffineLayer([Affine.from_range([0, -2], [5, 6])], [(0, 1)], 2)
    torch.testing.assert_close(
        layer(torch.tensor([[0.0, -2.0], [5.0, 6.0], [2.5, 2.0]])),
        torch.tensor([[-1.0, -1.0], [1.0, 1.0], [0.0, 0.0]]),
    )
    values = torch.randn(100, 2, generator=torch.Generator().manual_seed(0)) * 3
    torch.testing.assert_close(layer.inverse(layer(values)), values)


def test_moments_give_mean_zero_and_deviation_one() -> None:
    values = np.random.default_rng(0).normal(3, 2, (1000, 2))
    values[:, 1] = 7.0
    affine = Affine.from_moments(values.mean(0), values.std(0))
    scaled = (values - affine.center) / affine.scale
    np.testing.assert_allclose(scaled.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(scaled.std(0), [1, 0], atol=1e-12)
    assert affine.scale[1] == 1.0


def test_fingerprint_is_that_of_the_actions() -> None:
    a, b = Affine.from_range([0], [1]), Affine.from_range([0], [2])
    assert Normalizer(a, a).fingerprint == Normalizer(b, a).fingerprint
    assert Normalizer(a, a).fingerprint != Normalizer(a, b).fingerprint
    counted = [Normalizer(a, b, kind) for kind in Representation]
    assert len({normalizer.fingerprint for normalizer in counted}) == len(counted)
    assert [Normalizer.from_json(n.to_json()) for n in counted] == counted
    assert Normalizer.from_json(Normalizer(a, b).to_json()) == Normalizer(a, b)


def test_refusals() -> None:
    with pytest.raises(DataError, match="positive scales"):
        Affine((0.0,), (0.0,))
    with pytest.raises(SettingsError, match=r"normalizer.actions: low has 1 and high 2 numbers"):
        check_bounds([0], [1, 2], "ab", "actions")
    with pytest.raises(SettingsError, match=r"low\[1\] = 3 must lie below high\[1\] = 2"):
        check_bounds([0, 3], [1, 2], "ab", "actions")
