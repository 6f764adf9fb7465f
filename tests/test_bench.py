"""The benchmark: protocol, checks before timing, whatever goes wrong, the page."""

import dataclasses
import io
import json
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from benchmarks import jobs, machine, paper, report, session, worker, workspace
from benchmarks.catalog import BOUNDS, Contender, chosen
from benchmarks.contenders import own, pytorch, pytorch_hybrid
from benchmarks.plan import Plan
from benchmarks.process import Worker, WorkerError
from benchmarks.results import Row, Table
from benchmarks.rivals import main
from benchmarks.suite import SUITES
from benchmarks.table import hints, markdown
from benchmarks.task import Absent, Task
from PIL import Image

from jax_depth import checkpoint
from jax_depth.models.depth_anything import raw_output
from jax_depth.models.grid import token_grid

MODULE = "bench_contenders"
TASK = Task("unused", "model", 5, 7, batch=2)
MACHINE = {
    "cpu": "A processor",
    "cores": 2,
    "features": ["avx2"],
    "memory_gib": 4.0,
    "system": "Linux x86_64",
    "python": "3.11.0",
}


def contender(name, precision="f32", **options):
    return Contender(name, MODULE, "", precision, options)


@pytest.fixture
def no_weights(monkeypatch):
    monkeypatch.setattr(workspace, "prepare", lambda task: None)


@pytest.fixture
def process():
    started = Worker({"A_SETTING": "as given"})
    yield started
    started.close()


def _load(process, **options):
    task = dataclasses.asdict(TASK)
    return process.ask(do="load", module=MODULE, options=options, task=task)


def test_worker_answers_and_survives_errors(process, tmp_path):
    with pytest.raises(WorkerError, match=r"^RuntimeError: no such kernel$"):
        _load(process, fault="load")
    with pytest.raises(Absent, match=r"^needs another machine$"):
        _load(process, fault="absent")
    with pytest.raises(Absent, match=r"^a_library_that_nobody_has is not installed$"):
        _load(process, fault="module")
    assert _load(process, fault="noise")["seconds"] >= 0
    reply = process.ask(do="call", save=str(tmp_path / "x.npy"))
    assert reply["peak_bytes"] > 2**20
    np.testing.assert_array_equal(
        np.load(tmp_path / "x.npy"), np.arange(10).reshape(2, 5)
    )


def test_a_dead_and_a_silent_worker_are_reported(process):
    _load(process, fault="exit")
    with pytest.raises(WorkerError, match="exit code 7"):
        process.ask(do="call")
    other = Worker()
    with pytest.raises(WorkerError, match=r"no answer within 0\.01 s"):
        other.ask(timeout=0.01, do="call")
    other.close()


def test_serve_needs_a_load_first():
    replies = io.StringIO()
    worker.serve(io.StringIO('{"do": "call"}\n{"do": "dance"}\n'), replies)
    first, second = map(json.loads, replies.getvalue().splitlines())
    assert first == {"error": "AssertionError: call before load"}
    assert second == {"error": "ValueError: unknown request 'dance'"}


def test_session_times_only_who_computes_the_same(no_weights):
    rows = session.run(
        TASK,
        [
            contender("crashes", fault="exit"),
            contender("reference"),
            contender("close", result=1 + 1e-5),
            contender("wrong", result=1.01),
            contender("rough", "bf16", result=1.01),
            contender("nan", fault="nan"),
            contender("shape", fault="shape"),
            contender("dies late", fault="late exit"),
            contender("absent", fault="absent"),
        ],
        rounds=3,
        say=lambda line: None,
    )
    found = {row.name: row for row in rows}
    assert list(found) == [row.name for row in rows]
    for name in ("reference", "close", "rough"):
        assert found[name].problem is None
        assert len(found[name].seconds) == len(found[name].cpu) == 3
        assert found[name].pictures == 2
    assert found["reference"].error == 0
    std = np.arange(10).std()
    assert found["rough"].error == pytest.approx(0.01 * 9 / std, rel=1e-3)
    assert "exit code 7" in found["crashes"].problem
    assert found["wrong"].problem.startswith("wrong: error 3.1e-02 ")
    assert "not finite" in found["nan"].problem
    assert "(1, 2), not (2, 5)" in found["shape"].problem
    assert "exit code 7" in found["dies late"].problem
    assert found["absent"].problem == "needs another machine"
    for name in ("crashes", "wrong", "nan", "shape", "dies late", "absent"):
        assert found[name].seconds == found[name].cpu == []


def test_own_contender_on_living_weights(tmp_path):
    import small_models

    task = Task(str(tmp_path), "small-relative", 28, 42, batch=2)
    workspace.write(task, small_models.RELATIVE)
    plain = own.load(task)()
    assert plain.shape == (2, 28, 42)
    assert (plain > 0).mean() > 0.9 and plain.std() > 0.1
    rough = own.load(task, dtype="bfloat16")()
    assert 0 < abs(rough - plain).max() < BOUNDS["bf16"] * plain.std()
    _, config = checkpoint.load(task.native)
    assert own.configured(config, "float32", remat=True).encoder.remat
    # The peers read the very same weights.
    assert (task.transformers / "model.safetensors").exists()


@pytest.mark.parametrize("size", [(32, 64), (288, 208)])
def test_rival_of_the_bundled_model_is_the_same_network(tmp_path, size):
    """Its step is compared by the loss alone, which would hide much."""
    task = Task(str(tmp_path), "tiny", *size, batch=2)
    workspace.write(task)
    params, config = checkpoint.load(task.native)
    reduced = token_grid(config.encoder, size) != (size[0] // 16, size[1] // 16)
    assert reduced == (size == (288, 208))
    pixels = np.load(task.pixels)
    expected = jax.jit(raw_output, static_argnums=2)(params, pixels, config)
    for remat in (False, True):
        # In float64: of pictures it reduces torch's float32 is further off than ours.
        model = pytorch_hybrid.load_hybrid(task, remat).double()
        actual = model(pytorch.to_nchw(pixels).double()).detach().numpy()
        assert abs(actual - expected).max() < BOUNDS["f32"] * expected.std()


_SCRIPT = """
import pathlib, sys
import numpy as np
from PIL import Image
photos, out, noise = sys.argv[1:]
pathlib.Path(out).mkdir()
for photo in pathlib.Path(photos).iterdir():
    depth = np.asarray(Image.open(photo).convert("L"), np.float32)
    if noise == "shrink":
        depth = depth[:5]
    elif noise:
        depth = depth + float(noise) * np.random.default_rng(0).normal(size=depth.shape)
    np.save(pathlib.Path(out) / f"{photo.stem}.npy", depth)
"""


def test_whole_jobs_are_checked_and_timed(no_weights, tmp_path):
    def command(name, noise, **options):
        def make(photos, out, task):
            return ["-c", _SCRIPT, str(photos), str(out), noise]

        return jobs.Command(name, make, **options)

    task = Task(str(tmp_path), "tiny", 0, 0)
    (tmp_path / "transformers").mkdir()
    rows = jobs.run(
        task,
        "folder",
        [
            command("first", ""),
            command("near", "0.1", cold=True),
            command("far", "1000"),
            command("small", "shrink"),
            command("fails", "no number"),
        ],
        rounds=2,
        photos=2,
        size=None,
        say=lambda line: None,
    )
    found = {row.name: row for row in rows}
    for name in ("first", "near"):
        assert found[name].problem is None and len(found[name].seconds) == 2
        assert all(0 < cpu for cpu in found[name].cpu)
        assert found[name].pictures == 2 and found[name].peak_bytes > 2**20
    assert found["first"].error == 0 and 0 < found["near"].error < 0.1
    assert found["far"].problem.startswith("wrong: correlation 0.")
    assert found["small"].problem.startswith("wrong: it wrote 2 maps")
    assert found["fails"].problem.startswith("exit code 1: ValueError: could not")
    sizes = set()
    for photo in (tmp_path / "photos-2").iterdir():
        with Image.open(photo) as picture:
            sizes.add(picture.size)
    assert len(sizes) == 2

    (row,) = jobs.run(
        task, "start", [command("one", "")], 1, 64, (24, 40), lambda line: None
    )
    assert (row.problem, row.pictures) == (None, 1)
    (photo,) = (tmp_path / "photos-24x40-1").iterdir()
    with Image.open(photo) as picture:
        assert picture.size == (40, 24)


def test_distance_and_ratio():
    first = Row("a", seconds=[1.0, 2.0, 4.0], flops=6e9)
    other = Row("b", seconds=[2.0, 3.0, 2.0], precision="int8", flops=6e9)
    assert other.ratio(first) == 1.5  # of 2, 1.5, 0.5; not 2 / 2
    assert other.cpu_ratio(first) is None
    first.cpu, other.cpu = [2.0, 2.0, 4.0], [1.0, 1.5, 12.0]
    assert other.cpu_ratio(first) == 0.75
    assert first.distance({"f32": 30e9}) == pytest.approx(10)
    assert other.distance({"f32": 30e9}) is None


def test_what_other_programs_use_is_told_from_ours():
    meter, before = machine.Meter(), machine.Meter._read()
    end = time.process_time() + 0.5
    while time.process_time() < end:
        pass
    others, after = meter.others(), machine.Meter._read()
    assert others is not None and 0 <= others <= 1
    assert before is not None and after is not None
    busy, everything, own = (b - a for a, b in zip(before, after, strict=True))
    # Counted in hundredths of a second, by two clocks.
    assert own == pytest.approx(0.5, abs=0.1)
    assert own - 0.1 <= busy <= everything + 1e-6


SCRIPTS = Path(__file__).parent.parent / "scripts"


def _table(**changes):
    rows = [
        Row("jax-f32", "f32", [0.5, 0.6], 2, 1.5, 3.0, 2**30, 0.0, 1e11),
        Row("jax-openvino-f32", "f32", [0.25, 0.3], 2, 0.5, 2.0, 2**29, 2e-5, 1e11),
        Row("keras", problem="keras is not installed"),
    ]
    values = {
        "title": "A table",
        "command": "python scripts/benchmarks rivals",
        "rows": rows,
        "date": "2026-01-02",
        "machine": MACHINE,
        "versions": {"jax": "1.2.3"},
    }
    return Table(**(values | changes))


def test_markdown_shows_everyone():
    text = markdown(_table(), {"f32": 1e12})
    lines = text.splitlines()
    cells = [cell.strip() for cell in lines[2].strip("|").split("|")]
    assert cells[:4] == ["jax-f32", "550", "500 - 600", "1.00"]
    assert cells[4] == "-"  # written before processor time was measured
    assert cells[5:] == ["3.64", "1024", "1.50", "3.0", "reference", "5.5"]
    assert "0.50" in lines[3] and "2.0e-05" in lines[3]
    assert len({len(line) for line in lines[:4]}) == 1
    assert lines[4] == "- not timed: keras: keras is not installed"
    assert hints(_table().timed) == [
        '`engine="openvino"` is 2.0 times as fast as jax-f32 here'
    ]
    nobody = _table(rows=[Row("keras", problem="absent")])
    assert markdown(nobody, {}) == "- not timed: keras: absent\n"


def test_table_survives_json():
    table = _table()
    assert Table.from_json(json.loads(json.dumps(table.to_json()))) == table


@dataclasses.dataclass(frozen=True)
class FakePlan:
    """A piece that counts its measurements, or fails."""

    runs: list
    fail: bool = False

    def run(self, say, folder):
        self.runs.append(folder)
        if self.fail:
            raise WorkerError("no room")
        return _table(title=f"Measured {len(self.runs)}")


@pytest.mark.long
def test_report_resumes_and_renders(tmp_path, monkeypatch):
    limits = {"f32": 3e11, "bf16": 6e11, "bandwidth": 5e10}
    monkeypatch.setattr(report.ceilings, "measure", lambda say: limits)
    page, said = tmp_path / "docs" / "performance.md", []
    suite = {"good": FakePlan([]), "bad": FakePlan([], fail=True)}

    def run(pieces=None, again=False):
        return report.run(page, suite, pieces, again, tmp_path, said.append)

    assert run() == 1
    assert "bad: failed: no room" in said
    first = page.read_text()
    assert "## Measured 1" in first and "A processor, 2 cores (avx2), 4.0 GiB" in first
    assert "products in bf16: 600 GFLOP/s" in first and "50 GB/s" in first
    assert f"{BOUNDS['f32']:g} in f32" in first and "jax 1.2.3" in first
    # Only what failed is tried again; nothing is when only rendering.
    assert run() == 1
    assert run(pieces=[]) == 0
    assert [len(plan.runs) for plan in suite.values()] == [1, 2]
    assert page.read_text() == first
    assert run(pieces=["good"], again=True) == 0
    assert "## Measured 2" in page.read_text()
    with pytest.raises(ValueError, match=r"'x'.*ceilings"):
        run(pieces=["x"])
    page.with_suffix(".json").write_text("[]")
    with pytest.raises(ValueError, match="does not hold results"):
        run()


def test_work_on_paper_is_arithmetic(tmp_path, monkeypatch):
    monkeypatch.setattr(report.ceilings, "measure", lambda say: {})
    monkeypatch.setattr(paper, "_MODELS", ("depth-anything-v2-small",))
    page = tmp_path / "page.md"
    assert report.run(page, {}, ["accelerators"], False, tmp_path, print) == 0
    lines = [line for line in page.read_text().splitlines() if " one_pass |" in line]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    tpu = next(row for row in cells if row[1].endswith("v5e"))
    megabytes, least, rate, hours = (float(tpu[i]) for i in (4, 6, 7, 9))
    # 819 GB/s; memory is what limits it.
    assert tpu[5] == "memory" and least == pytest.approx(megabytes / 819, rel=0.01)
    assert rate == pytest.approx(0.3 / least * 1e3, rel=0.01)
    assert hours == pytest.approx(62e6 / rate / 3600, rel=0.02)
    assert "Computed, not measured" in page.read_text()


def test_every_suite_can_be_run():
    for suite in SUITES.values():
        for plan in suite.values():
            plan.check()


def test_a_contender_is_named_once():
    with pytest.raises(ValueError, match="twice"):
        chosen("forward", ["jax-f32", "jax-f32"])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--model bert", "'bert'; see `jax-depth models`"),
        ("--model dinov2-small", "dinov2-small is only an encoder"),
        ("--size 500", "use 490 or 504"),
        ("--size 14x3", "--size 3 is not a multiple of 14"),
        ("--size axb", "'a' is not a whole number above 0"),
        ("--contenders jax", "'jax'; known: transformers-f32"),
        ("--job start --batch 2", "leave --batch out"),
        ("--job folder --size 518", "leave --size out"),
        ("--job folder --contenders jax-f32", "no contender 'jax-f32'; known: "),
        ("--json nowhere/x.json", "'nowhere' is not a folder"),
        ("--again", "--again needs --report"),
        ("--report x.txt", "the page must end in .md"),
        ("--report x.md --model tiny", "--model is set by the suite"),
        ("--report x.md --render-only --again", "leave --pieces and --again out"),
    ],
)
def test_wrong_options_get_one_sentence(words, sentence, capsys):
    assert main(words.split()) == 2
    error = capsys.readouterr().err
    assert sentence in error and "Traceback" not in error


def test_command_prints_and_writes_a_table(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Plan, "run", lambda self, say: _table(command=self.command))
    monkeypatch.setattr(report.ceilings, "measure", lambda say: {"f32": 1e12})
    files = [tmp_path / "x.json", tmp_path / "x.md"]
    words = f"--model tiny --size 32x64 --json {files[0]} --markdown {files[1]}"
    assert main(words.split()) == 0
    printed = capsys.readouterr().out
    assert "--model tiny --size 32x64 --batch 1 --rounds 7" in printed
    assert files[1].read_text() == printed
    document = json.loads(files[0].read_text())
    assert document["rows"][0]["seconds"] == [0.5, 0.6]
    assert document["ceilings"] == {"f32": 1e12}
    assert main(["--list"]) == 0
    assert "kerashub-f32" in capsys.readouterr().out


def test_parent_loads_no_framework():
    code = (
        "import sys, benchmarks.plan, benchmarks.report; "
        "assert not {'torch', 'transformers', 'openvino'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=SCRIPTS)
