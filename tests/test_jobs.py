"""Workers here and on Slurm: results, order, refusals, deaths. (Ray: datasets/conversion.)"""

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ambient_policy.errors import DataError, SettingsError
from ambient_policy.jobs import JobSettings, Where, open_jobs
from tests.fake_slurm import install
from tests.samples import few

HERE = JobSettings(workers=1)
TWO = JobSettings(workers=2)


def square(number: int) -> tuple[int, int]:
    return number**2, os.getpid()


def refuse(number: int) -> int:
    if number == 3:
        raise DataError(f"file {number}: no such place")
    return number


def fail() -> None:
    raise ZeroDivisionError("a mistake")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("settings", [HERE, TWO], ids=["this process", "two processes"])
def test_every_item_has_its_result(settings: JobSettings) -> None:
    with open_jobs(settings) as jobs:
        results = dict(jobs.each(square, [(n,) for n in range(7)]))
        again = dict(jobs.each(square, [(n,) for n in range(3)]))
        assert dict(jobs.each(square, [])) == {}
    assert {n: value for n, (value, _) in results.items()} == {n: n**2 for n in range(7)}
    assert {n: value for n, (value, _) in again.items()} == {n: n**2 for n in range(3)}
    processes = {process for _, process in results.values()}
    assert (processes == {os.getpid()}) == settings.alone


def test_a_single_worker_can_be_a_process_apart() -> None:
    with open_jobs(HERE, apart=True) as jobs:
        ((_, (_, process)),) = jobs.each(square, [(1,)])
    assert process != os.getpid()


@pytest.mark.parametrize("settings", [HERE, TWO], ids=["this process", "two processes"])
def test_an_endless_iterator_is_read_a_little_ahead(settings: JobSettings) -> None:
    begun: list[int] = []

    def items() -> Iterator[tuple[int]]:
        for number in itertools.count():
            begun.append(number)
            yield (number,)

    with open_jobs(settings) as jobs:
        results = [value for value, _ in itertools.islice(jobs.in_order(square, items(), 4), 20)]
    assert results == [n**2 for n in range(20)]
    assert len(begun) <= 20 + 4


@pytest.mark.parametrize("settings", [HERE, TWO], ids=["this process", "two processes"])
def test_a_refusal_arrives_as_it_is(settings: JobSettings) -> None:
    with pytest.raises(DataError, match="^file 3: no such place$"), open_jobs(settings) as jobs:
        list(jobs.each(refuse, [(n,) for n in range(9)]))
    with pytest.raises(DataError, match="^file 3"), open_jobs(settings) as jobs:
        list(jobs.in_order(refuse, ((n,) for n in itertools.count()), 4))
    with pytest.raises(ZeroDivisionError, match="a mistake"), open_jobs(settings) as jobs:
        list(jobs.each(fail, [()]))


def test_a_worker_that_is_killed_is_reported() -> None:
    with (
        pytest.raises(SettingsError, match=r"a worker was killed.*start the same.*jobs.workers"),
        open_jobs(TWO) as jobs,
    ):
        list(jobs.each(die, [()]))


PARENT = """
import signal
from tests.test_jobs import wait_for_ever
from ambient_policy.jobs import JobSettings, open_jobs
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in the background ignore it
    with open_jobs(JobSettings(workers=2)) as jobs:
        list(jobs.each(wait_for_ever, [(), ()]))
"""


def wait_for_ever() -> None:
    print(os.getpid(), flush=True)
    signal.pause()


@pytest.mark.parametrize("end", few([signal.SIGKILL, signal.SIGINT], 1))
def test_workers_end_with_their_parent(tmp_path: Path, end: signal.Signals) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    command = [sys.executable, str(script)]
    root = str(Path(__file__).parents[1])
    paths = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
    parent = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert parent.stdout is not None
    with parent.stdout as lines:
        workers = [int(lines.readline()) for _ in range(2)]
        parent.send_signal(end)
        parent.wait()
        assert lines.read() == ""  # the end of the pipe: every process that held it is gone
    assert len(set(workers)) == 2


LEAVER = """
from ambient_policy.jobs import JobSettings, open_jobs
if __name__ == "__main__":
    with open_jobs(JobSettings(workers=2)) as jobs:
        next(jobs.each(bytes, [(100_000_000,)] * 6))
"""


def test_who_writes_a_result_that_nobody_wants_is_not_waited_for(tmp_path: Path) -> None:
    script = tmp_path / "leaver.py"
    script.write_text(LEAVER)
    root = str(Path(__file__).parents[1])
    paths = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths}
    subprocess.run([sys.executable, str(script)], env=environment, timeout=60, check=True)


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the commands of Slurm, which run jobs on this machine."""
    pytest.importorskip("submitit")
    install(tmp_path, monkeypatch)
    return tmp_path


def on_slurm(folder: Path) -> JobSettings:
    return JobSettings(
        Where.slurm,
        workers=2,
        cpus=3,
        gpus=1,
        partition="robots",
        memory=1.5,
        minutes=90,
        folder=str(folder / "files"),
    )


@pytest.mark.slow
def test_an_array_of_slurm(slurm: Path) -> None:
    with open_jobs(on_slurm(slurm)) as jobs:
        results = dict(jobs.each(square, [(n,) for n in range(3)]))
    assert {n: value for n, (value, _) in results.items()} == {0: 0, 1: 1, 2: 4}
    assert os.getpid() not in {process for _, process in results.values()}
    lines = (slurm / "sbatch.txt").read_text()
    for option in (
        "--array=0-2%2",
        "--cpus-per-task=3",
        "--gpus-per-node=1",
        "--mem=1536M",
        "--partition=robots",
        "--time=90",
        "--job-name=ambient-policy",
    ):
        assert f"#SBATCH {option}\n" in lines
    assert not (slurm / "scancel.txt").exists()


@pytest.mark.slow
def test_a_refusal_on_slurm_cancels_what_is_left(slurm: Path) -> None:
    with pytest.raises(DataError, match="^file 3"), open_jobs(on_slurm(slurm)) as jobs:
        list(jobs.each(refuse, [(3,), (4,)]))
    cancelled = slurm / "scancel.txt"
    assert not cancelled.exists() or cancelled.read_text() == "7_1\n"  # unless it had ended too


@pytest.mark.slow
def test_a_job_of_slurm_that_is_killed_is_reported(slurm: Path) -> None:
    with (
        pytest.raises(SettingsError, match="a worker was killed"),
        open_jobs(on_slurm(slurm)) as jobs,
    ):
        list(jobs.each(die, [()]))


def test_a_job_that_meets_its_time_limit_is_queued_again() -> None:
    pytest.importorskip("submitit")
    from ambient_policy.jobs.call import Call

    call = Call(square)
    again = call.checkpoint((3,))
    assert (again.function, again.args) == (call, ((3,),))


def test_without_slurm_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = JobSettings(Where.slurm, folder=str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    text = r"jobs.where = slurm: .*srun.* Start the command on a node .* jobs.where=here"
    with pytest.raises(SettingsError, match=text), open_jobs(settings):
        pass
    monkeypatch.setitem(sys.modules, "submitit", None)
    text = r"jobs.where = slurm needs the package 'submitit'.*'ambient-policy\[slurm\]'"
    with pytest.raises(SettingsError, match=text), open_jobs(settings):
        pass


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("workers", 0, "jobs.workers = 0: give at least 1, or null"),
        ("cpus", 0, "jobs.cpus = 0: give at least 1"),
        ("gpus", -1, "jobs.gpus = -1: give at least 0"),
        ("minutes", 0, "jobs.minutes = 0: give at least 1"),
        ("memory", 0.0, "jobs.memory = 0.0 GB must be positive, or null"),
    ],
)
def test_numbers_that_make_no_sense(name: str, value: float, text: str) -> None:
    with pytest.raises(SettingsError, match=text):
        JobSettings(**{name: value})  # type: ignore[arg-type]
