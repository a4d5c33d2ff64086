"""Policies whose actions are counted from where the robot is."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ambient_policy.actions import Representation
from ambient_policy.batch import Batch
from ambient_policy.embodiments import Embodiment
from ambient_policy.horizons import Horizons
from ambient_policy.networks.unet1d import UNet1d
from ambient_policy.normalize import Affine, Normalizer
from ambient_policy.policy import Policy, PolicySpec
from ambient_policy.settings import ActionSettings, NetworkSettings, NoiseSettings, SolverSettings

SEEN = Affine((0.0,) * 3, (1.0,) * 3)
ABSOLUTE = PolicySpec(
    task="toy",
    task_kwargs={},
    observation_names=("goal", "x", "y"),
    action_names=("to_x", "to_y"),
    control_rate=10.0,
    embodiments={"arm": Embodiment.whole(Normalizer(SEEN, Affine.from_range([0, -4], [5, 4])))},
    acting="arm",
    horizons=Horizons(obs=2, pred=4, act=2),
    noise=NoiseSettings(),
    network=NetworkSettings(widths=[8, 16], embedding=8),
    solver=SolverSettings(),
)
RELATIVE = replace(
    ABSOLUTE,
    actions=ActionSettings(Representation.relative, ["x", "y"]),
    embodiments={"arm": Embodiment.whole(Normalizer(SEEN, Affine((0.0, 0.0), (2.5, 4.0))))},
)
DELTA = replace(RELATIVE, actions=ActionSettings(Representation.delta, ["x", "y"]))


def silenced(spec: PolicySpec) -> Policy:
    """A policy of x0 prediction whose network answers 0."""
    policy = Policy(spec)
    assert isinstance(policy.network, UNet1d)
    for weight in policy.network.last[-1].parameters():
        weight.data.zero_()
    return policy


def test_a_network_that_answers_zero_stays_where_it_is() -> None:
    history = np.array([[[9, 1, 1], [9, 2, 3]], [[9, 0, 0], [9, 4, -1]]], np.float32)
    noise = np.ones((1, 2, 4, 2), np.float32)
    for spec in (RELATIVE, DELTA):
        chunk = silenced(spec).plan({"state": history}, noise)
        np.testing.assert_allclose(chunk, np.repeat(history[:, -1:, 1:], 4, axis=1), atol=1e-6)
    centre = silenced(ABSOLUTE).plan({"state": history}, noise)
    np.testing.assert_allclose(centre, np.broadcast_to([2.5, 0.0], (2, 4, 2)), atol=1e-6)


def test_the_loss_measures_the_way_from_here_in_the_unit_of_the_actions() -> None:
    here, way = torch.tensor([[[9.0, 1.0, 2.0]]]), torch.tensor([1.0, -2.0])
    batch = Batch(
        observations={"state": here.repeat(1, 2, 1)},
        actions=(here[0, 0, 1:] + way).repeat(1, 4, 1),
        kept_noise=torch.zeros(1, 4, 2),
        sigma=torch.tensor([0.5]),
        sigma_trust=torch.zeros(1),
        is_pad=torch.zeros(1, 4, dtype=torch.bool),
        crop=torch.zeros(1, 2),
    )
    loss = silenced(RELATIVE).loss(batch, torch.zeros(1, 4, 2))
    every_step = ((1 / 2.5) ** 2 + (2 / 4) ** 2) / 2
    assert loss.item() == pytest.approx(every_step)
    loss = silenced(DELTA).loss(batch, torch.zeros(1, 4, 2))
    assert loss.item() == pytest.approx(every_step / 4)  # the way is gone in the first of 4 steps
