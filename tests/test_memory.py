"""Freed memory that stays: fewer page faults, counted in a process of its own."""

import resource
import subprocess
import sys

import pytest

from jax_depth.inference import memory

FAULTS = """
import resource, sys
import numpy as np
from jax_depth.inference.memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
# Not huge pages, of which one fault brings 512 small ones.
import ctypes
ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)
def touch():
    np.ones(48 << 20, np.uint8)
touch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    touch()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _faults(mode: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", FAULTS, mode], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs glibc")
def test_freed_memory_is_taken_again_without_page_faults():
    # 48 MiB, above the 32 MiB at which glibc stops learning, are 12288 pages of 4 KiB.
    # Five rounds fault for each of them by default.
    assert _faults("default") > 5 * (48 << 20) // resource.getpagesize() - 500
    assert _faults("keep") < 100


def test_another_c_library_is_left_alone(monkeypatch):
    class Musl:
        def __getattr__(self, name):
            if name == "mallopt":
                pytest.fail("musl's mallopt was called")
            raise AttributeError(name)

    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: Musl())
    assert memory.keep_freed_memory() is False


def test_a_refused_setting_is_reported(monkeypatch):
    class Refusing:
        gnu_get_libc_version = None

        @staticmethod
        def mallopt(name, value):
            return 0

    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: Refusing())
    assert memory.keep_freed_memory() is False
