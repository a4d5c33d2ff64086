"""Attacks on stores and policy folders end in one error, quickly, within little memory."""

import json
import random
import resource
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ambient_datasets.store import open_store
from ambient_policy.errors import AmbientPolicyError
from ambient_policy.policy_folder import CONFIG, DIGESTS, _own_digest
from ambient_policy.saved import load_policy
from tests.attacks import KINDS, change_file, change_json, write_json
from tests.datasets.walks import write_walks
from tests.kills import live
from tests.workflows.conftest import tiny_overrides, write_store

MOST_SECONDS, MOST_MEMORY = 10, 2**30  # of the processor; [bytes]


def read_store(path: Path) -> None:
    """All of it."""
    for _ in open_store(path).episodes():
        pass


def attack_store(path: Path, number: int) -> str:
    """Change one file of a store."""
    chance = random.Random(number)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    described = [file for file in files if file.name == "zarr.json"]
    if chance.random() < 0.3:
        file = chance.choice(described)
        record = json.loads(file.read_text())
        words = change_json(record, chance)
        write_json(file, record)
        return f"{file.relative_to(path)}: {words}"
    file, kind = chance.choice(files), chance.choice(KINDS)
    change_file(file, kind, chance)
    return f"{file.relative_to(path)}: {kind}"


def attack_policy(path: Path, number: int) -> str:
    """Change one file of a policy folder; its description with a good checksum."""
    chance = random.Random(number)
    if chance.random() < 0.7:
        record = json.loads((path / CONFIG).read_text())
        words = change_json(record, chance)
        if isinstance(record.get(DIGESTS), dict):
            record[DIGESTS][CONFIG] = _own_digest(record)
        write_json(path / CONFIG, record)
        return words
    file, kind = chance.choice(sorted(path.iterdir())), chance.choice(KINDS)
    change_file(file, kind, chance)
    return f"{file.name}: {kind}"


def survive(
    good: Path, attack: Callable[[Path, int], str], read: Callable[[Path], object], count: int
) -> None:
    """In a process: attack copies of a folder, and read them."""
    most = 4 * 2**30
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    for number in range(count):
        bad = good.with_name(f"bad-{number}")
        shutil.copytree(good, bad)
        words, begin = attack(bad, number), time.process_time()
        try:
            read(bad)
        except AmbientPolicyError:
            pass
        except BaseException as error:
            print(f"{number}: {words}: {type(error).__name__}: {error}")
        if time.process_time() - begin > MOST_SECONDS:
            print(f"{number}: {words}: {time.process_time() - begin:.0f} s")
        shutil.rmtree(bad)
    memory = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if memory > MOST_MEMORY:
        print(f"{memory} bytes of memory")


def check_store(root: Path, count: int) -> None:
    assert live(survive, write_walks(root / "good"), attack_store, read_store, count) == (0, "")


def train(root: Path) -> None:
    """In a process: a tiny run."""
    from ambient_policy.cli import main

    write_store(root / "trusted.zarr")
    write_store(root / "suboptimal.zarr", episodes=5)
    raise SystemExit(main(["train", *tiny_overrides(root), "arm=ambient"]))


def check_policy(root: Path, count: int) -> None:
    status, words = live(train, root)
    assert status == 0, words
    good = root / "runs/ambient/seed-0/checkpoints/step-0000004"
    assert live(survive, good, attack_policy, load_policy, count) == (0, "")


def test_a_few_attacks_on_a_store(tmp_path: Path) -> None:
    check_store(tmp_path, 25)


def test_a_few_attacks_on_a_policy(tmp_path: Path) -> None:
    check_policy(tmp_path, 15)


@pytest.mark.slow
def test_attacks_on_a_store(tmp_path: Path) -> None:
    check_store(tmp_path, 300)


@pytest.mark.slow
def test_attacks_on_a_policy(tmp_path: Path) -> None:
    check_policy(tmp_path, 100)
