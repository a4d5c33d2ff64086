"""Actions from what came after: the action of a row is what a key said k rows later.

For sources whose recorded action is not what was commanded, but, say, a velocity measured.
"""

import re
from dataclasses import replace
from pathlib import Path

from ambient_datasets.demonstrations import Changed, Demonstrations
from ambient_datasets.records import Episode
from ambient_policy.errors import DataError, SettingsError


def parse_action_from(text: str) -> tuple[list[str], int]:
    """ "observation.state[t+1]" -> (["observation.state"], 1); "pos,rot[t+1]" has two keys.

    Raises:
        SettingsError: for any other form, or k < 1.
    """
    match = re.fullmatch(r"(.+)\[t\+([1-9][0-9]{0,5})\]", text)
    keys = [key.strip() for key in match[1].split(",")] if match else []
    if match is None or not all(keys):
        raise SettingsError(
            f"action_from = '{text}': give a key of the source and how many rows later it is read, "
            "at least 1, for example observation.state[t+1]; of several keys pos,rot,width[t+1]."
        )
    return keys, int(match[2])


def relabel(path: Path, source: Demonstrations, ahead: int) -> Demonstrations:
    """The action of row t becomes the one of row t + ahead; the last ``ahead`` rows go.

    Args:
        path: of the source, for messages.
        source: its actions are the key that the new ones are taken from.
        ahead: k [rows], at least 1.
    """

    def change(episode: Episode) -> Episode:
        return replace(cut(episode, ahead), actions=episode.actions[ahead:])

    return Changed(path, source, source.attributes, source.cameras, change)


def cut(episode: Episode, ahead: int) -> Episode:
    """An episode without its last rows, whose actions lie beyond its end.

    Raises:
        DataError: if nothing would be left.
    """
    rows = len(episode) - ahead
    if rows < 1:
        raise DataError(
            f"{len(episode)} rows, and its actions are to be read {ahead} rows later, so at "
            f"least {ahead + 1} are needed."
        )
    images = {name: frames[:rows] for name, frames in episode.images.items()}
    observations, actions = episode.observations[:rows], episode.actions[:rows]
    return replace(episode, observations=observations, actions=actions, images=images)
