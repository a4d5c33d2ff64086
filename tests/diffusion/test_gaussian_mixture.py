"""A distribution whose denoiser is known: what solvers must reproduce and losses must find.

For x0 ~ sum_i p_i N(m_i, s_i^2 I) the posterior of the components given x_sigma is that of a
mixture with variances s_i^2 + sigma^2, and D(x; sigma) = sum_i p(i | x) (m_i + s_i^2 (x - m_i) /
(s_i^2 + sigma^2)).
"""

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp
from torch import Tensor

from ambient_policy.ambient.admission import buffer_factor
from ambient_policy.ambient.corrupt import corrupt
from ambient_policy.diffusion.grid import Spacing, solver_grid
from ambient_policy.diffusion.law import ContinuousLaw, Law, LawKind, UniformOverLevels
from ambient_policy.diffusion.loss import NoisyChunks, denoising_loss, error_weight
from ambient_policy.diffusion.noise import Schedule, ddpm_levels
from ambient_policy.diffusion.precondition import Prediction, coefficients
from ambient_policy.diffusion.solve import Call, Solver, noises_needed, solve, solver_calls

SHARE = torch.tensor([0.2, 0.3, 0.5]).double()
MEAN = torch.tensor([[-0.8, -0.5], [0.7, 0.6], [0.3, -0.7]]).double()
S = 0.15
N = 4000

FINE = UniformOverLevels(ddpm_levels(Schedule.squaredcos, 400))
WIDE = ContinuousLaw(LawKind.log_normal, -1.2, 1.2, 0.002, 80.0)


def sample(n: int, seed: int) -> Tensor:
    """(n,1,2) chunks of one step."""
    generator = torch.Generator().manual_seed(seed)
    component = torch.multinomial(SHARE, n, replacement=True, generator=generator)
    noise = torch.randn(n, 2, generator=generator, dtype=torch.float64)
    return (MEAN[component] + S * noise)[:, None]


def exact(
    x: Tensor,
    sigma: Tensor,
    mean: Tensor = MEAN,
    share: Tensor = SHARE,
    s: Tensor | float = S,
) -> Tensor:
    """D(x; sigma), (B,1,A) and (B,), for components at mean (K,A) with share and s (K,)."""
    variance = s**2 + sigma[:, None] ** 2 + 0 * share  # (B,K)
    away = x - mean  # (B,K,A)
    logits = (share / variance ** (x.shape[-1] / 2)).log() - away.square().sum(-1) / (2 * variance)
    answers = mean + ((variance - sigma[:, None] ** 2) / variance)[..., None] * away
    return (logits.softmax(-1)[..., None] * answers).sum(1, keepdim=True)


def run(calls: list[Call], noises: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(noises, N, 1, 2, generator=generator, dtype=torch.float64)
    *_, (chunk, _) = solve(exact, noise, calls)
    return chunk


def p_value(chunk: Tensor) -> float:
    """Kolmogorov and Smirnov along 16 directions against fresh samples, Bonferroni."""
    angle = torch.arange(16) * torch.pi / 16
    directions = torch.stack([angle.cos(), angle.sin()]).double()
    ours, theirs = chunk[:, 0] @ directions, sample(N, seed=99)[:, 0] @ directions
    tests = [ks_2samp(a, b).pvalue for a, b in zip(ours.T, theirs.T, strict=True)]
    return float(16 * min(tests))


WAYS: dict[str, tuple[Solver, Spacing, int, Law]] = {
    "ddim": (Solver.ddim, Spacing.karras, 100, WIDE),
    "euler": (Solver.euler, Spacing.uniform_flow, 100, WIDE),
    "heun": (Solver.heun, Spacing.karras, 30, WIDE),
    "dpmpp_2m": (Solver.dpmpp_2m, Spacing.log_snr, 30, WIDE),
    "ddpm": (Solver.ddpm, Spacing.trailing, 400, FINE),
}


@pytest.mark.parametrize("name", list(WAYS))
def test_a_solver_with_the_exact_denoiser_reproduces_the_distribution(name: str) -> None:
    solver, spacing, steps, law = WAYS[name]
    calls = solver_calls(solver, solver_grid(spacing, steps, law))
    chunk, truth = run(calls, noises_needed(solver, steps))[:, 0], sample(200_000, seed=7)[:, 0]
    error = 4 * truth.std() / N**0.5
    torch.testing.assert_close(chunk.mean(0), truth.mean(0), atol=float(error), rtol=0)
    torch.testing.assert_close(chunk.T.cov(), truth.T.cov(), atol=float(error), rtol=0)
    assert p_value(chunk[:, None]) > 1e-3


def test_the_two_sample_test_knows_a_wrong_solver() -> None:
    solver, spacing, steps, law = WAYS["ddpm"]
    calls = solver_calls(solver, solver_grid(spacing, steps, law))
    without_noise = [call._replace(d=0.0) for call in calls]
    too_noisy = [call._replace(d=1.3 * call.d) for call in calls]
    too_coarse = solver_calls(Solver.ddim, solver_grid(Spacing.karras, 10, WIDE))
    for wrong in (without_noise, too_noisy, too_coarse):
        assert p_value(run(wrong, steps)) < 1e-6


SIGMA_MIN = 0.3
M = 100_000


def observe(kind: str, sigma: float) -> NoisyChunks:
    """Return M noisy one-dimensional samples.

    ordinary: all are known. ambient and cotraining: every other one is known at SIGMA_MIN only,
    which ambient knows and cotraining takes for x0.
    """
    generator = torch.Generator().manual_seed(4)
    kept_noise, eps = torch.randn(2, M, 1, 1, generator=generator, dtype=torch.float64)
    known_at = torch.arange(M) % 2 * torch.tensor(SIGMA_MIN).double()
    x0, zero, level = sample(M, seed=3)[..., :1], 0 * known_at, torch.full_like(known_at, sigma)
    if kind == "ambient":
        return corrupt(x0, kept_noise, eps, level, known_at)
    if kind == "cotraining":
        x0 = corrupt(x0, kept_noise, eps, level, known_at).x_trust
    return corrupt(x0, kept_noise, eps, level, zero)


def denoiser(prediction: Prediction, theta: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
    """Preconditioned F: a straight line and 16 bumps where x lies, with heights theta (18,)."""
    c_skip, c_out, _ = coefficients(prediction, sigma, 0.5)
    z = x / (0.3 + sigma**2).sqrt()[:, None, None]
    bumps = torch.exp(-(((z - torch.linspace(-2, 2, 16)) / 0.3) ** 2))
    features = torch.cat([torch.ones_like(z), z, bumps], dim=-1)
    return c_skip * x + c_out * (features @ theta)[..., None]


def minimiser(kind: str, prediction: Prediction, sigma: float) -> Tensor:
    """theta at which the loss of training is least; it is quadratic, so Newton needs one step."""
    noisy, mask = observe(kind, sigma), torch.ones(M, 1, dtype=torch.bool)
    weight = error_weight(prediction, noisy.sigma, 0.5, None)

    def loss(theta: Tensor) -> Tensor:
        x0_hat = denoiser(prediction, theta, noisy.x_sigma, noisy.sigma)
        return denoising_loss(x0_hat, noisy, weight, mask)

    start = torch.zeros(18, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(loss(start), start)
    curvature: Tensor = torch.func.hessian(loss)(start.detach())
    theta: Tensor = -torch.linalg.solve(curvature + 1e-9 * torch.eye(18), gradient)
    return theta


@pytest.mark.parametrize(
    ("prediction", "sigma"),
    [
        (Prediction.x0, 1.01 * buffer_factor(4.0) * SIGMA_MIN),
        *((prediction, 0.5) for prediction in Prediction),
        (Prediction.x0, 0.7),
    ],
)
def test_ambient_and_ordinary_loss_share_their_minimiser_and_cotraining_is_biased(
    prediction: Prediction, sigma: float
) -> None:
    """Cotraining learns, as it should, the denoiser of what it was shown: another distribution."""
    x = observe("ordinary", sigma).x_sigma
    level, mean = torch.full((M,), sigma).double(), MEAN[:, :1]
    blurred = torch.tensor([S] * 3 + [float(np.hypot(S, SIGMA_MIN))] * 3).double()
    shown = exact(x, level, torch.cat([mean, mean]), torch.cat([SHARE, SHARE]) / 2, blurred)
    truth = exact(x, level, mean)

    def distance(kind: str, to: Tensor) -> float:
        answer = denoiser(prediction, minimiser(kind, prediction, sigma), x, level)
        return (answer - to).square().mean().sqrt().item()

    bias = (shown - truth).square().mean().sqrt().item()
    assert bias > 0.03
    assert distance("ordinary", truth) < bias / 3
    assert distance("ambient", truth) < bias / 3
    assert distance("cotraining", truth) == pytest.approx(bias, rel=0.1)
    assert distance("cotraining", shown) < bias / 3
