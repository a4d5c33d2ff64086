"""The small network and the short training that the tests of the scripts share."""

TINY = [
    "network.widths=[16,32]",
    "network.embedding=16",
    "noise.levels=20",
    "solver.steps=4",
    "training.steps=4",
    "training.batch=8",
    "training.warmup=1",
    "training.log_every=1",
    "training.checkpoint_every=2",
]


def tiny_encoder(camera: str) -> list[str]:
    """Overrides that make a camera's encoder small too."""
    return [
        f"network.encoders.{camera}.channels=[16,32]",
        f"network.encoders.{camera}.keypoints=4",
    ]
