"""What all tests share: the same examples and random numbers in every `make test`.

`make test` leaves out what is marked slow, and its property tests try the same examples each time.
`make validate` runs everything and tries many new examples; it prints how to repeat one that fails.
"""

import random
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

# the clock of a busy machine decides nothing
steady = settings(deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", steady, derandomize=True, max_examples=25)
settings.register_profile("fresh", steady, print_blob=True, max_examples=600)
settings.load_profile("quick")


@pytest.fixture(autouse=True)
def seeds() -> None:
    """Start the global random numbers of each test anew."""
    random.seed(0)
    np.random.seed(0)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Is set when somebody begins to wait for a lock that another holds."""
    event, sleep = threading.Event(), time.sleep

    def wait(seconds: float) -> None:
        event.set()
        sleep(seconds)

    monkeypatch.setattr(time, "sleep", wait)  # FileLock sleeps between two attempts
    return event
