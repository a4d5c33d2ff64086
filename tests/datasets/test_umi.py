"""UMI's .zarr.zip: numbers always, the next pose as the action, JPEG-XL pictures by an extra."""

import importlib.util
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numcodecs.registry import codec_registry  # type: ignore[import-untyped]
from numpy.typing import NDArray

from ambient_datasets.conversion.convert import convert
from ambient_datasets.conversion.recipe import Recipe
from ambient_datasets.conversion.settings import ConvertSettings
from ambient_datasets.guards.jpegxl import JpegXL, read_jpegxl
from ambient_datasets.store import Store, open_store
from ambient_policy.errors import DataError, SettingsError
from tests.datasets.stores import write_v2

imagecodecs = pytest.importorskip("imagecodecs")

ROWS, ENDS = 20, np.array([8, 20])
POSE = ["robot0_eef_pos", "robot0_eef_rot_axis_angle", "robot0_gripper_width"]
# as UMI's own codec writes its settings
CODEC = {"id": JpegXL.codec_id, "level": 99, "lossless": False, "numthreads": 1}


def numbers(key: str) -> NDArray[np.float32]:
    width = {"robot0_gripper_width": 1}.get(key, 3)
    return np.random.default_rng(len(key)).normal(size=(ROWS, width)).astype(np.float32)


def write(tmp_path: Path, pictures: list[bytes], size: tuple[int, int] = (16, 24)) -> Path:
    """A store as UMI's: three keys of the hand, one of packed pictures, all in one zip."""
    folder = tmp_path / "umi"
    write_v2(folder, {**{f"data/{k}": numbers(k) for k in POSE}, "meta/episode_ends": ENDS})
    camera = folder / "data/camera0_rgb"
    camera.mkdir()
    kind = {"dtype": "|u1", "fill_value": 0, "filters": None, "order": "C", "zarr_format": 2}
    shapes = {"shape": [ROWS, *size, 3], "chunks": [1, *size, 3]}
    (camera / ".zarray").write_text(json.dumps({**kind, **shapes, "compressor": CODEC}))
    for row, data in enumerate(pictures):
        (camera / f"{row}.0.0.0").write_bytes(data)
    path = tmp_path / "umi.zarr.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.rglob("*"):
            archive.write(file, file.relative_to(folder))
    return path


def pack(size: tuple[int, int] = (16, 24), **options: Any) -> list[bytes]:
    pixels = np.random.default_rng(0).integers(0, 256, (ROWS, *size, 3), np.uint8)
    return [imagecodecs.jpegxl_encode(frame, level=90, **options) for frame in pixels]


def run(path: Path, **changes: Any) -> Store:
    words = {"state": POSE, "action_from": f"{','.join(POSE)}[t+1]", "control_rate": 60.0}
    recipe = Recipe("diffusion_policy", **{**words, **changes})
    return open_store(convert(ConvertSettings(str(path), f"{path}.out", recipe)).out)


def test_the_next_pose_is_the_action_and_pictures_need_no_library(tmp_path: Path) -> None:
    store = run(write(tmp_path, [b"no picture"] * ROWS))
    pose = np.concatenate([numbers(key) for key in POSE], axis=1)
    np.testing.assert_array_equal(store.observations(), np.delete(pose, ENDS - 1, axis=0))
    np.testing.assert_array_equal(store.actions(), np.delete(pose, [0, 8], axis=0))
    with pytest.raises(SettingsError, match=r"of several keys pos,rot,width\[t\+1\]"):
        Recipe("diffusion_policy", state=["a"], action_from="a,[t+1]")


@pytest.mark.parametrize("box", [None, True])
def test_pictures_are_those_that_imagecodecs_unpacks(tmp_path: Path, box: bool | None) -> None:
    pictures = pack(usecontainer=box)
    store = run(write(tmp_path, pictures), cameras={"wrist": "camera0_rgb"})
    direct = np.stack([imagecodecs.jpegxl_decode(data) for data in pictures])
    rows = np.arange(ROWS - 2)
    np.testing.assert_array_equal(
        store.cameras["wrist"].read(rows), np.delete(direct, ENDS - 1, axis=0)
    )


def test_a_picture_of_another_size_or_none_is_refused_by_its_header(tmp_path: Path) -> None:
    large = imagecodecs.jpegxl_encode(np.zeros((2000, 3000, 3), np.uint8), effort=1)
    for number, data in enumerate((large, b"JPEG? no", b"")):
        (tmp_path / str(number)).mkdir()
        pictures = pack()
        pictures[3] = data
        with pytest.raises(
            DataError, match=r"data/camera0_rgb: episode 0: chunk file '3\.0\.0\.0'"
        ):
            run(write(tmp_path / str(number), pictures), cameras={"wrist": "camera0_rgb"})


@pytest.mark.parametrize("size", [(16, 16), (10, 20), (96, 128), (257, 100), (9, 512), (30, 36)])
@pytest.mark.parametrize("box", [None, True])
def test_headers_tell_the_size(size: tuple[int, int], box: bool | None) -> None:
    data = imagecodecs.jpegxl_encode(np.zeros((*size, 3), np.uint8), level=90, usecontainer=box)
    assert read_jpegxl(io.BytesIO(data), len(data), 0) == size[0] * size[1] * 3


def test_without_the_library_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(codec_registry, JpegXL.codec_id, raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"pip install 'ambient-policy\[umi\]'"):
        run(write(tmp_path, pack()), cameras={"wrist": "camera0_rgb"})
