"""The quality of the averaged weights on episodes that no training step uses.

Windows, noise levels and noise are the same at every step, in every arm and for every training
seed, so that two numbers differ only by the weights. Held-out episodes count as trusted
(sigma_trust = 0), so hold out episodes of trusted sources.
"""

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from ambient_policy.batch import Batch, Draw
from ambient_policy.diffusion.law import Law
from ambient_policy.errors import SettingsError
from ambient_policy.policy import Policy
from ambient_policy.seeding import generator, torch_generator
from ambient_policy.settings import LossSettings, ValidationSettings

SEED = 0  # not the training seed: see above


def held_out_draw(windows: NDArray[np.int64], law: Law, settings: ValidationSettings) -> Draw:
    """Choose held-out windows, evenly spread over all of them, by rising noise level.

    Args:
        windows: (V,) the held-out windows.
        law: the training law of sigma.
        settings: number of windows, and the bands of sigma.

    Raises:
        SettingsError: if no window is held out, or a band holds no level.
    """
    if not len(windows):
        raise SettingsError(
            f"training.validation.every = {settings.every}, but no source holds episodes out; set "
            "sources.<name>.held_out of a trusted one, e.g. 0.1, or training.validation.every=null."
        )
    count = settings.windows
    chosen = windows[np.arange(count) * len(windows) // count]
    sigma = law.quantile((np.arange(count) + 0.5) / count)
    sigma = sigma.astype(np.float32).astype(np.float64)  # as a batch has it: the bands are the same
    for low, high, rows in bands(sigma, settings.bands):
        if rows.start == rows.stop:
            raise SettingsError(
                f"training.validation.bands = {list(settings.bands)}: none of {count} levels lies "
                f"above {low:g} and up to {high:g}; they go from {sigma[0]:.4g} to {sigma[-1]:.4g}."
                " Give other bands, or more training.validation.windows."
            )
    shuffled = generator(SEED, "validation windows").permutation(chosen)
    return Draw(shuffled, sigma, np.zeros(count))


def bands(sigma: NDArray[np.floating], edges: list[float]) -> list[tuple[float, float, slice]]:
    """Return (low, high, rows of the rising levels in (low, high]) of every band."""
    limits = [0.0, *edges, float("inf")]
    rows = np.searchsorted(sigma, limits, side="right")
    return [
        (low, high, slice(first, last))
        for (low, high), (first, last) in zip(pairwise(limits), pairwise(rows), strict=True)
    ]


@torch.no_grad()
def validate(
    policy: Policy, batch: Batch, loss: LossSettings, settings: ValidationSettings
) -> dict[str, float]:
    """Return the loss over all levels and in each band of sigma, and the action error.

    Args:
        policy: the averaged weights, in evaluation mode.
        batch: the batch of ``held_out_draw``.
        loss: the training's loss settings.
        settings: the bands.
    """
    device = batch.actions.device
    noise = torch_generator(SEED, "validation noise", device=device)
    eps = torch.randn(batch.actions.shape, generator=noise, device=device)

    def error(rows: slice) -> float:
        part = batch.rows(rows)
        return policy.loss(part, eps[rows], loss.mask_padding, loss.min_snr).item()

    row = {"validation/loss": error(slice(None))}
    for low, high, rows in bands(batch.sigma.cpu().numpy(), settings.bands):
        row[f"validation/loss_{low:g}_{high:g}"] = error(rows)
    return {**row, "validation/action_error": action_error(policy, batch)}


def action_error(policy: Policy, batch: Batch) -> float:
    """Return the root mean square of sampled minus demonstrated action, in the actions' unit.

    The mean is over windows, over the action dimensions of each, and over the executed steps before
    the episode's end.
    """
    act = policy.horizons.act
    shape = (policy.noises, *batch.actions.shape)
    noise = generator(SEED, "validation chunks").standard_normal(shape, dtype=np.float32)
    sampled = torch.from_numpy(policy.sample(batch.observations, noise)).to(batch.actions.device)
    present, counted = policy.mask(batch.observations), ~batch.is_pad[:, :act, None]
    counted = counted.expand_as(sampled[:, :act])
    if present is not None:
        counted = counted & present.bool()
    wrong = (sampled - batch.actions)[:, :act][counted]
    return wrong.square().mean().sqrt().item()
