"""A run that is killed goes on as if it had not been: the losses are bit-equal."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from training_run import losses

RUNNER = Path(__file__).parent / "training_run.py"


def said_by(workdir: Path) -> Path:
    """Return the file that holds what the last process of a run printed."""
    return workdir.with_suffix(".txt")


@pytest.fixture(scope="module")
def start(cheap_environment):
    """Return a function that starts a run in a process of its own."""

    def start(workdir: Path, **more: str) -> subprocess.Popen:
        command = [sys.executable, str(RUNNER), str(workdir)]
        with open(said_by(workdir), "w") as file:
            return subprocess.Popen(
                command, env=cheap_environment | more, stdout=file, stderr=file
            )

    return start


@pytest.fixture(scope="module")
def uninterrupted(start, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("whole") / "run"
    process = start(workdir)
    assert process.wait() == 0, said_by(workdir).read_text()
    found = losses(workdir)
    assert sorted(found) == list(range(1, 21))
    assert len(set(found.values())) == 20
    return found


def steps(workdir: Path) -> int:
    return max(losses(workdir), default=0) if (workdir / "log.jsonl").exists() else 0


def saved(workdir: Path) -> set[int]:
    return {
        int(p.name) for p in (workdir / "checkpoints").iterdir() if p.name.isdigit()
    }


def interrupt_after(process, workdir: Path, step: int, number: int) -> None:
    """Send a signal once the log has reached a step."""
    while steps(workdir) < step:
        assert process.poll() is None, said_by(workdir).read_text()
        time.sleep(0.002)
    process.send_signal(number)
    process.wait()


@pytest.mark.long
def test_killed_twice_and_in_the_middle_of_a_save(start, uninterrupted, tmp_path):
    workdir = tmp_path / "run"
    draw = random.Random(4)
    process = start(workdir)
    interrupt_after(process, workdir, draw.randint(5, 7), signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    before = saved(workdir)

    process = start(workdir, DIE_AT_COMMIT="12")
    assert process.wait() == -signal.SIGKILL
    # What was committed is there, what was half written is not taken for a checkpoint.
    assert before & saved(workdir) or max(saved(workdir)) == 8
    assert 12 not in saved(workdir)
    assert any("12.orbax" in p.name for p in (workdir / "checkpoints").iterdir())

    process = start(workdir)
    interrupt_after(process, workdir, draw.randint(13, 17), signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL

    process = start(workdir)
    assert process.wait() == 0, said_by(workdir).read_text()
    assert losses(workdir) == uninterrupted
    assert max(saved(workdir)) == 20


@pytest.mark.slow
def test_sigterm_saves_and_ends_well(start, uninterrupted, tmp_path):
    workdir = tmp_path / "run"
    process = start(workdir)
    interrupt_after(process, workdir, 6, signal.SIGTERM)
    said = said_by(workdir).read_text()
    assert process.returncode == 0, said
    done = int(said.splitlines()[-1])
    assert 6 <= done < 20
    assert max(saved(workdir)) == done
    assert f"stopped at step {done} of 20, saved" in said

    process = start(workdir)
    assert process.wait() == 0, said_by(workdir).read_text()
    assert losses(workdir) == uninterrupted
