"""Conversion and annotation by the workers of a Ray cluster of two machines, both this one."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # before Ray is imported

from ambient_datasets.store import Annotation, annotate_store, open_store
from ambient_policy.errors import DataError, SettingsError
from ambient_policy.jobs import JobSettings, Where, open_jobs
from tests.datasets.conversion.test_shards import content, left_behind, run, write_source

ray = pytest.importorskip("ray")

RAY = JobSettings(Where.ray, workers=2)


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Two nodes with one worker each."""
    from ray import cluster_utils

    library: Any = cluster_utils  # it is not typed

    nodes: dict[str, Any] = {
        "num_cpus": 1,
        "include_dashboard": False,
        "object_store_memory": 80 * 2**20,
    }
    made = library.Cluster(initialize_head=True, head_node_args=nodes)
    made.add_node(**nodes)
    ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()
    made.shutdown()


def where(number: int) -> tuple[int, str]:
    """Of a call its number and the node it ran on."""
    time.sleep(0.2)
    return number, ray.get_runtime_context().get_node_id()


def refuse(number: int) -> None:
    raise DataError(f"file {number}: no such place")


def die_once(mark: Path) -> str:
    """Killed when called first; the second time it answers."""
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "lived"


def test_both_machines_work(cluster: None) -> None:
    with open_jobs(RAY) as jobs:
        answers = dict(jobs.each(where, [(n,) for n in range(6)]))
    assert [answers[k][0] for k in range(6)] == list(range(6))
    assert len({node for _, node in answers.values()}) == 2


def test_a_refusal_arrives_as_it_is(cluster: None) -> None:
    with pytest.raises(DataError, match="^file 3: no such place$"), open_jobs(RAY) as jobs:
        list(jobs.each(refuse, [(3,)]))


def test_a_call_whose_worker_is_killed_is_made_again(cluster: None, tmp_path: Path) -> None:
    with open_jobs(RAY) as jobs:
        assert list(jobs.each(die_once, [(tmp_path / "mark",)])) == [(0, "lived")]


def test_a_conversion_is_the_one_of_a_single_process(cluster: None, tmp_path: Path) -> None:
    source = write_source(tmp_path / "source")
    out = run(source, "many", jobs=RAY)
    assert content(out) == content(run(source, "one"))
    assert left_behind(out) == []


def test_stores_are_annotated(cluster: None, make_store: Any) -> None:
    stores = [make_store(name) for name in ("a", "b", "c")]
    tasks = [
        (store.path, Annotation(np.full(3, 0.1 * k), np.zeros(3), "print"))
        for k, store in enumerate(stores)
    ]
    with open_jobs(RAY) as jobs:
        assert sorted(jobs.each(annotate_store, tasks)) == [(0, None), (1, None), (2, None)]
    for store, (_, annotation) in zip(stores, tasks, strict=True):
        found: Any = open_store(store.path).annotation
        np.testing.assert_array_equal(found.sigma_min, annotation.sigma_min)


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    text = r"jobs.where = ray needs the package 'ray'.*'ambient-policy\[ray\]'.*jobs.where=here"
    with pytest.raises(SettingsError, match=text), open_jobs(RAY):
        pass


def test_a_cluster_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    text = r"RAY_ADDRESS='127.0.0.1:1': the cluster cannot be reached \(.*refused\)"
    with pytest.raises(SettingsError, match=text), open_jobs(RAY):
        pass
