"""What a conversion is: a source, a recipe, a place for the store."""

from dataclasses import dataclass, field

from ambient_datasets.conversion.recipe import Recipe
from ambient_policy.jobs import JobSettings


@dataclass
class ConvertSettings:
    """Demonstrations of others, and the store of ours that they become."""

    # the source: a file or folder, as its format has it, or hf://datasets/OWNER/NAME@REVISION
    path: str
    # folder of the store: a new one, or one begun with the same source and recipe
    out: str
    # what to take, what it means, and what to do with it
    recipe: Recipe
    # episodes that the store is to hold in the end; null: all
    max_episodes: int | None = None
    # numbers of episodes of the source not to take, counted from 0
    leave_out: list[int] = field(default_factory=list)
    # how many convert at once, and where; the store is the same
    jobs: JobSettings = field(default_factory=lambda: JobSettings(workers=1))
