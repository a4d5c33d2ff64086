"""What is trained and sampled: noise levels, network, solver."""

from dataclasses import dataclass, field

from ambient_policy.diffusion.noise import Schedule
from ambient_policy.diffusion.precondition import Prediction
from ambient_policy.diffusion.solve import Solver
from ambient_policy.networks.unet1d import check_network
from ambient_policy.settings.checks import require


@dataclass
class NoiseSettings:
    """Which noise levels are trained, and what the network is asked for."""

    schedule: Schedule = Schedule.squaredcos
    # number of levels K
    levels: int = 100
    prediction: Prediction = Prediction.x0

    def __post_init__(self) -> None:
        require(self.levels >= 1, f"noise.levels = {self.levels} must be at least 1.")


@dataclass
class NetworkSettings:
    """The conditional 1-D U-Net; the defaults are diffusion_policy's."""

    # layers between observation history and condition; none = the history is the condition
    encoder: list[int] = field(default_factory=list)
    # channels per level
    widths: list[int] = field(default_factory=lambda: [256, 512, 1024])
    # width of the noise-level embedding
    embedding: int = 256
    # length of the convolutions [control steps], odd
    kernel: int = 5
    # groups of the group normalisation
    groups: int = 8

    def __post_init__(self) -> None:
        check_network(self.widths, self.embedding, self.kernel, self.groups)
        require(
            all(width >= 1 for width in self.encoder),
            f"network.encoder = {list(self.encoder)}: every layer needs at least 1 unit.",
        )


@dataclass
class SolverSettings:
    """How chunks are sampled; changeable after training."""

    kind: Solver = Solver.ddim
    # network calls per chunk, on "leading" spacing
    steps: int = 10
