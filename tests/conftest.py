"""The contract every test runs under: strict promotion, several devices, no network."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["JAX_PLATFORMS"] = "cpu"
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
