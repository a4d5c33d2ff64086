"""The loss: its reduction, its equivalents in VP letters, and its minimiser."""

from typing import Any

import pytest
import torch
from torch import Tensor

from ambient_policy.ambient.corrupt import corrupt
from ambient_policy.diffusion.loss import NoisyChunks, ambient_target, denoising_loss, error_weight
from ambient_policy.diffusion.precondition import Prediction, c_noise, coefficients

torch.set_default_dtype(torch.float32)
B, TP, A = 64, 8, 2
DATA = 0.4  # sigma_data


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def everything() -> Tensor:
    return torch.ones(B, TP, dtype=torch.bool)


SIGMA = torch.logspace(-1.5, 1, B, dtype=torch.float64)


@pytest.mark.parametrize("prediction", list(Prediction))
def test_weighted_loss_is_the_error_of_what_the_network_estimates(prediction: Prediction) -> None:
    x0, eps, output = normal(B, TP, A), normal(B, TP, A, seed=1), normal(B, TP, A, seed=2)
    x = x0 + SIGMA[:, None, None] * eps
    sigma = SIGMA[:, None, None]
    alpha, deviation = (1 + sigma**2).rsqrt(), (sigma**2 + DATA**2).sqrt()
    target, seen = {
        Prediction.x0: (x0, alpha * x),
        Prediction.eps: (eps, alpha * x),
        Prediction.v: (alpha * eps - sigma * alpha * x0, alpha * x),
        # Karras et al. 2022, eq. 8 with table 1: (x0 - c_skip x) / c_out
        Prediction.edm: ((sigma * x0 - DATA**2 * eps) / (DATA * deviation), x / deviation),
        Prediction.flow: (eps - x0, x / (1 + sigma)),
    }[prediction]
    c_skip, c_out, c_in = coefficients(prediction, SIGMA, DATA)
    torch.testing.assert_close(c_skip * x + c_out * target, x0)
    torch.testing.assert_close(c_in * x, seen)
    loss = denoising_loss(
        c_skip * x + c_out * output,
        NoisyChunks(x0, x, SIGMA, 0 * SIGMA),
        error_weight(prediction, SIGMA, DATA, None),
        everything(),
    )
    torch.testing.assert_close(loss, ((output - target) ** 2).mean())


def test_noise_embedding_sees_the_steps_of_the_cosine_schedule() -> None:
    t = torch.arange(1.0, 100.0)
    torch.testing.assert_close(c_noise(torch.tan(torch.pi * t / 200)), t, rtol=1e-4, atol=1e-4)


def test_ambient_loss_without_trust_level_is_the_ordinary_loss() -> None:
    x0, kept_noise, eps = normal(B, TP, A), normal(B, TP, A, seed=1), normal(B, TP, A, seed=2)
    noisy = corrupt(x0, kept_noise, eps, SIGMA, 0 * SIGMA)
    assert torch.equal(noisy.x_trust, x0)
    assert torch.equal(ambient_target(noisy), x0)


def test_ambient_loss_equals_its_two_published_forms() -> None:
    """||(1-r) D + r x - x_trust||^2 / (1-r)^2, and the slides' x0 form in VP letters."""
    sigma, sigma_trust = torch.tensor([0.8], dtype=torch.float64), torch.tensor([0.3]).double()
    x_trust, x_sigma, d = normal(1, TP, A), normal(1, TP, A, seed=1), normal(1, TP, A, seed=2)
    mask = torch.ones(1, TP, dtype=torch.bool)
    one = error_weight(Prediction.x0, sigma, DATA, None)
    noisy = NoisyChunks(x_trust, x_sigma, sigma, sigma_trust)
    ours = denoising_loss(d, noisy, one, mask)
    r = (sigma_trust / sigma) ** 2
    torch.testing.assert_close(
        ours, (((1 - r) * d + r * x_sigma - x_trust) ** 2).mean() / ((1 - r) ** 2).squeeze()
    )
    s, s_min, x_s, x_smin = vp_images(noisy)
    gap = s**2 - s_min**2
    slides = (
        d + s_min**2 * (1 - s**2).sqrt() / gap * x_s - s**2 * (1 - s_min**2).sqrt() / gap * x_smin
    )
    torch.testing.assert_close(ours, (slides**2).mean())


def vp_images(noisy: NoisyChunks) -> Any:
    """Return (s, s_min, x_s, x_smin), the noisy chunks in VP letters."""
    x_trust, x_sigma, sigma, sigma_trust = noisy
    s, s_min = sigma / (1 + sigma**2).sqrt(), sigma_trust / (1 + sigma_trust**2).sqrt()
    return s, s_min, x_sigma * (1 - s**2).sqrt(), x_trust * (1 - s_min**2).sqrt()


def eps_target(x_s: Tensor, x_smin: Tensor, s: Tensor, s_min: Tensor, slides: bool) -> Tensor:
    """What eps_hat should equal in the mean, in VP letters; the slides' coefficient or ours."""
    gap = s**2 - s_min**2
    printed = s**2 * (1 - s_min**2) / (gap * (1 - s**2).sqrt())
    coefficient = printed if slides else s * (1 - s_min**2) / gap
    return coefficient * x_s - s * ((1 - s**2) * (1 - s_min**2)).sqrt() / gap * x_smin


def test_ambient_loss_of_eps_equals_its_form_in_vp_letters() -> None:
    sigma, sigma_trust = torch.tensor([0.8]).double(), torch.tensor([0.3]).double()
    x_trust, x_sigma, eps_hat = (normal(1, TP, A, seed=i) for i in range(3))
    noisy = NoisyChunks(x_trust, x_sigma, sigma, sigma_trust)
    s, s_min, x_s, x_smin = vp_images(noisy)
    ours = denoising_loss(
        x_sigma - sigma * eps_hat,
        noisy,
        error_weight(Prediction.eps, sigma, DATA, None),
        torch.ones(1, TP, dtype=torch.bool),
    )
    target = eps_target(x_s, x_smin, s, s_min, slides=False)
    torch.testing.assert_close(ours, ((eps_hat - target) ** 2).mean())


def test_the_slides_eps_form_is_not_the_ordinary_loss_without_trust_level() -> None:
    x0, eps = normal(B, TP, A), normal(B, TP, A, seed=1)
    sigma = SIGMA[:, None, None]
    s, zero, x_s, x_smin = vp_images(NoisyChunks(x0, x0 + sigma * eps, sigma, 0 * sigma))
    torch.testing.assert_close(eps_target(x_s, x_smin, s, zero, slides=False), eps)
    error = eps_target(x_s, x_smin, s, zero, slides=True) - eps
    torch.testing.assert_close(error, (1 / (1 - s**2).sqrt() - 1 / s) * x_s)
    assert error.std() > 0.5


def test_the_slides_eps_form_is_biased_and_ours_is_not() -> None:
    """For Gaussian x0 of variance v, E[eps | x_s] = s / (v (1 - s^2) + s^2) x_s: regress."""
    n, v = 400_000, 0.5
    sigma, sigma_trust = torch.full((n, 1, 1), 0.7).double(), torch.full((n, 1, 1), 0.4).double()
    x0 = normal(n, 1, 1) * v**0.5
    noises = normal(n, 1, 1, seed=1), normal(n, 1, 1, seed=2)
    x_trust, x_sigma, *_ = corrupt(x0, *noises, sigma.flatten(), sigma_trust.flatten())
    s, s_min, x_s, x_smin = vp_images(NoisyChunks(x_trust, x_sigma, sigma, sigma_trust))
    exact = (s[0] / (v * (1 - s[0] ** 2) + s[0] ** 2)).item()
    slope = {
        slides: (eps_target(x_s, x_smin, s, s_min, slides) * x_s).mean() / (x_s**2).mean()
        for slides in (False, True)
    }
    assert slope[False].item() == pytest.approx(exact, abs=0.01)
    assert abs(slope[True].item() - exact) > 0.5


def test_ambient_target_is_unbiased_given_what_the_denoiser_sees() -> None:
    """For Gaussian x0 with variance v, E[x0 | x] = v/(v + sigma^2) x: regress to find the same."""
    n, v, sigma, sigma_trust = 400_000, 0.5, 0.7, 0.4
    levels = torch.full((n,), sigma).double(), torch.full((n,), sigma_trust).double()
    x0 = normal(n, 1, 1) * v**0.5
    noisy = corrupt(x0, normal(n, 1, 1, seed=1), normal(n, 1, 1, seed=2), *levels)
    target, x = ambient_target(noisy), noisy.x_sigma
    slope = (target * x).mean() / (x * x).mean()
    assert slope.item() == pytest.approx(v / (v + sigma**2), abs=0.01)


@pytest.mark.parametrize("sigma_trust", [0.0, 0.4])
@pytest.mark.parametrize("prediction", list(Prediction))
def test_both_losses_ask_every_parametrisation_for_the_same_network(
    prediction: Prediction, sigma_trust: float
) -> None:
    """Gaussian x0 of variance v: the best F(x) = c x has c_skip + c_out c = v/(v + sigma^2)."""
    n, v, sigma = 200_000, 0.5, 0.7
    levels = torch.full((n,), sigma).double(), torch.full((n,), sigma_trust).double()
    x0 = normal(n, 1, 1) * v**0.5
    noisy = corrupt(x0, normal(n, 1, 1, seed=1), normal(n, 1, 1, seed=2), *levels)
    c_skip, c_out, _ = coefficients(prediction, levels[0], DATA)
    weight, mask = error_weight(prediction, levels[0], DATA, None), torch.ones(n, 1).bool()

    def loss(c: float) -> float:
        answer = c_skip * noisy.x_sigma + c_out * c * noisy.x_sigma
        return denoising_loss(answer, noisy, weight, mask).item()

    low, middle, high = loss(-1), loss(0), loss(1)  # a parabola, and its lowest point
    best = (low - high) / (2 * (low - 2 * middle + high))
    denoiser = c_skip[0] + c_out[0] * best
    assert denoiser.item() == pytest.approx(v / (v + sigma**2), abs=0.015)


def test_corruption_has_variance_sigma_squared_whatever_the_trust_level() -> None:
    for sigma_trust in (0.0, 0.5, 0.9):
        n = 200_000
        zero = torch.zeros(n, 1, 1).double()
        noisy = corrupt(
            zero,
            normal(n, 1, 1),
            normal(n, 1, 1, seed=1),
            torch.full((n,), 0.9).double(),
            torch.full((n,), sigma_trust).double(),
        )
        assert noisy.x_sigma.var().item() == pytest.approx(0.81, rel=0.02)


def test_masked_steps_do_not_count() -> None:
    x, mask = normal(B, TP, A), everything()
    mask[:, 5:] = False
    noisy, weight = NoisyChunks(x, x, SIGMA, 0 * SIGMA), torch.ones(B, 1, 1)
    wrong_where_masked = x.clone()
    wrong_where_masked[:, 5:] = 1e6
    assert denoising_loss(wrong_where_masked, noisy, weight, mask) == 0
    assert denoising_loss(x + 1, noisy, weight, mask).item() == pytest.approx(1.0)


@pytest.mark.parametrize("prediction", list(Prediction))
def test_min_snr_weight_is_the_published_one_in_every_parametrisation(
    prediction: Prediction,
) -> None:
    """Hang et al. 2023: min(SNR, 5) of the x0 error; of another F it is that times c_out^2."""
    weight = error_weight(prediction, SIGMA, DATA, 5.0).flatten()
    snr = SIGMA**-2
    torch.testing.assert_close(weight, torch.minimum(snr, torch.tensor(5.0).double()))
    published = {
        Prediction.x0: weight,
        Prediction.eps: weight / snr,
        Prediction.v: weight / (snr + 1),
        Prediction.edm: weight / (snr + DATA**-2),
        Prediction.flow: weight / (snr**0.5 + 1) ** 2,
    }[prediction]
    c_out = coefficients(prediction, SIGMA, DATA).c_out.flatten()
    torch.testing.assert_close(weight * c_out**2, published)
