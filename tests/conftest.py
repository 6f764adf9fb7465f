"""The contract every test runs under: strict promotion, several devices, no network."""

import contextlib
import ctypes
import gc
import os
import random
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["JAX_PLATFORMS"] = "cpu"
if "PYTEST_XDIST_WORKER" in os.environ:
    # A process a core: torch's threads would only wait for one another.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# Nothing is measured: every machine and every run traces the same programs.
os.environ["JAX_DEPTH_BFLOAT16"] = "default"

import jax
import jaxtyping
import pytest
from golden_scene import golden_scene

# Holds tests that another file imports.
pytest.register_assert_rewrite("app_audit")

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_num_cpu_devices", 8)


# What a test may lack on a developer's machine, but not where changes are judged.
_DRIVEN = ("Chromium", "selenium", "EGL", "moderngl", "npm", "npx", "proxy")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Fail instead of skipping for want of a program, where all must run."""
    report = yield
    if os.environ.get("JAX_DEPTH_TESTS_MUST_RUN") and report.skipped:
        reason = str(call.excinfo.value) if call.excinfo else ""
        if any(word.lower() in reason.lower() for word in _DRIVEN):
            report.outcome, report.longrepr = "failed", f"skipped: {reason}"
    return report


def pytest_collection_modifyitems(items):
    """Shuffle the files, and the tests of each, by the seed JAX_DEPTH_TESTS_ORDER."""
    if not (seed := os.environ.get("JAX_DEPTH_TESTS_ORDER")):
        return
    draw, files = random.Random(seed), {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    order = draw.sample(list(files.values()), len(files))
    for tests in order:
        draw.shuffle(tests)
    items[:] = [item for tests in order for item in tests]


def pytest_collection_finish():
    """Spare what was imported: each of some 200 collections would look at it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    """Turn any attempt to leave this machine into a failure that says so."""
    import socket

    connect = socket.socket.connect

    def guarded(self, address):
        local = (
            self.family == socket.AF_UNIX
            or address[0] in ("localhost", "::1")
            or str(address[0]).startswith("127.")
        )
        if not local:
            raise AssertionError(f"a test tried to connect to {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(autouse=True, scope="module")
def _programs_of_one_module():
    """Drop what a module's programs took when its tests are done."""
    yield
    jax.clear_caches()
    gc.collect()
    _return_free_pages()


@pytest.fixture(autouse=True)
def _below_two_gigabytes():
    """Return free pages within a large module too."""
    yield
    with contextlib.suppress(OSError):
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        if pages * os.sysconf("SC_PAGE_SIZE") > 2 << 30:
            _return_free_pages()


def _return_free_pages():
    """Have glibc return what was freed, which it keeps for itself.

    Compiling one toy training step left a process of 1.0 GB, of which 0.6 GB were free;
    workers that had run half of the files had grown to 8 GB.
    """
    with contextlib.suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL("libc.so.6").malloc_trim(0)


@pytest.fixture(scope="session")
def compiled(tmp_path_factory):
    """Return the folder of compiled programs that the files of a worker share.

    Of one worker, since jax does not write them atomically.
    """
    return tmp_path_factory.getbasetemp() / "compiled"


@pytest.fixture(scope="module")
def cheap_programs(compiled):
    """Compile without XLA's expensive passes, and every program once per worker.

    For tests of what surrounds a small program: compiling is nearly all they do. What
    they start in processes of their own gets the same by `cheap_environment`.
    """
    from jax.experimental.compilation_cache import compilation_cache

    wanted = {
        "jax_compilation_cache_dir": str(compiled),
        "jax_persistent_cache_min_compile_time_secs": 0,
        "jax_disable_most_optimizations": True,
    }
    before = {name: jax.config.values[name] for name in wanted}
    for values in (wanted, before):
        for name, value in values.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()
        if values is wanted:
            yield


@pytest.fixture(scope="session")
def cheap_environment(compiled):
    """Return the environment of a process that compiles as `cheap_programs` does."""
    return os.environ | {
        "JAX_COMPILATION_CACHE_DIR": str(compiled),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "true",
    }


@pytest.fixture
def as_installed():
    """Run without the type checks of the tests: what a user's mistake meets."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def scene():
    """Return what `golden_scene` does."""
    return golden_scene()
