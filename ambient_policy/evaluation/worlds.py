"""Many worlds of one Gymnasium id as one vector environment in which ended worlds hold still."""

import difflib
import importlib
import importlib.util
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from numpy.typing import NDArray

from ambient_policy.errors import SettingsError, unknown

Worlds = VectorEnv[Any, Any, Any]


class HoldAfterEnd(gymnasium.Wrapper[Any, Any, Any, Any]):
    """After its end the world holds: the last observation, reward 0, not ended, nothing touched.

    An observation that is not finite is an end too: what has diverged is not driven further.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        self._held: Any = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start anew; the world moves again."""
        self._held = None
        return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One control step, or none when the world has ended."""
        if self._held is not None:
            return self._held, 0.0, False, False, {}
        observation, reward, terminated, truncated, info = self.env.step(action)
        if terminated or truncated or not np.isfinite(observation).all():
            self._held = np.array(observation)
        return observation, float(reward), terminated, truncated, info


class HeldWorlds(SyncVectorEnv):
    """Single worlds stepped in turn, each in ``HoldAfterEnd``, never reset by themselves."""

    def __init__(self, env_id: str, num_envs: int, **kwargs: Any) -> None:
        def build() -> gymnasium.Env[Any, Any]:
            return HoldAfterEnd(gymnasium.make(env_id, disable_env_checker=True, **kwargs))

        super().__init__([build] * num_envs, autoreset_mode=AutoresetMode.DISABLED)

    def step(
        self, actions: Any
    ) -> tuple[Any, NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """One control step of all worlds; Gymnasium's own would refuse once one has ended."""
        self._autoreset_envs[:] = False
        return super().step(actions)


def make_worlds(env_id: str, num_envs: int, **kwargs: Any) -> Worlds:
    """``num_envs`` worlds of a registered id: its own batched twin, or single worlds in turn.

    The twin is taken when the id has a ``vector_entry_point`` whose autoreset is disabled.

    Args:
        env_id: a Gymnasium id, or "package:id" to import the package that registers it.
        num_envs: W, worlds stepped together.
        kwargs: handed to the environment.

    Raises:
        SettingsError: for an id that is not registered, or spaces no policy here can drive.
    """
    if num_envs < 1:
        raise SettingsError(f"worlds: num_envs = {num_envs}, but at least 1 world is needed.")
    spec = find_spec(env_id)
    worlds = _batched_twin(spec, num_envs, **kwargs) or HeldWorlds(spec.id, num_envs, **kwargs)
    try:
        check_spaces(spec.id, worlds)
    except SettingsError:
        worlds.close()
        raise
    return worlds


def find_spec(env_id: str) -> EnvSpec:
    """What is registered under the id, after importing the package that registers it.

    That package is the one before the colon, else the one named like the id's namespace.

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
            f"install that package and write 'package:{name}'."
        )
    return gymnasium.registry[name]


def _import(package: str, env_id: str) -> None:
    try:
        importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"environment '{env_id}': no package '{package}' is installed ({error}); install it, "
            "or name the package that registers the id."
        ) from error


def _candidates(name: str) -> set[str]:
    """The ids in the namespace of ``name``, and those spelt like it."""
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


def check_spaces(name: str, worlds: Worlds) -> None:
    """Refuse worlds whose spaces are not one-dimensional boxes.

    Raises:
        SettingsError: naming the space and what is needed.
    """
    action, observation = worlds.single_action_space, worlds.single_observation_space
    if not isinstance(action, Box) or len(action.shape) != 1:
        raise SettingsError(
            f"environment '{name}' takes actions in {action}, but action chunks need a "
            "one-dimensional Box (A,): use an environment with continuous actions."
        )
    if not isinstance(observation, Box) or len(observation.shape) != 1:
        raise SettingsError(
            f"environment '{name}' observes {observation}, but a one-dimensional Box (O,) is "
            "needed: choose its state observation, or wrap it in "
            "gymnasium.wrappers.FlattenObservation under an id of your own."
        )
