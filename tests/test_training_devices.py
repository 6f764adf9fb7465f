"""One device, eight, two processes of two: equal losses, exchangeable checkpoints."""

import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import training_run
from training_run import assert_losses_agree, losses

RUNNER = Path(training_run.__file__)
# Longer runs have the same first steps.
SETTINGS = ("optimizer.schedule=constant", "run.save_every=20")
SPLIT = ("run.fsdp=2", *SETTINGS)


@pytest.fixture(scope="module")
def start(cheap_environment):
    """Return a function that starts a run in one process, or in two."""

    def start(
        workdir: Path,
        devices: int,
        *changes: str,
        processes: int = 1,
        failing: int | None = None,
    ):
        several = {}
        if processes > 1:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                several["COORDINATOR"] = f"127.0.0.1:{free.getsockname()[1]}"
        started = []
        for rank in range(processes):
            if several:
                several["RANK"] = str(rank)
                # The second process would find nothing in it and come late to the
                # first exchange, for which gloo waits half a minute.
                several["JAX_ENABLE_COMPILATION_CACHE"] = "false"
            more = {"FAIL_AT": "3"} if rank == failing else {}
            with open(f"{workdir}.{rank}.txt", "a") as file:
                started.append(
                    subprocess.Popen(
                        [sys.executable, str(RUNNER), str(workdir), *changes],
                        env=cheap_environment
                        | several
                        | more
                        | {"DEVICES": str(devices)},
                        stdout=file,
                        stderr=file,
                    )
                )
        return started

    return start


def said(workdir: Path) -> str:
    """Return what the processes of a run have printed."""
    texts = [path.read_text() for path in workdir.parent.glob(f"{workdir.name}.*.txt")]
    return "\n".join(texts)


def finish(processes, workdir: Path) -> None:
    assert not any([process.wait(300) for process in processes]), said(workdir)


@pytest.mark.long
def test_losses_and_checkpoints_are_those_of_any_other_devices(start, tmp_path):
    alone, eight, pair = (tmp_path / name for name in ("alone", "eight", "pair"))
    finish(start(alone, 1, "run.steps=20", *SETTINGS), alone)
    want = losses(alone)
    assert len(set(want.values())) == 20
    finish(start(eight, 8, "run.steps=20", *SPLIT), eight)
    assert_losses_agree(losses(eight), want, range(1, 21))
    finish(start(pair, 2, "run.steps=20", *SPLIT, processes=2), pair)
    assert_losses_agree(losses(pair), want, range(1, 21))

    # From the checkpoint of the two processes one device goes on, and eight, and they.
    for workdir in (alone, eight):
        shutil.rmtree(workdir)
        shutil.copytree(pair, workdir)
    finish(start(alone, 1, "run.steps=22", *SETTINGS), alone)
    finish(start(eight, 8, "run.steps=22", *SPLIT), eight)
    assert_losses_agree(losses(eight), losses(alone), range(21, 23))
    both = start(pair, 2, "run.steps=100000", *SPLIT, processes=2)
    while max(losses(pair)) < 22:
        assert [process.poll() for process in both] == [None, None], said(pair)
        time.sleep(0.02)
    # One of them is told to end: both save the same step and end well.
    both[1].send_signal(signal.SIGTERM)
    finish(both, pair)
    assert_losses_agree(losses(pair), losses(alone), range(21, 23))
    done = max(losses(pair))
    assert f"stopped at step {done} of 100000, saved" in said(pair)
    for rank in range(2):
        last = Path(f"{pair}.{rank}.txt").read_text().splitlines()[-1]
        assert last == str(done)
    assert (pair / "checkpoints" / str(done)).is_dir()


@pytest.mark.long
@pytest.mark.parametrize("failing", [pytest.param(0, marks=pytest.mark.long), 1])
def test_an_exception_on_one_host_ends_all_with_its_sentence(start, tmp_path, failing):
    workdir = tmp_path / "run"
    both = start(workdir, 1, "run.steps=100000", processes=2, failing=failing)
    assert both[failing].wait(300) == 1, said(workdir)
    # In seconds, and not at the 100th, when the heartbeat is missed.
    assert both[1 - failing].wait(30) == 1, said(workdir)
    other = Path(f"{workdir}.{1 - failing}.txt").read_text()
    assert f"process {failing} on " in other
    assert "the disk of this host is gone" in other
    assert "Traceback" not in other
