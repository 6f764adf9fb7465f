"""What ends, hangs or spoils a run nobody looks at: signals, locks, damage, disks."""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from training_run import losses, one_device, run

from jax_depth.cli.main import main
from jax_depth.training import checkpoints, record
from jax_depth.training import mesh as meshes
from jax_depth.training.folder_lock import locked
from jax_depth.training.loop import TrainingData, train
from jax_depth.training.shapes import Shapes
from jax_depth.training.stop import Stop, Stopped

ROOT = Path(__file__).parent.parent
SMALL = ("data.size=28", "data.batch=8", "run.evaluate_images=2", "run.log_every=1")


pytestmark = pytest.mark.usefixtures("cheap_programs")


@pytest.fixture(autouse=True)
def _alone(monkeypatch):
    monkeypatch.setattr(meshes, "make_mesh", one_device)


def words(*changes: str) -> list[str]:
    return [word for change in (*SMALL, *changes) for word in ("--set", change)]


@pytest.fixture
def finished(tmp_path):
    """A run of four steps that was begun from the command line."""
    workdir = tmp_path / "run"
    changes = words("run.steps=4", "run.save_every=2", "optimizer.learning_rate=1e-3")
    assert main(["train", "smoke", "--workdir", str(workdir), *changes]) == 0
    return workdir


@pytest.mark.slow
def test_a_finished_run_keeps_its_recipe_and_forgotten_flags_are_refused(
    finished, capsys
):
    before = (finished / "recipe.json").read_bytes()
    lines = (finished / "log.jsonl").read_text()
    assert main(["train", "smoke", "--workdir", str(finished)]) == 2
    said = capsys.readouterr().err
    assert str(finished) in said and f"--resume {finished}" in said
    assert "data.size=28" in said and "run.steps" not in said.split("more")[1]
    assert main(["train", "--resume", str(finished)]) == 0
    assert "4 steps; jax-depth predict" in capsys.readouterr().out
    assert (finished / "recipe.json").read_bytes() == before
    assert (finished / "log.jsonl").read_text() == lines


@pytest.mark.slow
def test_resume_takes_everything_from_the_folder_and_keeps_every_recipe(
    finished, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    longer = ["--set", "run.steps=6", "--set", "optimizer.learning_rate=2e-3"]
    assert main(["train", "--resume", "run", *longer]) == 0
    assert sorted(losses(finished)) == [1, 2, 3, 4, 5, 6]
    kept = record.history(finished)
    rates = {
        step: json.loads(text)["optimizer"]["learning_rate"]
        for step, text in kept.items()
    }
    assert rates == {0: 1e-3, 4: 2e-3}
    assert kept[4] == (finished / "recipe.json").read_text()
    assert not list(finished.glob("*.tmp"))


@pytest.mark.long
def test_data_come_from_the_folder_too(tmp_path, monkeypatch):
    from PIL import Image

    for name in ("images", "depth"):
        (tmp_path / "own" / name).mkdir(parents=True)
    for i in range(3):
        Image.new("RGB", (40, 30), (9 * i, 50, 90)).save(
            tmp_path / f"own/images/{i}.png"
        )
        depth = np.linspace(1, 3 + i, 1200, dtype=np.float32).reshape(30, 40)
        np.save(tmp_path / f"own/depth/{i}.npy", depth)
    monkeypatch.chdir(tmp_path)
    pairs = "pairs:own?kind=metric_depth&unit=m"
    begin = ["train", "smoke", "--workdir", "run", "--data", pairs + "&weight=1"]
    judged = ["--held-out", f"near={pairs}&every=2", "--held-out", f"far={pairs}"]
    assert main([*begin, *judged, *words("run.steps=2")]) == 0
    sources = record.sources_in(tmp_path / "run")
    opened = f"pairs:{tmp_path}/own?kind=metric_depth&unit=m"
    assert sources.data == [f"{opened}&weight=1"] and sources.pseudo == []
    assert sources.held_out == [f"near={opened}&every=2", f"far={opened}"]
    monkeypatch.chdir("/")
    again = ["train", "--resume", str(tmp_path / "run"), "--set", "run.steps=5"]
    assert main(again) == 0
    lines = map(json.loads, (tmp_path / "run/log.jsonl").read_text().splitlines())
    steps = {"near": [], "far": []}
    notes = []
    for line in lines:
        notes.append(line.get("note", ""))
        for name, found in steps.items():
            if f"held_out/{name}/abs_rel" in line:
                found.append(line["step"])
    # Each at its own cadence, and at the ends.
    assert steps == {"near": [0, 2, 4, 5], "far": [0, 2, 5]}
    assert not any("changed since" in note for note in notes)


@pytest.mark.slow
def test_a_run_that_stops_early_says_so_by_75(tmp_path, monkeypatch, capsys):
    """SIGTERM in the middle: saved, 75; the folder goes on."""
    from jax_depth.training import loop

    taken = loop.Run.step

    def step(self, arrays):
        if int(self.state.step) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return taken(self, arrays)

    monkeypatch.setattr(loop.Run, "step", step)
    workdir = tmp_path / "run"
    begin = ["train", "smoke", "--workdir", str(workdir), *words("run.steps=5")]
    assert main([*begin, "--json"]) == 75
    document = json.loads(capsys.readouterr().out)
    assert (document["steps"], document["of"]) == (3, 5)
    monkeypatch.setattr(loop.Run, "step", taken)
    assert main(["train", "--resume", str(workdir)]) == 0
    assert max(losses(workdir)) == 5


def test_a_signal_is_heeded_while_something_compiles():
    gone = threading.Event()
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM))
    with Stop() as stop:
        assert stop.patiently(lambda x: x + 1, 2) == 3
        with pytest.raises(ZeroDivisionError):
            stop.patiently(lambda: 1 // 0)
        timer.start()
        with pytest.raises(Stopped):
            stop.patiently(gone.wait, 600)
    gone.set()


@pytest.mark.long
def test_a_run_stopped_while_it_compiles_has_lost_nothing(tmp_path, monkeypatch):
    from jax_depth.training import loop

    run(tmp_path, "run.steps=2", "run.save_every=1", "optimizer.warmup=1")
    over = threading.Event()

    def compile_for_ever(self, arrays):
        os.kill(os.getpid(), signal.SIGTERM)
        over.wait(600)

    monkeypatch.setattr(loop.Run, "step", compile_for_ever)
    history = run(tmp_path, "run.steps=4", "optimizer.warmup=1")
    over.set()
    assert (history.steps, history.abandoned, history.interrupted) == (2, True, False)
    assert max(losses(tmp_path)) == 2

    # So an evaluation, which compiles for every size of pictures: saved without it.
    monkeypatch.undo()
    monkeypatch.setattr(meshes, "make_mesh", one_device)
    over.clear()
    monkeypatch.setattr(loop, "_judged", lambda *_: compile_for_ever(None, None))
    monkeypatch.setattr(loop, "_GRACE", 0.1)
    history = run(
        tmp_path, "run.steps=4", "run.evaluate_every=3", "optimizer.warmup=1",
        held_out=True,
    )  # fmt: skip
    over.set()
    assert (history.steps, history.abandoned) == (3, True)
    assert max(losses(tmp_path)) == 3
    assert (tmp_path / "checkpoints/3").is_dir()


def test_a_folder_holds_one_run(tmp_path):
    with locked(tmp_path):
        sentence = rf"{tmp_path} is in use by process {os.getpid()} on "
        with pytest.raises(OSError, match=sentence):
            run(tmp_path, "run.steps=2", "optimizer.warmup=1")
    assert not (tmp_path / "log.jsonl").exists()
    with locked(tmp_path):  # the first has let it go
        pass


DAMAGE = {
    "cut": lambda file: os.truncate(file, file.stat().st_size // 2),
    "zeros": lambda file: file.write_bytes(bytes(file.stat().st_size)),
    "gone": lambda file: file.unlink(),
}


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(
            name, marks=pytest.mark.slow if name == "cut" else pytest.mark.long
        )
        for name in DAMAGE
    ],
)
def test_a_damaged_checkpoint_is_named_and_the_one_before_taken(tmp_path, damage):
    # Runs of any length have the same steps, and one program.
    settings = ("run.save_every=2", "optimizer.warmup=1", "optimizer.schedule=constant")
    run(tmp_path / "run", "run.steps=4", *settings)
    before = losses(tmp_path / "run")
    newest = tmp_path / "run" / "checkpoints" / "4"
    for file in [p for p in newest.rglob("*") if p.is_file() and "state" in p.parts]:
        if file.stat().st_size > 1000 or damage == "gone":
            DAMAGE[damage](file)
    history = run(tmp_path / "run", "run.steps=6", *settings)
    (note,) = [x["note"] for x in history if "damaged" in x.get("note", "")]
    assert str(newest) in note
    assert sorted(history.values("loss")) == [3, 4, 5, 6]
    again = history.values("loss")
    assert [repr(again[step]) for step in (3, 4)] == [before[3], before[4]]
    assert (tmp_path / "run/checkpoints/4.damaged").is_dir()
    assert (tmp_path / "run/checkpoints/6").is_dir()


@pytest.mark.slow
def test_of_damaged_checkpoints_alone_nothing_is_begun(tmp_path):
    run(tmp_path, "run.steps=2", "run.save_every=2", "optimizer.warmup=1")
    shutil.rmtree(tmp_path / "checkpoints" / "2" / "state")
    with pytest.raises(ValueError, match=r"2 is damaged .* none is left .*: remove it"):
        run(tmp_path, "run.steps=3", "optimizer.warmup=1")


def test_a_disk_too_small_is_said_before_training(tmp_path, monkeypatch):
    usage = shutil.disk_usage("/")._replace(free=5000)
    monkeypatch.setattr(checkpoints.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(OSError, match=r"MB are missing") as caught:
        run(tmp_path, "run.steps=2", "optimizer.warmup=1")
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(tmp_path)
    assert "loss" not in (tmp_path / "log.jsonl").read_text()


def test_a_disk_that_fills_is_said_with_path_and_missing_bytes(tmp_path, monkeypatch):
    kept = checkpoints.Checkpoints(tmp_path)
    kept._need = 3_000_000
    usage = shutil.disk_usage("/")._replace(free=1_000_000)
    monkeypatch.setattr(checkpoints.shutil, "disk_usage", lambda path: usage)

    def fail():
        raise ValueError("Error writing chunk: No space left on device")

    monkeypatch.setattr(kept._manager, "wait_until_finished", fail)
    with pytest.raises(OSError, match=r"3\.0 MB.* 2\.0 MB are missing") as caught:
        kept.wait()
    assert str(tmp_path) in str(caught.value)


@pytest.mark.long
def test_own_warm_ups_shrink_and_the_log_says_so(tmp_path, capsys):
    shown = ["train", "finetune", "--set", "run.steps=100", "--show"]
    assert main(shown) == 0
    assert "optimizer.warmup = 10  # " in capsys.readouterr().out
    history = train(
        record.overrides.override(
            record.overrides.from_json(
                record.overrides.to_json(smoke_recipe("run.steps=10"))
            ),
            [],
        ),
        TrainingData([Shapes(count=16)]),
        tmp_path,
    )
    (note,) = [x["note"] for x in history if "warmup" in x.get("note", "")]
    assert "optimizer.warmup is 1," in note and "not 20" in note
    written = json.loads((tmp_path / "recipe.json").read_text())
    assert written["optimizer"]["warmup"] == 1


def smoke_recipe(*changes):
    from jax_depth.training.recipes import RECIPES

    return record.overrides.override(RECIPES["smoke"], [*SMALL, *changes])


LOOP = re.compile(r"```bash\n(failures=0\n.*?)```", re.DOTALL)


def loop_of_the_page() -> str:
    (found,) = LOOP.findall((ROOT / "docs" / "multi-host.md").read_text())
    return found


@pytest.mark.parametrize(
    ("codes", "ends", "calls"),
    [
        ([75, 75, 0], 0, 3),
        ([1, 137, 75, 0], 0, 4),
        ([2], 2, 1),
        ([130], 130, 1),
        ([1] * 9, 1, 6),
        ([1, 1, 1, 1, 75, 1, 1, 1, 1, 0], 0, 10),
    ],
)
def test_the_loop_of_the_page_ends_when_it_should(tmp_path, codes, ends, calls):
    (tmp_path / "codes").write_text("\n".join(map(str, codes)) + "\n")
    fake = tmp_path / "jax-depth"
    fake.write_text(
        '#!/bin/sh\necho "$@" >> calls\ncode=$(sed -n "$(wc -l < calls)p" codes)\n'
        "exit $code\n"
    )
    fake.chmod(0o755)
    slept = 'sleep() { echo "$1" >> slept; }\n'
    done = subprocess.run(
        ["bash", "-c", slept + loop_of_the_page()],
        cwd=tmp_path,
        env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )
    assert done.returncode == ends
    said = (tmp_path / "calls").read_text().splitlines()
    assert len(said) == calls
    # Without it every host would begin a run of its own in one folder.
    assert all(re.match("train .*--distributed ", line) for line in said)
    waits = [float(x) for x in _lines(tmp_path / "slept")]
    if codes == [1] * 9:
        assert waits == sorted(waits) and waits[-1] >= 8 * waits[0]


def _lines(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


@pytest.mark.long
def test_the_loop_of_the_page_finishes_a_run_that_is_stopped(
    tmp_path, cheap_environment
):
    """SIGTERM and SIGKILL to the real command, under the loop."""
    shim = tmp_path / "jax-depth"
    shim.write_text(
        f'#!/bin/sh\necho $$ > "{tmp_path}/pid"\n'
        f'exec "{sys.executable}" -m jax_depth "$@"\n'
    )
    shim.chmod(0o755)
    command = " ".join(["smoke", "--workdir", "run", *words("run.steps=40")])
    command = f"jax-depth train {command} --set run.save_every=5"
    line = re.compile(r"jax-depth train .*?(?= \|\| )", re.DOTALL)
    page = line.sub(command, loop_of_the_page())
    assert command in page
    environment = cheap_environment | {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "convert")]),
        "JAX_PLATFORMS": "cpu",
    }
    script = "sleep() { :; }\n" + page
    process = subprocess.Popen(["bash", "-c", script], cwd=tmp_path, env=environment)
    workdir = tmp_path / "run"
    for step, number in ((4, signal.SIGTERM), (15, signal.SIGKILL)):
        end = time.monotonic() + 300
        while (
            not (workdir / "log.jsonl").exists()
            or max(losses(workdir), default=0) < step
        ):
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.02)
        os.kill(int((tmp_path / "pid").read_text()), number)
    assert process.wait(300) == 0
    assert sorted(losses(workdir)) == list(range(1, 41))
