"""What a policy must be shown and what it commands, and whether an observation is that."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambient_policy.batch import STATE
from ambient_policy.errors import DataError, listed, unknown

Parts = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Interface:
    """The columns and pictures of the robot that acts.

    Attributes:
        observation_names: of the O numbers of the state, in their order.
        action_names: of the A numbers that are commanded.
        cameras: each with the (height, width, channels) of its picture [px].
    """

    observation_names: tuple[str, ...]
    action_names: tuple[str, ...]
    cameras: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)

    def parts(self, observation: Any, lead: tuple[int, ...], live: NDArray[np.bool_]) -> Parts:
        """An observation as named parts, checked.

        Args:
            observation: the state alone (O,), where there is no camera; or a mapping that holds
                "state" (O,), or each of its columns by name (), and each camera (H,W,3) uint8.
                What else a mapping holds is not looked at.
            lead: what every shape begins with: () for one robot, (W,) for W worlds.
            live: (W,) the worlds whose numbers must be finite; (1,) for one robot.

        Returns:
            "state" (W,O) float32 and the cameras (W,H,W,3) uint8.

        Raises:
            DataError: naming the part or column, what it is and what is needed.
        """
        parts = self._parts(observation, lead)
        whole = {name: part.reshape(-1, *part.shape[len(lead) :]) for name, part in parts.items()}
        self._check_finite(whole[STATE], live)
        return whole

    def histories(self, history: Mapping[str, Any], obs: int) -> Parts:
        """The last observations of W worlds, checked as ``parts`` checks one.

        Args:
            history: "state" (W,To,O) and each camera (W,To,H,W,3) uint8.
            obs: To [control steps].

        Raises:
            DataError: naming the part or column, what it is and what is needed.
        """
        state = _array(f"'{STATE}'", self._part(history, STATE))
        parts = self._parts(history, (len(state) if state.ndim else 1, obs))
        for step in range(obs):
            self._check_finite(parts[STATE][:, step], np.ones(len(state), bool))
        return parts

    def _parts(self, observation: Any, lead: tuple[int, ...]) -> Parts:
        named = observation if isinstance(observation, Mapping) else self._alone(observation)
        parts: Parts = {STATE: self._state(named, lead)}
        for camera, shape in self.cameras.items():
            parts[camera] = _picture(camera, self._part(named, camera), (*lead, *shape))
        return parts

    def _alone(self, observation: Any) -> Mapping[str, Any]:
        """An array is the state, and nothing but the state."""
        if self.cameras:
            raise DataError(
                f"the observation is {_kind(observation)}, but the policy also looks through "
                f"{listed(self.cameras)}. Give a mapping of {', '.join(self._needed())}."
            )
        return {STATE: observation}

    def _needed(self) -> list[str]:
        return [STATE, *self.cameras]

    def _part(self, named: Mapping[str, Any], name: str) -> Any:
        if name not in named:
            raise DataError(
                f"the observation has no '{name}': {unknown('part', name, named)} The policy needs "
                f"{', '.join(self._needed())}."
            )
        return named[name]

    def _state(self, named: Mapping[str, Any], lead: tuple[int, ...]) -> NDArray[np.float32]:
        """(*lead,O): the part of that name, or its columns one by one."""
        names, shape = self.observation_names, (*lead, len(self.observation_names))
        missing = [name for name in names if name not in named]
        if STATE in named and (missing or _array(f"'{STATE}'", named[STATE]).shape != lead):
            return _numbers(f"'{STATE}' ({listed(names)})", named[STATE], shape)
        if missing:
            content = listed(map(str, named)) or "nothing"
            raise DataError(
                f"the observation has no '{missing[0]}': it holds {content}. Give "
                f"'{STATE}' {shape}, or each of its columns by name: {listed(names)}."
            )
        return np.stack([_numbers(f"'{name}'", named[name], lead) for name in names], axis=-1)

    def _check_finite(self, state: NDArray[np.float32], live: NDArray[np.bool_]) -> None:
        bad = np.argwhere(~np.isfinite(state) & live[:, None])
        if len(bad):
            world, column = bad[0]
            where = f" of world {world}" if len(live) > 1 else ""
            raise DataError(
                f"'{self.observation_names[column]}'{where} is {state[world, column]}, and a "
                "finite number is needed. Stop the robot, and look at that sensor."
            )


def _numbers(name: str, values: Any, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Real numbers of a shape, as float32."""
    array = _array(name, values)
    if array.dtype.kind not in "fiu":
        raise DataError(f"{name} is {_kind(array)}, and real numbers are needed.")
    if array.shape != shape:
        raise DataError(f"{name} has shape {array.shape}, and {shape} is needed.")
    with np.errstate(over="ignore"):  # too large for float32 is infinite, and refused as that
        return array.astype(np.float32)


def _picture(name: str, values: Any, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    array = _array(f"'{name}'", values)
    if array.dtype != np.uint8 or array.shape != shape:
        raise DataError(
            f"'{name}' is {_kind(array)}, and a picture {shape} of uint8, 0 to 255, is needed: "
            "resize it as the demonstrations were."
        )
    return array


def _array(name: str, values: Any) -> NDArray[Any]:
    try:
        return np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        raise DataError(f"{name} is no array of numbers: {error}.") from error


def _kind(values: Any) -> str:
    if isinstance(values, np.ndarray):
        return f"an array {values.shape} of {values.dtype}"
    return f"a {type(values).__name__}"
