"""Representations of an action chunk: what they are, and that nothing is lost."""

import pytest
import torch

from ambient_policy.actions import Representation, origin_columns, represent, restore
from ambient_policy.errors import SettingsError

HERE = torch.tensor([[[1.0, 2.0]]])
CHUNK = torch.tensor([[[1.5, 2.0], [2.0, 1.0], [2.0, 1.0]]])


@pytest.mark.parametrize("kind", list(Representation))
def test_the_way_back_gives_the_same_actions(kind: Representation) -> None:
    generator = torch.Generator().manual_seed(0)
    actions = torch.randn(5, 16, 3, generator=generator, dtype=torch.float64)
    origin = torch.randn(5, 1, 3, generator=generator, dtype=torch.float64)
    back = restore(kind, represent(kind, actions, origin), origin)
    torch.testing.assert_close(back, actions, atol=1e-12, rtol=0)


def test_what_each_kind_says() -> None:
    assert torch.equal(represent(Representation.absolute, CHUNK, HERE), CHUNK)
    relative = torch.tensor([[[0.5, 0.0], [1.0, -1.0], [1.0, -1.0]]])
    assert torch.equal(represent(Representation.relative, CHUNK, HERE), relative)
    delta = torch.tensor([[[0.5, 0.0], [0.5, -1.0], [0.0, 0.0]]])
    assert torch.equal(represent(Representation.delta, CHUNK, HERE), delta)


@pytest.mark.parametrize("kind", [Representation.relative, Representation.delta])
def test_zero_stays_where_it_is(kind: Representation) -> None:
    assert torch.equal(restore(kind, torch.zeros(1, 4, 2), HERE), HERE.expand(1, 4, 2))


def test_origin_names_one_observation_for_each_action() -> None:
    names = ["goal", "x", "y"]
    assert origin_columns(Representation.delta, ["y", "x"], names, ["a", "b"]) == [2, 1]
    assert origin_columns(Representation.absolute, [], names, ["a", "b"]) == []
    with pytest.raises(SettingsError, match=r"unknown observation in actions.origin 'z'; known: g"):
        origin_columns(Representation.relative, ["x", "z"], names, ["a", "b"])
    with pytest.raises(
        SettingsError, match=r"origin = \['x'\] with relative actions must name one"
    ):
        origin_columns(Representation.relative, ["x"], names, ["a", "b"])
    with pytest.raises(
        SettingsError, match=r"origin = \['x'\] with absolute actions must name none"
    ):
        origin_columns(Representation.absolute, ["x"], names, ["a"])
