"""Data sets of the Hugging Face Hub: ``hf://datasets/OWNER/NAME@REVISION``, fetched into its cache.

What arrives is a stranger's folder like any other, and read by the same readers.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from ambient_policy.errors import DataError, SettingsError

SCHEME = "hf://"
ADDRESS = re.compile(r"hf://datasets/([\w.-]+/[\w.-]+)(?:@([\w.-]+))?(?:/(.+))?", re.ASCII)


@dataclass(frozen=True)
class HubSet:
    """A data set of the Hub, or a file or folder of it.

    Attributes:
        name: "owner/name".
        revision: a branch, tag or commit; None for the main branch.
        inside: path of the file or folder in it; None for all of it.
    """

    name: str
    revision: str | None
    inside: str | None

    @property
    def label(self) -> str:
        """What the data is called where nobody says more."""
        return self.name.rpartition("/")[2]

    def fetch(self) -> Path:
        """The folder or file in the Hub's cache; what is there already is not fetched again.

        Raises:
            DataError: if it cannot be fetched.
        """
        from huggingface_hub import snapshot_download

        patterns = [self.inside, f"{self.inside}/*"] if self.inside else None
        try:
            folder = snapshot_download(
                self.name, repo_type="dataset", revision=self.revision, allow_patterns=patterns
            )
        except Exception as error:  # of the network, the Hub, the disk
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise DataError(
                f"hf://datasets/{self.name}: cannot be fetched ({reason[0]:.300}). Check name, "
                "revision and network (hf auth login for a private one), or download it and give "
                "the folder as path."
            ) from error
        place = Path(folder) / (self.inside or "")
        if not place.exists():
            raise DataError(f"hf://datasets/{self.name}: there is no '{self.inside}' in it.")
        return place


def parse_address(path: str) -> HubSet | None:
    """The data set that an address names; None for a path of this machine.

    Raises:
        SettingsError: for an address of another form.
    """
    if not path.startswith(SCHEME):
        return None
    match = ADDRESS.fullmatch(path)
    if match is None or ".." in path.split("/"):
        raise SettingsError(
            f"path = {path}: give hf://datasets/OWNER/NAME, with @REVISION for a branch, tag or "
            "commit, and /PATH for one file or folder of it."
        )
    return HubSet(match[1], match[2], match[3])
