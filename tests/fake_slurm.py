"""A Slurm cluster of one machine: its commands as scripts that run jobs here."""

import os
import textwrap
from pathlib import Path

import pytest

SBATCH = """
    #!/usr/bin/env bash
    # a Slurm cluster of one machine: the jobs of an array, one after another, in the background
    grep '^#SBATCH' "$1" > "$FAKE_SLURM/sbatch.txt"
    last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' "$1")
    export SLURM_JOB_ID=7 SLURM_JOB_NUM_NODES=1 SLURM_NTASKS=1 SLURM_PROCID=0 SLURM_LOCALID=0
    export SLURM_NODEID=0 SLURM_JOB_NODELIST=here SLURM_JOBID=7
    (
      if [ -z "$last" ]; then bash "$1"; else
        for task in $(seq 0 "$last"); do
          SLURM_ARRAY_JOB_ID=7 SLURM_ARRAY_TASK_ID=$task bash "$1"
        done
      fi
      touch "$FAKE_SLURM/done"
    ) > "$FAKE_SLURM/jobs.txt" 2>&1 &
    echo "Submitted batch job 7"
"""
SRUN = """
    #!/usr/bin/env bash
    while [[ "$1" == --* ]]; do
      [[ "$1" == --output || "$1" == --error ]] && shift
      shift
    done
    exec "$@"
"""
SACCT = """
    #!/usr/bin/env bash
    echo "JobID|State|NodeList"
    if [ -e "$FAKE_SLURM/done" ]; then state=FAILED; else state=RUNNING; fi
    echo "7|$state|here"
    for task in 0 1 2 3; do echo "7_$task|$state|here"; done
"""
SCANCEL = """
    #!/usr/bin/env bash
    echo "$@" >> "$FAKE_SLURM/scancel.txt"
"""


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the commands into a folder and have them found.

    What they were called with lies beside them: sbatch.txt (options), scancel.txt.
    """
    commands = {"sbatch": SBATCH, "srun": SRUN, "sacct": SACCT, "scancel": SCANCEL}
    for name, text in commands.items():
        file = folder / name
        file.write_text(textwrap.dedent(text).lstrip())
        file.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), prepend=os.pathsep)
    monkeypatch.setenv("FAKE_SLURM", str(folder))
