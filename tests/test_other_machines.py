"""What plain pytest runs, as another CPU would compute it and in another order."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


# Of XLA's flags for other CPUs these two change the last bits of most programs.
@pytest.mark.long
@pytest.mark.parametrize(
    "flag, options",
    [
        ("--xla_cpu_max_isa=SSE4_2", ()),
        ("--xla_cpu_prefer_vector_width=512", ("-n", "0")),
    ],
)
def test_it_passes_on_another_cpu_in_another_order(flag, options):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, *options],
        cwd=ROOT,
        env=os.environ | {"XLA_FLAGS": flag, "JAX_DEPTH_TESTS_ORDER": flag},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-5000:]
