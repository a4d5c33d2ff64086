"""A first experiment of one's own, as a commented config."""

from collections.abc import Sequence
from pathlib import Path

from ambient_policy.errors import SettingsError
from ambient_policy.files import write_text

FOLDER = "configs"
TEMPLATE = """\
# @package _global_
# NAME: demonstrations of one's own
#
#   ambient-policy train --config-dir FOLDER experiment=NAME
#
# Every key is explained by: ambient-policy train --help
# What is composed of this file is shown by: the command above with --cfg
experiment: NAME

# The stores and their roles. A path is relative to where the command is run. A store is made by
# ambient-policy convert, or in Python by ambient_policy.create_store and append_episode.
# Add as many sources as you have; their names are yours.
sources:
  good:
    path: data/NAME/good.zarr
    trust: trusted        # good demonstrations of the task: they teach every noise level
    val_ratio: 0.1        # a tenth of the episodes teaches nothing, for the held-out loss
  jerky:
    path: data/NAME/jerky.zarr
    trust: suboptimal     # plentiful ones with a flaw: they teach high noise levels alone
    # sampling_weight: 1  # share of the mixture; without it each source by its number of windows
    # sigma_min: 0.5      # a threshold of this source alone

# Suboptimal episodes teach sigma > sigma_min, and with arm=ambient_locality sigma < sigma_max too.
# sigma is the noise level, in units of the normalised action: at 0.3 noise hides what is smaller
# than about 0.3 of half the range of the actions. The larger the flaw, the larger sigma_min.
# Choose it by rollouts: ambient-policy sweep --config-dir FOLDER experiment=NAME \\
#   'tuned.sigma_min=0.1,0.3,1' 'label=ambient_${tuned.sigma_min}'
tuned:
  sigma_min: 0.3
  sigma_max: 0.05
  trusted_weight: 1.0     # of arm=reweighted: all good episodes against 1 for all jerky ones

# In control steps: the policy sees obs of them, plans pred and executes act before it plans again.
horizons: {obs: 2, pred: 16, act: 8}

# What the network learns: absolute commands, or relative to where the robot is when the chunk
# begins. For relative name the observation that each action dimension is counted from.
actions:
  representation: absolute
  # representation: relative
  # origin: [x, y]

# The unit of sigma. range: smallest and largest value become -1 and 1; joint: of all sources.
normalizer: {kind: range, statistics: joint}

# small, medium or large is chosen by network=medium on the command line; single keys here
network:
  widths: [64, 128, 256]  # channels for each halving of time; pred is a multiple of 4 for three

# cameras: [wrist]        # beside the state; every store must have them

training:
  steps: 20000
  batch: 256
  learning_rate: 1e-4
  device: cpu             # cuda, where there is a GPU
  checkpoint_every: 1000
  log_every: 50
  validation: {every: 500}
"""
NEXT = """\
wrote FILE: name your stores and thresholds there, then

  ambient-policy describe --config-dir FOLDER experiment=NAME   # who teaches what
  ambient-policy train --config-dir FOLDER experiment=NAME
  ambient-policy train --config-dir FOLDER experiment=NAME arm=cotrain   # to compare
"""


def new(words: Sequence[str]) -> None:
    """Write a commented experiment for your own data: ambient-policy new NAME [FOLDER].

    It is FOLDER/experiment/NAME.yaml, FOLDER being configs if it is not said. Commands find it by
    --config-dir FOLDER experiment=NAME.
    """
    name, folder, *more = [*words, *["", FOLDER][len(words) :]]
    if more or not name.replace("_", "").replace("-", "").isalnum():
        raise SettingsError(
            f"{' '.join(['ambient-policy new', *words])}: give a name of letters, digits, - and _, "
            "and if you like the folder of your configs, e.g. ambient-policy new pick_cups configs."
        )
    file = Path(folder, "experiment", f"{name}.yaml")
    if file.exists():
        raise SettingsError(f"{file} exists already; edit it, or choose another name.")
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, _fill(TEMPLATE, file, name))
    print(_fill(NEXT, file, name), end="")


def _fill(text: str, file: Path, name: str) -> str:
    words = {"FILE": str(file), "FOLDER": str(file.parent.parent), "NAME": name}
    for word, value in words.items():
        text = text.replace(word, value)
    return text
