"""The device benchmark in miniature: it runs, agrees, and records what it ran on."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.process import environment

BENCHMARKS = Path(__file__).parent.parent / "scripts/benchmarks"


@pytest.mark.slow
def test_a_miniature_is_measured_and_recorded(tmp_path):
    pytest.importorskip("transformers")
    name = tmp_path / "here"
    command = [sys.executable, BENCHMARKS, "devices", "--smoke", "--seconds", "0.05"]
    command += ["--output", name]
    env = environment({"JAX_PLATFORMS": "cpu"})
    run = subprocess.run(command, capture_output=True, text=True, env=env)
    assert run.returncode == 0, run.stderr
    report = json.loads(name.with_suffix(".json").read_text())
    assert report["device"]["platform"] == "cpu" and report["versions"]["jax"]
    rows = {(r["batch"], r["library"], r["row"]): r for r in report["rows"]}
    assert set(rows) == {
        (batch, *row)
        for batch in (1, 2)
        for row in [("jax", p) for p in ("f32", "tf32", "bf16")] + [("torch", "f32")]
    }
    for (_, _, precision), row in rows.items():
        assert "problem" not in row, row
        assert row["ms_per_image"] > 0 and row["mfu"] is None
        # bfloat16 keeps 8 bits of every operand; float32 is held elsewhere to 1e-5.
        assert row["difference"] < (0.1 if precision == "bf16" else 1e-3)
    table = name.with_suffix(".md").read_text()
    assert table.count("| miniature |") == len(rows)
