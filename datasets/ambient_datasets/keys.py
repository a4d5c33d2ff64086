"""Under which keys the columns and cameras of a store are written in someone else's format."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ambient_datasets.store import Store
from ambient_policy.errors import SettingsError, unknown


@dataclass(frozen=True)
class Keys:
    """The keys of one export.

    Attributes:
        observations: names of the observation columns by the key that holds them, in order.
        action: the key of the action.
        cameras: the key of each camera by its name.
    """

    observations: Mapping[str, tuple[str, ...]]
    action: str
    cameras: Mapping[str, str]

    @classmethod
    def of(
        cls,
        store: Store,
        *,
        state: str,
        camera: str,
        groups: Mapping[str, Sequence[str]],
        cameras: Mapping[str, str],
        taken: Sequence[str] = (),
    ) -> "Keys":
        """The keys asked for, and for the rest those of the format.

        Args:
            store: what is written.
            state: the format's key of the observation where there are no groups.
            camera: the format's key of a camera, up to its name.
            groups: names of observation columns by key: every column once, or none given at all.
            cameras: key of a camera by its name, where it is to be another.
            taken: keys that the format needs for itself.

        Raises:
            SettingsError: naming the column, camera or key at fault.
        """
        names = store.attributes.observation_names
        chosen = {key: tuple(columns) for key, columns in groups.items()} or {state: names}
        _check_columns(chosen, names)
        for name in cameras:
            if name not in store.cameras:
                raise unknown("camera", name, store.cameras)
        films = {name: cameras.get(name, camera + name) for name in store.cameras}
        _check_keys([*chosen, "action", *films.values()], taken)
        return cls(chosen, "action", films)

    def split(
        self, observations: NDArray[np.float32], names: Sequence[str]
    ) -> dict[str, NDArray[np.float32]]:
        """(T,O) observations of columns with these names -> (T,D) by key."""
        return {
            key: observations[:, [names.index(name) for name in group]]
            for key, group in self.observations.items()
        }


def _check_columns(groups: Mapping[str, tuple[str, ...]], names: Sequence[str]) -> None:
    grouped = [name for group in groups.values() for name in group]
    for name in grouped:
        if name not in names:
            raise unknown("observation column", name, names)
    missing = [name for name in names if name not in grouped]
    if missing or len(set(grouped)) < len(grouped) or not all(groups.values()):
        raise SettingsError(
            f"observations = { {key: list(group) for key, group in groups.items()} }: give every "
            f"column of the store once ({', '.join(names)}), at least one under each key; or none "
            "at all, and they are written under one key."
        )


def _check_keys(keys: Sequence[str], taken: Sequence[str]) -> None:
    for key in keys:
        plain = key.isprintable() and key.strip() == key and not {"/", "\\"} & {*key}
        if not key or not plain or key in taken or key.startswith(".") or keys.count(key) > 1:
            raise SettingsError(
                f"key '{key}': give each column group and camera a key of its own without slashes, "
                f"not beginning with a dot, and none of: {', '.join(('action', *taken))}."
            )
