"""Open a data set with lerobot's own loader and write down what it hands out.

Run by a python that has lerobot; the one that has this project need not.

``python lerobot_loads.py ROOT OUT``: every item of LeRobotDataset(root=ROOT) into OUT (.npz).
"""

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch


def declare_operators() -> Any:
    """torchvision's compiled half does not load beside the CPU build of torch, and its import looks
    two operators up that only that half declares. lerobot's loader needs neither."""
    try:
        import_module("torchvision")
    except RuntimeError:
        library: Any = import_module("torch.library").Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float threshold) -> Tensor")
        for name in [name for name in sys.modules if name.startswith("torchvision")]:
            del sys.modules[name]
        return library
    return None


def decode(path: Path | str, times: list[float], tolerance: float, backend: str) -> Any:
    """As lerobot's decoders do it, for where neither torchcodec nor torchvision's reader loads:
    of all frames the nearest to each time, which must be within the tolerance."""
    with import_module("av").open(str(path)) as container:
        frames = [(float(f.time), f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]
    stamps = torch.tensor([time for time, _ in frames], dtype=torch.float64)
    off, nearest = (torch.tensor(times, dtype=torch.float64)[:, None] - stamps).abs().min(1)
    assert (off < tolerance).all(), f"no frame within {tolerance} s of {times}"
    chosen = np.stack([frames[int(i)][1] for i in nearest])
    return torch.from_numpy(chosen).permute(0, 3, 1, 2).float() / 255


def main(root: str, out: str) -> None:
    """Iterate, collect, tell."""
    kept = declare_operators()
    lerobot_dataset: Any = import_module("lerobot.datasets.lerobot_dataset")
    backend = "lerobot's own"
    if not hasattr(import_module("torchvision.io"), "VideoReader"):
        lerobot_dataset.decode_video_frames, backend = decode, "PyAV"
    data = lerobot_dataset.LeRobotDataset("any/any", root=root)
    columns: dict[str, list[Any]] = {}
    for number in range(len(data)):
        for key, value in data[number].items():
            columns.setdefault(key, []).append(value)
    windows = lerobot_dataset.LeRobotDataset(
        "any/any", root=root, delta_timestamps={"action": [0.0, 1 / data.fps]}
    )
    pairs = [windows[number] for number in range(len(windows))]
    told = {
        "fps": data.fps,
        "episodes": data.num_episodes,
        "cameras": data.meta.camera_keys,
        "names": data.meta.names,
        "stats": {
            k: {n: np.asarray(v).tolist() for n, v in s.items()} for k, s in data.meta.stats.items()
        },
        "tasks": columns.pop("task"),
        "decoder": backend,
        "from": [int(e["dataset_from_index"]) for e in data.meta.episodes],
        "to": [int(e["dataset_to_index"]) for e in data.meta.episodes],
    }
    arrays: dict[str, Any] = {key: torch.stack(values).numpy() for key, values in columns.items()}
    arrays["pair"] = torch.stack([item["action"] for item in pairs]).numpy()
    arrays["pair_is_pad"] = torch.stack([item["action_is_pad"] for item in pairs]).numpy()
    np.savez(out, told=json.dumps(told), **arrays)
    print(f"lerobot {lerobot_dataset.CODEBASE_VERSION}: {data}; decoder of videos: {backend}", kept)


if __name__ == "__main__":
    main(*sys.argv[1:])
