"""Which sizes make a U-Net, without making one."""

from collections.abc import Sequence

from ambient_policy.errors import SettingsError

MAX_DEPTH = 16  # levels of the U-Net; real ones have 2 to 5


def check_horizon(pred: int, widths: Sequence[int]) -> None:
    """Refuse a prediction horizon that the halvings of the U-Net do not divide.

    Raises:
        SettingsError: naming the horizon, the divisor and the nearest horizons that fit.
    """
    divisor = 2 ** (len(widths) - 1)
    if pred % divisor:
        below, above = pred // divisor * divisor, (pred // divisor + 1) * divisor
        raise SettingsError(
            f"horizons.pred = {pred} does not fit a U-Net with widths {list(widths)}, "
            f"which halves time {len(widths) - 1} times: it must be a multiple of {divisor}. "
            f"Set horizons.pred to {below or above} or {above}, or use fewer network.widths."
        )


def check_network(widths: Sequence[int], embedding: int, kernel: int, groups: int) -> None:
    """Refuse sizes that make no U-Net.

    Raises:
        SettingsError: naming the setting and what fits.
    """
    if not 1 <= len(widths) <= MAX_DEPTH or min(widths) < 1:
        raise SettingsError(
            f"network.widths = {list(widths)[: MAX_DEPTH + 1]}: give 1 to {MAX_DEPTH} levels, each "
            "of positive width."
        )
    if kernel < 1 or kernel % 2 == 0:
        raise SettingsError(f"network.kernel = {kernel} must be odd, for example {kernel + 1}.")
    if groups < 1 or any(width % groups for width in widths):
        raise SettingsError(
            f"network.groups = {groups} must divide every one of network.widths = {list(widths)}."
        )
    if embedding < 4 or embedding % 2:
        raise SettingsError(
            f"network.embedding = {embedding} must be even and at least 4: sines and cosines."
        )
