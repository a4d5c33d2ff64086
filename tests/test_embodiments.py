"""Policies of several embodiments: what one lacks stays zero, and each learns as if alone."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ambient_policy.actions import Representation
from ambient_policy.batch import EMBODIMENT, INSTRUCTION, STATE, Batch
from ambient_policy.diffusion.precondition import Prediction
from ambient_policy.diffusion.solve import Solver
from ambient_policy.embodiments import Embodiment, spread
from ambient_policy.errors import SettingsError
from ambient_policy.horizons import Horizons
from ambient_policy.language import Vocabulary
from ambient_policy.networks.unet1d import UNet1d
from ambient_policy.normalize import Affine, Normalizer
from ambient_policy.policy import Policy, PolicySpec
from ambient_policy.settings import (
    ActionSettings,
    EncoderSettings,
    NetworkSettings,
    NoiseSettings,
    SolverSettings,
)
from ambient_policy.spec import differences

SEEN, ACTED = ("x", "y", "angle", "speed"), ("to_x", "to_y", "spin")
ARM = Embodiment(
    Normalizer(Affine((1.0, 2.0, 0.0), (2.0, 4.0, 1.0)), Affine((2.5, 1.0), (2.5, 0.5))),
    (0, 1, 2),
    (0, 1),
)
CAR = Embodiment(
    Normalizer(Affine((0.0, 5.0), (3.0, 2.0)), Affine((1.0, -1.0), (0.5, 4.0))), (3, 0), (2, 0)
)
BOTH = PolicySpec(
    task="toy",
    task_kwargs={},
    observation_names=SEEN,
    action_names=ACTED,
    control_rate=10.0,
    embodiments={"arm": ARM, "car": CAR},
    acting="car",
    horizons=Horizons(obs=2, pred=4, act=2),
    noise=NoiseSettings(levels=20),
    network=NetworkSettings({"state": EncoderSettings([8])}, widths=[16, 32], embedding=16),
    solver=SolverSettings(steps=4),
)
LACKING = {"arm": [2], "car": [1]}  # action dimensions


def alone(name: str, spec: PolicySpec = BOTH) -> PolicySpec:
    """The policy of one of them, over its own columns."""
    body = spec.embodiments[name]
    return replace(
        spec,
        observation_names=tuple(SEEN[i] for i in body.observation_columns),
        action_names=tuple(ACTED[i] for i in body.action_columns),
        embodiments={name: Embodiment.whole(body.normalizer)},
        acting=name,
    )


class Constant(nn.Module):
    """A network that answers one chunk, whatever it sees."""

    def __init__(self, chunk: Tensor) -> None:
        super().__init__()
        self.chunk = nn.Parameter(chunk)

    def forward(self, x: Tensor, c_noise: Tensor, condition: Tensor) -> Tensor:
        return self.chunk.expand_as(x)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape, dtype=np.float32))


def draws(count: int, observations: int, actions: int, sigma_trust: float, seed: int) -> Batch:
    """Of one embodiment in its own columns."""
    is_pad = torch.zeros(count, 4, dtype=torch.bool)
    is_pad[0, 2:] = True
    return Batch(
        observations={STATE: normal(count, 2, observations, seed=seed)},
        actions=normal(count, 4, actions, seed=seed + 1),
        kept_noise=normal(count, 4, actions, seed=seed + 2),
        sigma=torch.linspace(0.5, 2.0, count),
        sigma_trust=torch.full((count,), sigma_trust),
        is_pad=is_pad,
        crop=torch.full((count, 2), 0.5),
    )


def widen(values: Tensor, columns: tuple[int, ...], width: int) -> Tensor:
    return torch.from_numpy(spread(values.numpy(), columns, width))


def into_union(batch: Batch, name: str, spec: PolicySpec = BOTH) -> Batch:
    """The same draws in the columns of both."""
    body, number = spec.embodiments[name], list(spec.embodiments).index(name)
    state = widen(batch.observations[STATE], body.observation_columns, len(SEEN))
    return replace(
        batch,
        observations={STATE: state, EMBODIMENT: torch.full((len(batch),), number)},
        actions=widen(batch.actions, body.action_columns, len(ACTED)),
        kept_noise=widen(batch.kept_noise, body.action_columns, len(ACTED)),
    )


def join(one: Batch, other: Batch) -> Batch:
    parts = {n: torch.cat([one.observations[n], other.observations[n]]) for n in one.observations}
    names = ("actions", "kept_noise", "sigma", "sigma_trust", "is_pad", "crop")
    return Batch(parts, *(torch.cat([getattr(one, n), getattr(other, n)]) for n in names))


@pytest.mark.parametrize("mask_padding", [False, True])
@pytest.mark.parametrize("sigma_trust", [0.0, 0.3])
@pytest.mark.parametrize("prediction", [Prediction.x0, Prediction.v, Prediction.edm])
def test_the_loss_of_a_row_is_the_one_it_has_alone(
    prediction: Prediction, sigma_trust: float, mask_padding: bool
) -> None:
    spec = replace(BOTH, noise=NoiseSettings(levels=20, prediction=prediction))
    chunk, union = normal(4, 3, seed=9), Policy(spec)
    union.network = Constant(chunk.clone())
    losses, batches, noises = {}, {}, {}
    for seed, name in enumerate(spec.embodiments):
        columns = spec.embodiments[name].action_columns
        batch = draws(3, len(spec.embodiments[name].observation_columns), 2, sigma_trust, 10 * seed)
        eps, policy = normal(3, 4, 2, seed=50 + seed), Policy(alone(name, spec))
        policy.network = Constant(chunk[:, list(columns)].clone())
        losses[name] = policy.loss(batch, eps, mask_padding).item()
        batches[name] = into_union(batch, name)
        noises[name] = widen(eps, columns, 3)
        # fresh noise is drawn for all dimensions: what lies in those it lacks must not count
        noises[name][..., LACKING[name]] = 7.0
        within = union.loss(batches[name], noises[name], mask_padding).item()
        assert within == pytest.approx(losses[name], rel=1e-6)
    whole = union.loss(join(*batches.values()), torch.cat(list(noises.values())), mask_padding)
    assert whole.item() == pytest.approx(np.mean(list(losses.values())), rel=1e-6)


@pytest.mark.parametrize("kind", Solver)
def test_what_it_lacks_is_zero_at_every_step_of_the_solver(kind: Solver) -> None:
    policy = Policy(BOTH).with_solver(SolverSettings(kind, 4)).eval()
    batch = join(
        into_union(draws(2, 3, 2, 0.0, 0), "arm"), into_union(draws(2, 2, 2, 0.0, 5), "car")
    )
    noise = normal(policy.noises, 4, 4, 3, seed=3).numpy()
    with torch.no_grad():
        pairs = list(policy.trajectory(batch.observations, noise))
    assert len(pairs) == len(policy.calls) + 1
    for rows, name in ((slice(0, 2), "arm"), (slice(2, 4), "car")):
        for values in (value[rows] for pair in pairs for value in pair):
            assert not values[..., LACKING[name]].any()
            assert values[..., list(BOTH.embodiments[name].action_columns)].all()
    other = noise.copy()
    other[:, :2, :, LACKING["arm"]] = 99.0
    other[:, 2:, :, LACKING["car"]] = -99.0
    chunks = policy.sample(batch.observations, noise)
    np.testing.assert_array_equal(policy.sample(batch.observations, other), chunks)
    assert not chunks[:2, ..., LACKING["arm"]].any() and not chunks[2:, ..., LACKING["car"]].any()


def test_what_it_lacks_learns_nothing_from_it() -> None:
    policy = Policy(BOTH)
    batch = into_union(draws(3, 2, 2, 0.0, 0), "car")
    policy.loss(batch, normal(3, 4, 3, seed=8)).backward()  # type: ignore[no-untyped-call]
    assert isinstance(policy.network, UNet1d)
    answer = policy.network.last[-1]
    for gradient in (answer.weight.grad, answer.bias.grad):
        assert isinstance(gradient, Tensor)
        assert not gradient[1].any() and gradient[0].any() and gradient[2].any()
    first = next(p.grad for p in policy.network.down[0].parameters() if p.shape[1:2] == (3,))
    assert first is not None and not first[:, 1].any() and first[:, [0, 2]].any()
    layer = policy.encoder.parts[0].layers[0].weight.grad  # type: ignore[index, union-attr]
    by_row = layer.reshape(8, 3, 4)
    assert not by_row[:, :2, [1, 2]].any() and by_row[:, :2, [0, 3]].any()
    assert by_row[:, 2, [0, 3]].any() and not by_row[:, 2, [1, 2]].any()  # the mask's own row


def test_a_plan_speaks_the_columns_of_the_one_that_acts() -> None:
    policy = Policy(BOTH).eval()
    assert (policy.spec.own_observations, policy.spec.own_actions) == (
        ("speed", "x"),
        ("spin", "to_x"),
    )
    history, noise = normal(5, 2, 2).numpy(), normal(1, 5, 4, 2, seed=1).numpy()
    chunk = policy.plan({STATE: history}, noise)
    assert chunk.shape == (5, 4, 2)
    state = widen(torch.from_numpy(history), CAR.observation_columns, 4)
    seen = {STATE: state, EMBODIMENT: torch.ones(5, dtype=torch.long)}
    whole = policy.sample(seen, spread(noise, CAR.action_columns, 3))
    np.testing.assert_array_equal(chunk, whole[..., [2, 0]])


def test_the_network_is_told_whose_state_it_sees() -> None:
    policy = Policy(BOTH).eval()
    zero = torch.zeros(2, 2, 4)  # the same numbers, of another body
    state = zero + torch.tensor([1.0, 2.0, 0.0, 0.0])
    condition = policy.encode({STATE: state, EMBODIMENT: torch.tensor([0, 1])})
    assert not torch.allclose(condition[0], condition[1])


def test_bodies_that_have_all_dimensions_need_no_mask() -> None:
    other = replace(ARM.normalizer, actions=Affine((0.0, 0.0), (1.0, 1.0)))
    one = alone("arm")
    two = replace(one, embodiments={**one.embodiments, "rough": Embodiment.whole(other)})
    policy, single = Policy(two, seed=4), Policy(one, seed=4)
    ours, theirs = policy.state_dict(), single.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    batch = draws(3, 3, 2, 0.0, 0)
    eps = normal(3, 4, 2, seed=6)
    named = replace(batch, observations={**batch.observations, EMBODIMENT: torch.zeros(3).long()})
    assert policy.loss(named, eps).item() == single.loss(batch, eps).item()
    named = replace(batch, observations={**batch.observations, EMBODIMENT: torch.ones(3).long()})
    assert policy.loss(named, eps).item() != single.loss(batch, eps).item()


@pytest.mark.parametrize("kind", [Representation.relative, Representation.delta])
def test_actions_are_counted_from_where_their_own_body_is(kind: Representation) -> None:
    spec = replace(
        BOTH,
        actions=ActionSettings(kind, ["x", "angle", "speed"]),
        observation_names=SEEN,
        embodiments={"arm": replace(ARM, observation_columns=(0, 2, 1)), "car": CAR},
    )
    policy = Policy(spec)
    batch = join(
        into_union(draws(2, 3, 2, 0.0, 0), "arm"), into_union(draws(2, 2, 2, 0.0, 5), "car")
    )
    x0 = policy.represent(batch.actions, batch.observations)
    assert not x0[:2, ..., 2].any() and not x0[2:, ..., 1].any()
    back = policy.decode(x0, batch.observations)
    np.testing.assert_allclose(back, batch.actions.numpy(), atol=1e-5)
    here = batch.observations[STATE][2, -1]
    first = (batch.actions[2, 0] - here[[0, 2, 3]])[[2, 0]]
    expected = (first - torch.tensor([1.0, -1.0])) / torch.tensor([0.5, 4.0])
    torch.testing.assert_close(x0[2, 0, [2, 0]], expected)


def test_an_origin_that_a_body_does_not_observe_is_refused() -> None:
    counted = ActionSettings(Representation.relative, ["y", "y", "speed"])
    text = r"actions.origin counts 'to_x' from 'y', which 'car' does not observe; it observes speed"
    with pytest.raises(SettingsError, match=text):
        replace(BOTH, actions=counted)


def test_a_description_survives_json() -> None:
    assert PolicySpec.from_json(json.loads(json.dumps(BOTH.to_json()))) == BOTH


def test_what_weights_rest_on_knows_no_names() -> None:
    renamed = replace(BOTH, embodiments={"b": CAR, "a": ARM}, acting="b")
    other = replace(BOTH, embodiments={"arm": replace(ARM, normalizer=ARM.normalizer), "car": CAR})
    assert renamed.foundation() == BOTH.foundation() == other.foundation()
    assert renamed.to_json() != BOTH.to_json()  # a run goes on as the very one it was
    acted = replace(CAR.normalizer, actions=Affine((1.0, -1.0), (0.5, 4.5)))
    for changed, name in (
        (replace(BOTH, acting="arm"), "acting embodiment"),
        (replace(BOTH, embodiments={"car": replace(CAR, normalizer=acted)}), "acting embodiment"),
        (replace(BOTH, network=NetworkSettings(widths=[16])), "network"),
        (replace(BOTH, control_rate=5.0), "control_rate"),
    ):
        (difference,) = differences(BOTH.foundation(), changed.foundation())
        assert difference.startswith(name)
    solver = replace(BOTH, solver=SolverSettings(steps=2))
    assert not differences(BOTH.foundation(), solver.foundation())
    assert alone("car").partial is False and BOTH.partial is True


def test_refusals() -> None:
    with pytest.raises(SettingsError, match=r"unknown embodiment in acting 'cat'; known: arm, car"):
        replace(BOTH, acting="cat")
    for columns in ((0,), (0, 0)):
        with pytest.raises(SettingsError, match=r"give each of them a place of its own"):
            replace(CAR, action_columns=columns)


def test_what_it_is_told_is_a_part_of_the_condition() -> None:
    rows = np.array([[1, 2, 3], [4, 5, 6], [0, 0, 0]], np.float32)
    language = Vocabulary.of(("lift", "push"), rows, "push")
    network = replace(BOTH.network, encoders={"instruction": EncoderSettings([5])})
    for spec, width in ((BOTH, 8 + 3), (replace(BOTH, network=network), 3 * 4 + 5)):
        policy = Policy(replace(spec, language=language), rows=rows).eval()
        assert policy.encoder.width == width
        seen = policy.observe({STATE: normal(2, 2, 2).numpy()})
        assert seen[INSTRUCTION].tolist() == [1, 1]
        seen[INSTRUCTION] = torch.tensor([0, 2])
        condition = policy.encode(seen)
        seen[INSTRUCTION] = torch.tensor([1, 2])
        other = policy.encode(seen)
        assert not torch.equal(condition[0], other[0]) and torch.equal(condition[1], other[1])
        record = policy.spec.to_json()
        assert PolicySpec.from_json(json.loads(json.dumps(record))) == policy.spec
        again = Policy(policy.spec)  # the rows come with the weights
        again.load_state_dict(policy.state_dict())
        assert torch.equal(again.eval().encode(seen), other)
