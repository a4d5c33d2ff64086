"""Whose columns a mixture has: everyone's the same, or the union by name of what each one has."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambient_datasets.demonstrations import UNKNOWN
from ambient_datasets.store import Attributes, Store
from ambient_policy.embodiments import Embodiment
from ambient_policy.errors import DataError, listed
from ambient_policy.normalize import Normalizer
from ambient_policy.settings import Dimensions

COMPARED = (
    "observation_names",
    "observation_units",
    "action_names",
    "action_units",
    "control_rate",
)


def unite(stores: Mapping[str, Store], dimensions: Dimensions = Dimensions.same) -> Attributes:
    """What the numbers of the whole mean; the task is the first store's.

    Args:
        stores: by the name of their source, at least one.
        dimensions: of a union the columns are the first store's, then those that each further one
            adds, in its order.

    Raises:
        DataError: naming two sources whose numbers do not mean the same, and what to do.
    """
    first = next(iter(stores.values())).attributes
    if dimensions is Dimensions.same:
        _check_alike(stores)
        whole: dict[str, Any] = {name: getattr(first, name) for name in COMPARED}
    else:
        _check_rates(stores)
        whole = {"control_rate": first.control_rate}
        for kind in ("observation", "action"):
            units = _join_columns(stores, kind)
            whole |= {f"{kind}_names": tuple(units), f"{kind}_units": tuple(units.values())}
    return Attributes(task=first.task, source=" + ".join(stores), **whole)


def unknown_units(stores: Mapping[str, Store]) -> Iterator[str]:
    """A remark on columns that sources share by name alone, for nobody says their units."""
    for kind in ("observation", "action"):
        having = Counter(
            name
            for store in stores.values()
            for name, unit in zip(
                *(getattr(store.attributes, f"{kind}_{part}") for part in ("names", "units")),
                strict=True,
            )
            if unit == UNKNOWN
        )
        shared = [name for name, count in having.items() if count > 1]
        if shared:
            yield (
                f"{kind}s {listed(shared, most=6)} of several sources are taken for one quantity "
                "by their names alone: their units are unknown. Are they of one robot? Say names "
                f"and units when converting (recipe.{kind}_names, recipe.{kind}_units)."
            )


def places(names: tuple[str, ...], whole: tuple[str, ...]) -> NDArray[np.int64]:
    """Where the columns of that name lie among those of the whole."""
    position = {name: i for i, name in enumerate(whole)}
    return np.array([position[name] for name in names], np.int64)


@dataclass(frozen=True, eq=False)
class Bodies:
    """Whose demonstrations are whose.

    Attributes:
        embodiments: all different, each named after the first source that has it.
        of_source: (S,) int64, the number of each source's among them.
    """

    embodiments: dict[str, Embodiment]
    of_source: NDArray[np.int64]


def embody(
    stores: Mapping[str, Store], normalizers: Mapping[str, Normalizer], whole: Attributes
) -> Bodies:
    """The embodiments of some sources.

    Args:
        stores: by the name of their source.
        normalizers: of each source's own columns.
        whole: what ``unite`` made of the stores.
    """
    names: dict[Embodiment, str] = {}
    numbers: dict[str, int] = {}
    for source, store in stores.items():
        body = _embodiment(store.attributes, normalizers[source], whole)
        first = names.setdefault(body, source)
        numbers[source] = numbers.get(first, len(names) - 1)
    bodies = {name: body for body, name in names.items()}
    return Bodies(bodies, np.array(list(numbers.values()), np.int64))


def _embodiment(own: Attributes, normalizer: Normalizer, whole: Attributes) -> Embodiment:
    observations = places(own.observation_names, whole.observation_names).tolist()
    actions = places(own.action_names, whole.action_names).tolist()
    return Embodiment(normalizer, tuple(observations), tuple(actions))


def _join_columns(stores: Mapping[str, Store], kind: str) -> dict[str, str]:
    """The unit of each column of the union, by its name, in order."""
    seen: dict[str, tuple[str, str]] = {}
    for source, store in stores.items():
        names, units = (getattr(store.attributes, f"{kind}_{part}") for part in ("names", "units"))
        for name, unit in zip(names, units, strict=True):
            first, by = seen.setdefault(name, (unit, source))
            if first != unit:
                raise DataError(
                    f"{store.path}: {kind} '{name}' of source '{source}' is in '{unit}', but that "
                    f"of '{by}' ({stores[by].path}) in '{first}': under one name there is one "
                    "quantity. Convert one store to the other's unit (columns with scale), or give "
                    "it another name."
                )
    return {name: unit for name, (unit, _) in seen.items()}


def _check_rates(stores: Mapping[str, Store]) -> None:
    (one, first), *others = stores.items()
    for other, store in others:
        rates = first.attributes.control_rate, store.attributes.control_rate
        if rates[0] != rates[1]:
            raise DataError(
                f"sources '{one}' ({first.path}) and '{other}' ({store.path}) cannot be mixed: "
                f"control_rate is {rates[0]} Hz in '{one}' but {rates[1]} Hz in '{other}', and a "
                "chunk has one duration. Convert one store anew with recipe.resample.rate="
                f"{rates[0]:g} (ambient-policy convert)."
            )


def _check_alike(stores: Mapping[str, Store]) -> None:
    (one, first), *others = stores.items()
    for other, store in others:
        differing = [
            f"{name} is {getattr(first.attributes, name)} in '{one}' but "
            f"{getattr(store.attributes, name)} in '{other}'"
            for name in COMPARED
            if getattr(first.attributes, name) != getattr(store.attributes, name)
        ]
        if differing:
            raise DataError(
                f"sources '{one}' ({first.path}) and '{other}' ({store.path}) cannot be mixed: "
                f"{'; '.join(differing)}. Convert one store so that both agree, leave one out, or "
                "let each have its own columns (dimensions=union)."
            )
