"""The parity report: measures what it says, and notices what is wrong."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from small_models import REGISTERS, RELATIVE

from jax_depth.checkpoint import flatten
from jax_depth_convert import load
from jax_depth_convert.verify import _reference, main, parity, random_file

WITH_OFFSET = dataclasses.replace(
    RELATIVE, encoder=dataclasses.replace(RELATIVE.encoder, position_offset=0.1)
)


@pytest.fixture
def params(tmp_path):
    random_file(tmp_path / "x.pth", WITH_OFFSET)
    return load(tmp_path / "x.pth", WITH_OFFSET)[0]


def test_original_position_offset(params):
    (row,) = parity(params, WITH_OFFSET, [(28, 98)])
    assert (row.height, row.width) == (28, 98)
    assert row.error < 2e-5
    assert row.std > 0.05

    pixels = np.ones((1, 28, 98, 3), np.float32)
    with_offset = _reference(params, WITH_OFFSET)(pixels)
    without = _reference(params, RELATIVE)(pixels)
    assert np.abs(with_offset - without).max() > 0.01 * with_offset.std()


def test_bare_encoder_with_registers(tmp_path):
    random_file(tmp_path / "x.pth", REGISTERS)
    params, _ = load(tmp_path / "x.pth", REGISTERS)
    (row,) = parity(params, REGISTERS, [(28, 42)])
    assert row.error < 2e-5


def test_random_weights_are_finite_and_differ(params):
    leaves = flatten(params)
    assert all(np.isfinite(x).all() for x in leaves.values())
    assert all(x.std() > 0 for x in leaves.values() if x.size > 1)


def test_errors_are_sentences(tmp_path, capsys):
    (tmp_path / "x.pth").write_bytes(b"<html>")
    assert main([str(tmp_path / "x.pth")]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert main(["--model", "nonsense"]) == 1
    assert "'nonsense'; see `jax-depth models`" in capsys.readouterr().err
    assert main(["--model", "tiny"]) == 1
    assert "no PyTorch counterpart" in capsys.readouterr().err


def test_conversion_imports_no_torch():
    code = "import sys, jax_depth_convert; sys.exit('torch' in sys.modules)"
    path = ":".join(p for p in sys.path if p)
    result = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": path})
    assert result.returncode == 0
