"""A figure as a file that people open."""

from pathlib import Path

from matplotlib.figure import Figure

from ambient_policy.errors import SettingsError
from ambient_policy.files import replace_file

SUFFIXES = (".png", ".pdf", ".svg")


def check_picture(name: str, file: str) -> None:
    """Refuse a file whose ending names none of the kinds.

    Args:
        name: of the setting.
        file: given.

    Raises:
        SettingsError: naming the setting and the kinds.
    """
    if Path(file).suffix not in SUFFIXES:
        raise SettingsError(f"{name} = {file}: give a file that ends in .png, .pdf or .svg.")


def write_picture(figure: Figure, file: Path, dpi: int) -> None:
    """Write a figure whole or not at all, as the kind that its ending names.

    Raises:
        CheckpointError: when the disk refuses.
    """
    with replace_file(file) as partial:
        figure.savefig(partial, format=file.suffix[1:], dpi=dpi)
