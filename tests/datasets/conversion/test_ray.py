"""Conversion and annotation by the workers of a Ray cluster of two machines, both this one."""

import logging
import os
import signal
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # before Ray is imported

from ambient_datasets.store import Annotation, annotate_store, open_store
from ambient_policy.errors import DataError, SettingsError
from ambient_policy.jobs import JobSettings, Where, open_jobs
from tests.datasets.conversion.test_shards import content, left_behind, run, write_source

pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra [ray]")
RAY = JobSettings(Where.ray, workers=2)


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Two nodes with one worker each."""
    import ray
    from ray import cluster_utils

    library: Any = cluster_utils  # it is not typed

    nodes: dict[str, Any] = {
        "num_cpus": 1,
        "include_dashboard": False,
        "object_store_memory": 80 * 2**20,
    }
    cluster = library.Cluster(initialize_head=True, head_node_args=nodes)
    cluster.add_node(**nodes)
    ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
    yield
    ray.shutdown()
    cluster.shutdown()


def meet(pipe: Path, mode: str) -> str:
    """Wait at a pipe for the call that opens its other end; the node this one runs on."""
    import ray

    pipe.open(mode).close()
    return str(ray.get_runtime_context().get_node_id())


def refuse(number: int) -> None:
    raise DataError(f"file {number}: no such place")


def die_once(mark: Path) -> str:
    """Killed when called first; the second time it answers."""
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "lived"


@pytest.mark.slow
def test_both_machines_work(cluster: None, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with open_jobs(RAY) as jobs:
        nodes = dict(jobs.each(meet, [(tmp_path / "pipe", "w"), (tmp_path / "pipe", "r")]))
    assert sorted(nodes) == [0, 1] and len(set(nodes.values())) == 2


@pytest.mark.slow
def test_a_refusal_arrives_as_it_is(cluster: None) -> None:
    with pytest.raises(DataError, match="^file 3: no such place$"), open_jobs(RAY) as jobs:
        list(jobs.each(refuse, [(3,)]))


@pytest.mark.slow
def test_a_call_whose_worker_is_killed_is_made_again(cluster: None, tmp_path: Path) -> None:
    with open_jobs(RAY) as jobs:
        assert list(jobs.each(die_once, [(tmp_path / "mark",)])) == [(0, "lived")]


@pytest.mark.slow
def test_a_conversion_is_the_one_of_a_single_process(cluster: None, tmp_path: Path) -> None:
    source = write_source(tmp_path / "source")
    out = run(source, "many", jobs=RAY)
    assert content(out) == content(run(source, "one"))
    assert left_behind(out) == []


@pytest.mark.slow
def test_stores_are_annotated(cluster: None, make_store: Any) -> None:
    stores = [make_store(name) for name in ("a", "b", "c")]
    tasks = [
        (store.path, Annotation(np.full(3, 0.1 * k), np.zeros(3), "print"))
        for k, store in enumerate(stores)
    ]
    with open_jobs(RAY) as jobs:
        assert sorted(jobs.each(annotate_store, tasks)) == [(0, None), (1, None), (2, None)]
    for store, (_, annotation) in zip(stores, tasks, strict=True):
        stored: Any = open_store(store.path).annotation
        np.testing.assert_array_equal(stored.sigma_min, annotation.sigma_min)


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    text = r"jobs.where = ray needs the package 'ray'.*'ambient-policy\[ray\]'.*jobs.where=here"
    with pytest.raises(SettingsError, match=text), open_jobs(RAY):
        pass


@pytest.mark.slow
def test_a_cluster_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    text = r"RAY_ADDRESS='127.0.0.1:1': the cluster cannot be reached \(.*refused\)"
    with pytest.raises(SettingsError, match=text), open_jobs(RAY):
        pass
