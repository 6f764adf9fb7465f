"""The contract every test runs under: strict promotion, several devices, no network."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import jaxtyping
import pytest
from golden_scene import golden_scene

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_num_cpu_devices", 8)


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
