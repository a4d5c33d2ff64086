"""Open-X data sets in small: their features as published, filled with random numbers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.datasets.tfrecords import dictionary, image, png, tensor, text, write_rlds

STEPS = 4
SIZE = (4, 5, 3)  # of every picture; the real ones are larger
COMMANDS = [0, 1, 0, -1]  # of a gripper that is told to close and then to open
WORDS = "put it there"

# What every step has, by set: key, type and shape. Of the features that no map asks for there are
# only a few here. A set's words are a text, a plain string or numbers that are their bytes.
EXTERNAL = """
    action float32 7
    discount float32
    language_embedding float32 512
    language_instruction text
    observation/image image
    observation/wrist_image image
"""
GOOGLE = """
    observation/natural_language_embedding float32 512
    observation/natural_language_instruction string
"""
ARM = """
    action/rotation_delta float32 3
    action/terminate_episode float32
    action/world_vector float32 3
"""
PUBLISHED = {
    "austin_buds_dataset_converted_externally_to_rlds": EXTERNAL + "observation/state float32 24",
    "austin_sailor_dataset_converted_externally_to_rlds": EXTERNAL
    + """
    observation/state float32 8
    observation/state_ee float32 16
    observation/state_gripper float32 1
    observation/state_joint float32 7
    """,
    "austin_sirius_dataset_converted_externally_to_rlds": EXTERNAL
    + """
    action_mode float32 1
    intv_label float32 1
    observation/state float32 8
    observation/state_ee float32 16
    observation/state_gripper float32 1
    observation/state_joint float32 7
    """,
    "bc_z": GOOGLE
    + """
    action/future/axis_angle_residual float32 30
    action/future/target_close int64 10
    action/future/xyz_residual float32 30
    observation/episode_success float32
    observation/image image
    observation/present/autonomous int64
    observation/present/axis_angle float32 3
    observation/present/sensed_close float32 1
    observation/present/xyz float32 3
    """,
    "berkeley_autolab_ur5": GOOGLE
    + ARM
    + """
    action/gripper_closedness_action float32
    observation/hand_image image
    observation/image image
    observation/robot_state float32 15
    """,
    "berkeley_fanuc_manipulation": EXTERNAL
    + """
    action float32 6
    observation/end_effector_state float32 7
    observation/state float32 13
    """,
    "berkeley_mvp_converted_externally_to_rlds": """
    action float32 8
    language_instruction text
    observation/gripper bool
    observation/hand_image image
    observation/joint_pos float32 7
    observation/pose float32 7
    """,
    "berkeley_rpt_converted_externally_to_rlds": """
    action float32 8
    language_instruction text
    observation/gripper bool
    observation/hand_image image
    observation/joint_pos float32 7
    """,
    "bridge": GOOGLE
    + ARM
    + """
    action/open_gripper bool
    observation/image image
    observation/state float32 7
    """,
    "bridge_dataset": """
    action float32 7
    language_instruction text
    observation/image_0 image
    observation/image_1 image
    observation/state float32 7
    """,
    "columbia_cairlab_pusht_real": GOOGLE
    + ARM
    + """
    action/gripper_closedness_action float32
    observation/image image
    observation/robot_state float32 2
    observation/wrist_image image
    """,
    "droid": """
    action float64 7
    action_dict/cartesian_position float64 6
    action_dict/cartesian_velocity float64 6
    action_dict/gripper_position float64 1
    action_dict/gripper_velocity float64 1
    action_dict/joint_position float64 7
    action_dict/joint_velocity float64 7
    language_instruction string
    language_instruction_2 string
    observation/cartesian_position float64 6
    observation/exterior_image_1_left image
    observation/exterior_image_2_left image
    observation/gripper_position float64 1
    observation/joint_position float64 7
    observation/wrist_image_left image
    """,
    "fractal20220817_data": GOOGLE
    + """
    action/base_displacement_vector float32 2
    action/base_displacement_vertical_rotation float32 1
    action/gripper_closedness_action float32 1
    action/rotation_delta float32 3
    action/terminate_episode int32 3
    action/world_vector float32 3
    observation/base_pose_tool_reached float32 7
    observation/gripper_closed float32 1
    observation/image image
    observation/workspace_bounds float32 3 3
    """,
    "iamlab_cmu_pickup_insert_converted_externally_to_rlds": EXTERNAL
    + """
    action float32 8
    observation/state float32 20
    """,
    "language_table": """
    action float32 2
    observation/effector_target_translation float32 2
    observation/effector_translation float32 2
    observation/instruction int32 512
    observation/rgb image
    """,
    "maniskill_dataset_converted_externally_to_rlds": EXTERNAL
    + """
    observation/base_pose float32 7
    observation/main_camera_intrinsic_cv float32 3 3
    observation/state float32 18
    observation/tcp_pose float32 7
    """,
    "nyu_franka_play_dataset_converted_externally_to_rlds": """
    action float32 15
    language_instruction text
    observation/depth int32 4 5 1
    observation/image image
    observation/image_additional_view image
    observation/state float32 13
    """,
    "stanford_hydra_dataset_converted_externally_to_rlds": EXTERNAL
    + """
    is_dense bool
    observation/state float32 27
    """,
    "taco_play": GOOGLE
    + """
    action/actions float32 7
    action/rel_actions_gripper float32 7
    action/rel_actions_world float32 7
    action/terminate_episode float32
    observation/rgb_gripper image
    observation/rgb_static image
    observation/robot_obs float32 15
    observation/structured_language_instruction string
    """,
    "utaustin_mutex": EXTERNAL + "observation/state float32 24",
    "viola": GOOGLE
    + ARM
    + """
    action/gripper_closedness_action float32
    observation/agentview_rgb image
    observation/ee_states float32 16
    observation/eye_in_hand_rgb image
    observation/gripper_states float32 1
    observation/joint_states float32 7
    """,
}


def published(name: str) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Type and shape of one step's value, by key; a later line of the same key counts."""
    rows = (line.split() for line in PUBLISHED[name].splitlines() if line.strip())
    return {key: (kind, tuple(int(d) for d in shape)) for key, kind, *shape in rows}


def write_set(folder: Path, name: str, episodes: int = 2) -> list[dict[str, Any]]:
    """The set in small at ``folder``; gives the lists of its episodes."""
    lists = [_episode(name, np.random.default_rng(i)) for i in range(episodes)]
    write_rlds(folder, {"train": [lists]}, _features(name), name)
    return lists


def _features(name: str) -> dict[str, Any]:
    """As features.json has them; names with a slash of their own stay whole."""
    features: dict[str, Any] = {"is_first": tensor([], "bool")}
    inner: dict[str, dict[str, Any]] = {}
    for key, (kind, shape) in published(name).items():
        group, _, rest = key.partition("/")
        feature = _feature(kind, shape)
        if rest:
            inner.setdefault(group, {})[rest] = feature
        else:
            features[key] = feature
    return {**features, **{group: dictionary(content) for group, content in inner.items()}}


def _feature(kind: str, shape: tuple[int, ...]) -> dict[str, Any]:
    made: Mapping[str, dict[str, Any]] = {"image": image(SIZE), "text": text()}
    return made[kind] if kind in made else tensor(shape, kind)


def _episode(name: str, rng: np.random.Generator) -> dict[str, Any]:
    lists: dict[str, Any] = {"steps/is_first": [1] + [0] * (STEPS - 1)}
    for key, (kind, shape) in published(name).items():
        lists[f"steps/{key}"] = _values(key, kind, shape, rng)
    return {**lists, "episode_metadata/file_path": [b"here"]}


def _values(key: str, kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> list[Any]:
    if kind in ("text", "string"):
        return [WORDS.encode()] * STEPS
    if kind == "image":
        return [png(pixels) for pixels in rng.integers(0, 256, (STEPS, *SIZE), dtype=np.uint8)]
    if key.endswith("/instruction"):
        letters = list(WORDS.encode())
        return (letters + [0] * (shape[0] - len(letters))) * STEPS
    if key.endswith("gripper_closedness_action"):
        return [float(command) for command in COMMANDS]
    size = (STEPS, *shape)
    if kind in ("bool", "int32", "int64"):
        return list(map(int, rng.integers(0, 2, size).ravel()))
    numbers: NDArray[np.float32] = rng.normal(size=size).astype(np.float32)
    return list(map(float, numbers.ravel()))
