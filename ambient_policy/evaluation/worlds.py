"""Many worlds of one Gymnasium id as one vector environment in which ended worlds hold still.

A world shows a Box, which is the state part alone, or a Dict, of which ``NamedParts`` takes the
policy's parts and gives them the policy's names.
"""

import copy
import difflib
import importlib
import importlib.util
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces import Box, Dict, Space
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv, VectorObservationWrapper
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from ambient_policy.batch import STATE
from ambient_policy.errors import SettingsError, unknown

Worlds = VectorEnv[Any, Any, Any]
# packages of worlds that are imported for whoever names one of theirs: ours, and Push-T's
PACKAGES = ("ambient_envs", "gym_pusht")
ONLY_STATE: Mapping[str, str] = {STATE: STATE}


class HoldAfterEnd(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Hold a world still after its end: the last observation, reward 0, not ended, nothing moves.

    An observation that is not finite is an end too: a diverged world goes no further.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        self._held: Any = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start a new episode; the world moves again."""
        self._held = None
        return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Take one control step, or none if the world has ended."""
        if self._held is not None:
            return self._held, 0.0, False, False, {}
        observation, reward, terminated, truncated, info = self.env.step(action)
        if terminated or truncated or not _is_finite(observation):
            self._held = copy.deepcopy(observation)
        return observation, float(reward), terminated, truncated, info


def _is_finite(observation: Any) -> bool:
    parts = observation.values() if isinstance(observation, dict) else (observation,)
    return all(bool(np.isfinite(part).all()) for part in parts)


class HeldWorlds(SyncVectorEnv):
    """Step single worlds in turn; each is in ``HoldAfterEnd`` and never resets by itself."""

    def __init__(self, env_id: str, num_envs: int, **kwargs: Any) -> None:
        def build() -> gymnasium.Env[Any, Any]:
            return HoldAfterEnd(gymnasium.make(env_id, disable_env_checker=True, **kwargs))

        super().__init__([build] * num_envs, autoreset_mode=AutoresetMode.DISABLED)

    def step(
        self, actions: Any
    ) -> tuple[Any, NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """Take one control step of all worlds; Gymnasium's own refuses after the first end."""
        self._autoreset_envs[:] = False
        return super().step(actions)


class NamedParts(VectorObservationWrapper):
    """Show some parts of worlds with a Dict space under the policy's names.

    Args:
        worlds: the worlds.
        parts: name of the part -> its key in the space.
    """

    def __init__(self, worlds: Worlds, parts: Mapping[str, str]) -> None:
        super().__init__(worlds)
        self._parts = dict(parts)
        space: Any = worlds.single_observation_space
        self.single_observation_space = Dict({name: space[key] for name, key in parts.items()})
        self.observation_space = batch_space(self.single_observation_space, worlds.num_envs)

    def observations(self, observations: Any) -> dict[str, NDArray[Any]]:
        """Return the parts (W,...)."""
        return {name: observations[key] for name, key in self._parts.items()}


def make_worlds(
    env_id: str, num_envs: int, parts: Mapping[str, str] = ONLY_STATE, **kwargs: Any
) -> Worlds:
    """Make ``num_envs`` worlds of a registered id: its batched twin, or single worlds in turn.

    The twin is the id's ``vector_entry_point``, if its autoreset is disabled.

    Args:
        env_id: a Gymnasium id, or "package:id" to import the package that registers it.
        num_envs: W, worlds stepped together.
        parts: the policy's parts of a Dict observation, by their keys there: "state" (O,) and
            pictures (H,W,3) uint8. A Box observation is the state itself.
        kwargs: arguments of the environment.

    Raises:
        SettingsError: for an id that is not registered, or spaces no policy here can drive.
    """
    if num_envs < 1:
        raise SettingsError(f"worlds: num_envs = {num_envs}, but at least 1 world is needed.")
    spec = find_spec(env_id)
    worlds = _batched_twin(spec, num_envs, **kwargs) or HeldWorlds(spec.id, num_envs, **kwargs)
    try:
        check_spaces(spec.id, worlds.single_action_space, worlds.single_observation_space, parts)
    except SettingsError:
        worlds.close()
        raise
    is_dict = isinstance(worlds.single_observation_space, Dict)
    return NamedParts(worlds, parts) if is_dict else worlds


def find_spec(env_id: str) -> EnvSpec:
    """Find the specification of an id, after the import of the package that registers it.

    That package stands before the colon; without a colon it is named like the id's namespace.

    Raises:
        SettingsError: naming the ids of the same namespace and the closest others.
    """
    package, _, name = env_id.rpartition(":")
    namespace = name.rpartition("/")[0]
    if package:
        _import(package, env_id)
    elif namespace and importlib.util.find_spec(namespace) is not None:
        importlib.import_module(namespace)
    if name not in gymnasium.registry:
        raise SettingsError(
            f"{unknown('environment', name, _candidates(name))} If another package registers it, "
            f"install that package and write 'package:{name}'. The policy of a robot without a "
            "world is not rolled out; it acts by policy.actor()."
        )
    return gymnasium.registry[name]


def check_named(task: str, named: str | None) -> None:
    """Refuse a world whose package would be imported, and so run, only because a file says so.

    Args:
        task: what the file names.
        named: what the user names.

    Raises:
        SettingsError: with the key by which the user may name it.
    """
    package = task.rpartition(":")[0] or task.rpartition("/")[0]
    if task == named or task in gymnasium.registry or package in ("", *PACKAGES):
        return
    raise SettingsError(
        f"the policy's world '{task}' is not registered here, and to find it the package "
        f"'{package}' would be imported, which runs its code. If you know that package, name the "
        f"world yourself: world={task}"
    )


def _import(package: str, env_id: str) -> None:
    try:
        importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"environment '{env_id}': no package '{package}' is installed ({error}); install it, "
            "or name the package that registers the id."
        ) from error


def _candidates(name: str) -> set[str]:
    """Return the ids in the namespace of ``name``, and those with a similar spelling."""
    namespace, slash, _ = name.rpartition("/")
    relatives = {id_ for id_ in gymnasium.registry if slash and id_.startswith(f"{namespace}/")}
    close = difflib.get_close_matches(name, gymnasium.registry, n=5)
    return relatives.union(close) or {id_ for id_ in gymnasium.registry if "/" in id_}


def _batched_twin(spec: EnvSpec, num_envs: int, **kwargs: Any) -> Worlds | None:
    if spec.vector_entry_point is None:
        return None
    twin = gymnasium.make_vec(
        spec.id, num_envs=num_envs, vectorization_mode="vector_entry_point", **kwargs
    )
    if twin.metadata.get("autoreset_mode") is AutoresetMode.DISABLED:
        return twin
    twin.close()
    return None


def check_spaces(
    name: str, action: Space[Any], observation: Space[Any], parts: Mapping[str, str] = ONLY_STATE
) -> None:
    """Refuse a world whose actions are no vectors, or that does not show these parts.

    Args:
        name: name of the world, for the message.
        action, observation: the spaces of a single world.
        parts: the policy's parts, see ``make_worlds``.

    Raises:
        SettingsError: naming the space and what is needed.
    """
    if not isinstance(action, Box) or len(action.shape) != 1:
        raise SettingsError(
            f"environment '{name}' takes actions in {action}, but action chunks need a "
            "one-dimensional Box (A,): use an environment with continuous actions."
        )
    if not isinstance(observation, Dict):
        _check_state(f"environment '{name}' observes", observation)
        pictures = sorted(set(parts) - {STATE})
        if pictures:
            raise SettingsError(
                f"environment '{name}' shows no '{pictures[0]}', only a state; ask it for its "
                "cameras, e.g. +task.kwargs.cameras=[top] (gym_pusht: "
                "task.kwargs.obs_type=pixels_agent_pos)."
            )
        return
    for part, key in parts.items():
        if key not in observation.spaces:
            raise SettingsError(
                f"{unknown(f'part of what environment {name!r} observes:', key, observation)} Say "
                f"which of them is the policy's '{part}': +task.observation.{part}=..."
            )
        of = f"the part '{key}' of environment '{name}' lies in"
        (_check_state if part == STATE else _check_picture)(of, observation[key])


def check_shapes(worlds: Worlds, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse worlds whose parts do not have the shapes of a policy's demonstrations.

    Args:
        worlds: the worlds, from ``make_worlds``.
        shapes: shape of each part of the policy: "state" (O,), pictures (H,W,3).

    Raises:
        SettingsError: naming the part and both shapes.
    """
    space: Any = worlds.single_observation_space
    name = getattr(worlds.spec, "id", type(worlds).__name__)
    for part, learned in shapes.items():
        shown = (space[part] if isinstance(space, Dict) else space).shape
        if shown != tuple(learned):
            raise SettingsError(
                f"environment '{name}' shows '{part}' in shape {shown}, but the demonstrations "
                f"have {tuple(learned)}: make the world as it was demonstrated (task.kwargs, e.g. "
                "image_size), or demonstrate in this one."
            )


def _check_state(what: str, space: Space[Any]) -> None:
    if not isinstance(space, Box) or len(space.shape) != 1:
        raise SettingsError(
            f"{what} {space}, but a one-dimensional Box (O,) is needed: choose its state "
            "observation, or wrap it in gymnasium.wrappers.FlattenObservation under an id of your "
            "own."
        )


def _check_picture(what: str, space: Space[Any]) -> None:
    picture = isinstance(space, Box) and space.dtype == np.uint8 and len(space.shape) == 3
    if not picture or space.shape[2] != 3:  # type: ignore[index]
        raise SettingsError(
            f"{what} {space}, but a picture, a Box (H,W,3) of uint8, is needed: choose another "
            "part, or wrap the environment under an id of your own."
        )
