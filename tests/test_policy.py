"""The policy: its description survives JSON, its chunks are in world units, its loss is the law."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ambient_policy.batch import Batch
from ambient_policy.diffusion.precondition import Prediction
from ambient_policy.diffusion.solve import Solver
from ambient_policy.embodiments import Embodiment
from ambient_policy.errors import SettingsError
from ambient_policy.horizons import Horizons
from ambient_policy.normalize import Affine, Normalizer
from ambient_policy.policy import Policy, PolicySpec
from ambient_policy.settings import (
    EncoderSettings,
    NetworkSettings,
    NoiseSettings,
    SolverSettings,
    from_json,
)

SPEC = PolicySpec(
    task="ambient_envs/Maze-v0",
    task_kwargs={"layout": "rooms"},
    observation_names=("x", "y", "angle"),
    action_names=("target_x", "target_y"),
    control_rate=10.0,
    embodiments={
        "arm": Embodiment.whole(
            Normalizer(Affine((1.0, 2.0, 0.0), (2.0, 4.0, 1.0)), Affine((2.5, 1.0), (2.5, 0.5)))
        )
    },
    acting="arm",
    horizons=Horizons(obs=2, pred=4, act=2),
    noise=NoiseSettings(levels=20),
    network=NetworkSettings({"state": EncoderSettings([8])}, widths=[16, 32], embedding=16),
    solver=SolverSettings(steps=4),
)
SEEING = replace(
    SPEC,
    cameras={"top": (20, 24, 3), "wrist": (18, 18, 3)},
    network=NetworkSettings(
        {
            "state": EncoderSettings([8]),
            "top": EncoderSettings(crop=[17, 18], channels=[16, 32], keypoints=5),
            "wrist": EncoderSettings([6], channels=[16, 32], keypoints=3),
        },
        widths=[16, 32],
        embedding=16,
    ),
)
CONSTANT = torch.tensor([[0.5, -1.0], [0.25, 0.0], [-0.5, 1.0], [2.0, -2.0]])


class Constant(nn.Module):
    """A network that always answers the same chunk."""

    def __init__(self, chunk: Tensor) -> None:
        super().__init__()
        self.chunk = nn.Parameter(chunk.clone())

    def forward(self, x: Tensor, c_noise: Tensor, condition: Tensor) -> Tensor:
        return self.chunk.expand_as(x)


def constant(spec: PolicySpec) -> Policy:
    policy = Policy(spec)
    policy.network = Constant(CONSTANT)
    return policy


def normal(*shape: int, seed: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def states(worlds: int) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    return {"state": normal(worlds, 2, 3)}


def seen(worlds: int) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[Any]]]:
    """Histories of SEEING."""
    rng = np.random.default_rng(0)
    return states(worlds) | {
        name: rng.integers(0, 256, (worlds, 2, *shape), dtype=np.uint8)
        for name, shape in SEEING.cameras.items()
    }


@pytest.mark.parametrize("described", [SPEC, SEEING])
def test_a_description_survives_json(described: PolicySpec) -> None:
    spec = replace(described, noise=NoiseSettings(prediction=Prediction.v))
    assert PolicySpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_weights_are_a_function_of_the_seed_and_leave_the_generator_alone() -> None:
    before = torch.random.get_rng_state()
    one, same, other = (Policy(SPEC, seed).state_dict() for seed in (3, 3, 4))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_shapes() -> None:
    policy = Policy(SPEC)
    condition = policy.encode({"state": torch.zeros(5, 2, 3)})
    assert condition.shape == (5, 8)
    x0_hat = policy.denoise(torch.zeros(5, 4, 2), torch.full((5,), 0.3), condition)
    assert x0_hat.shape == (5, 4, 2)
    assert policy.solver_levels.shape == (4,)
    assert (policy.noises, policy.horizons) == (1, SPEC.horizons)


@pytest.mark.parametrize("solver", Solver)
def test_a_plan_does_not_depend_on_the_worlds_beside_it(solver: Solver) -> None:
    policy = Policy(SPEC).with_solver(SolverSettings(solver, 4)).eval()
    history, noise = states(6), normal(policy.noises, 6, 4, 2, seed=1)
    together = policy.plan(history, noise)
    assert together.dtype == np.float32
    for rows in ([0], [3], [4, 1], [5, 4, 3, 2, 1, 0]):
        np.testing.assert_allclose(
            policy.plan({"state": history["state"][rows]}, noise[:, rows]),
            together[rows],
            atol=1e-5,
        )


def test_another_solver_shares_the_weights() -> None:
    policy = Policy(SPEC, seed=7)
    other = policy.with_solver(SolverSettings(Solver.ddpm, 10))
    assert other.spec == replace(SPEC, solver=SolverSettings(Solver.ddpm, 10))
    assert policy.spec == SPEC
    assert [
        policy.with_solver(SPEC.solver).training,
        policy.eval().with_solver(SPEC.solver).training,
    ] == [True, False]
    assert (policy.noises, other.noises, len(other.solver_levels)) == (1, 10, 10)
    ours, theirs = dict(policy.named_parameters()), dict(other.named_parameters())
    assert ours.keys() == theirs.keys()
    assert all(ours[name] is theirs[name] for name in ours)


@pytest.mark.parametrize("kind", Solver)
def test_a_denoiser_that_knows_the_chunk_answers_it_in_world_units(kind: Solver) -> None:
    policy = constant(replace(SPEC, solver=SolverSettings(kind, 4)))
    chunks = policy.plan(states(3), normal(policy.noises, 3, 4, 2, seed=1))
    expected = CONSTANT.numpy() * [2.5, 0.5] + [2.5, 1.0]
    np.testing.assert_allclose(chunks, np.broadcast_to(expected, (3, 4, 2)), atol=1e-6)


def test_a_trajectory_visits_every_level_and_ends_with_the_chunk() -> None:
    policy = Policy(SPEC).eval()
    history, noise = states(2), normal(1, 2, 4, 2, seed=1)
    with torch.no_grad():
        pairs = list(policy.trajectory(policy.observe(history), noise))
    assert len(pairs) == 5
    assert torch.equal(*pairs[-1])
    np.testing.assert_array_equal(
        policy.action_map.inverse(pairs[-1][0]).numpy(), policy.plan(history, noise)
    )


# c_skip, c_out, c_in of each prediction, written out
COEFFICIENTS: dict[Prediction, Callable[[float], tuple[float, float]]] = {
    Prediction.x0: lambda sigma: (0.0, 1.0),
    Prediction.eps: lambda sigma: (1.0, -sigma),
    Prediction.v: lambda sigma: (1 / (1 + sigma**2), -sigma / (1 + sigma**2) ** 0.5),
    Prediction.edm: lambda sigma: (0.25 / (0.25 + sigma**2), sigma / 2 / (0.25 + sigma**2) ** 0.5),
    Prediction.flow: lambda sigma: (1 / (1 + sigma), -sigma / (1 + sigma)),
}


@pytest.mark.parametrize("mask_padding", [False, True])
@pytest.mark.parametrize("sigma_trust", [0.0, 0.3])
@pytest.mark.parametrize("prediction", Prediction)
def test_the_loss_of_one_draw_by_hand(
    prediction: Prediction, sigma_trust: float, mask_padding: bool
) -> None:
    policy = constant(replace(SPEC, noise=NoiseSettings(levels=20, prediction=prediction)))
    sigma = 0.7
    actions, kept, eps = (normal(4, 2, seed=seed).astype(np.float64) for seed in range(3))
    is_pad = np.array([False, False, True, True])

    x0 = (actions - [2.5, 1.0]) / [2.5, 0.5]
    x_trust = x0 + sigma_trust * kept
    x_sigma = x_trust + (sigma**2 - sigma_trust**2) ** 0.5 * eps
    c_skip, c_out = COEFFICIENTS[prediction](sigma)
    r = sigma_trust**2 / sigma**2
    error = c_skip * x_sigma + c_out * CONSTANT.numpy() - (x_trust - r * x_sigma) / (1 - r)
    counted = ~is_pad if mask_padding else np.ones(4, bool)
    expected = (error[counted] ** 2).mean() / c_out**2

    def one(values: object) -> Tensor:
        return torch.as_tensor(np.asarray(values)[None]).float()

    batch = Batch(
        observations={"state": torch.zeros(1, 2, 3)},
        actions=one(actions),
        kept_noise=one(kept),
        sigma=one(sigma),
        sigma_trust=one(sigma_trust),
        is_pad=torch.from_numpy(is_pad[None]),
        crop=torch.zeros(1, 2),
    )
    loss = policy.loss(batch, one(eps), mask_padding)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_the_condition_is_state_and_cameras_side_by_side() -> None:
    policy = Policy(SEEING).eval()
    condition = policy.encode(policy.observe(seen(3)))
    assert condition.shape == (3, 8 + 2 * 2 * 5 + 6)
    state = policy.observation_map(torch.from_numpy(seen(3)["state"]))
    assert torch.equal(condition[:, :8], policy.encoder.parts[0](state))
    assert policy.plan(seen(3), normal(policy.noises, 3, 4, 2)).shape == (3, 4, 2)


def test_the_state_encoder_starts_alike_with_and_without_cameras() -> None:
    one, other = (Policy(spec, seed=5).encoder.parts[0].state_dict() for spec in (SPEC, SEEING))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_images_are_cropped_at_random_in_training_and_centrally_otherwise() -> None:
    policy = Policy(SEEING)
    observations = policy.observe(seen(2))
    corner, other = torch.zeros(2, 2), torch.full((2, 2), 0.9)
    policy.train()
    assert not torch.allclose(
        policy.encode(observations, corner), policy.encode(observations, other)
    )
    policy.eval()
    central = policy.encode(observations)
    assert torch.equal(policy.encode(observations, corner), central)
    assert torch.equal(policy.train().encode(observations, torch.full((2, 2), 0.5)), central)


def test_encoders_that_fit_no_part_are_refused() -> None:
    def network(name: str, **changes: Any) -> dict[str, Any]:
        return {"cameras": ["top"], "network": {"encoders": {name: changes}}}

    for record, text in (
        (network("wrist"), "cameras=[...] names) 'wrist'; known: state, top"),
        (network("state", crop=[8, 8]), "network.encoders.state: crop, channels and keypoints are"),
        (network("top", crop=[8]), "network.encoders.top.crop = [8]: give height and width"),
        (network("top", crop=[0, 8]), "network.encoders.top.crop = [0, 8]: give height and width"),
        (network("top", layers=[0]), "network.encoders.top.layers = [0]: at most"),
        (network("top", keypoints=0), "network.encoders.top.keypoints = 0 must be at least 1"),
        ({"cameras": ["top", "top"]}, "cameras = ['top', 'top']: name each once, and none of"),
        ({"cameras": ["state"]}, "cameras = ['state']: name each once"),
    ):
        with pytest.raises(SettingsError, match=re.escape(text)):
            from_json(record)
