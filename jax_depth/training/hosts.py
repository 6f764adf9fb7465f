"""What the processes of a run tell each other, through the store jax keeps for them.

A process that fails leaves the others in an exchange that never completes: they would
notice by a heartbeat, 100 seconds later. Here it leaves a message, which each of the
others prints before it exits.
"""

import contextlib
import os
import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Any

import jax

from jax_depth.formats.printable import printable

_POLL = 0.2  # seconds
_PATIENCE = 5.0
_runs = 0


@contextlib.contextmanager
def together() -> Iterator["Hosts"]:
    """A context in which an exception on one host ends the processes on all of them.

    With one process it is raised as usual. With several, each exits at once with code
    1, since a process waiting for an exchange cannot end in any other way.
    """
    global _runs
    _runs += 1
    hosts = Hosts(f"jax_depth/train/{_runs}")
    if hosts.client is None:
        yield hosts
        return
    over = threading.Event()
    listener = threading.Thread(target=_listen, args=(hosts, over), daemon=True)
    listener.start()
    try:
        yield hosts
    except Exception as error:
        if _failure(hosts) is not None:
            # An exchange broken by another's exit says nothing about its cause.
            listener.join(_PATIENCE)
            os._exit(1)
        if not isinstance(error, ValueError | OSError):
            traceback.print_exc()
        over.set()
        _fail(hosts, str(error) or type(error).__name__)
    finally:
        over.set()


class Hosts:
    """The processes of one run.

    Args:
        prefix: of the keys in the store.
    """

    def __init__(self, prefix: str):
        self.prefix = prefix
        self.client: Any = None
        self._told = 0
        self._read: set[str] = set()
        if jax.process_count() > 1:
            from jax._src import distributed

            self.client = distributed.global_state.client

    def tell(self, sentence: str) -> None:
        """Leave a message for the first process, which keeps the log."""
        print(printable(f"train: {sentence}"), file=sys.stderr, flush=True)
        if self.client is not None:
            self._told += 1
            key = f"{self.prefix}/said/{jax.process_index()}.{self._told}"
            self.client.key_value_set(key, f"process {jax.process_index()}: {sentence}")

    def told(self) -> list[str]:
        """Return what others have told since the last call."""
        if self.client is None:
            return []
        found = dict(self.client.key_value_dir_get(f"{self.prefix}/said/"))
        new = sorted(found.keys() - self._read)
        self._read |= set(new)
        return [found[key] for key in new]

    def total(self, *numbers: int) -> list[int]:
        """Return sums over processes; all of them must call it."""
        if self.client is None:
            return list(numbers)
        import numpy as np
        from jax.experimental import multihost_utils

        mine = np.asarray(numbers, np.int32)
        return [int(n) for n in multihost_utils.process_allgather(mine).sum(0)]


def _fail(hosts: Hosts, sentence: str) -> None:
    """Tell the others why this process ends, wait until they know, and end."""
    place = f"process {jax.process_index()} on {socket.gethostname()}"
    print(printable(f"jax-depth: train: {sentence}"), file=sys.stderr, flush=True)
    # Another may have failed before, or the first process may be gone.
    with contextlib.suppress(Exception):
        hosts.client.key_value_set(f"{hosts.prefix}/failed", f"{place}: {sentence}")
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            heard = hosts.client.key_value_dir_get(f"{hosts.prefix}/heard/")
            if len(heard) >= jax.process_count() - 1:
                break
            time.sleep(_POLL)
    os._exit(1)


def _failure(hosts: Hosts) -> str | None:
    """Return why another process ended, if one did."""
    try:
        return hosts.client.key_value_try_get(f"{hosts.prefix}/failed")
    except Exception:  # it is not there, or the store is gone
        return None


def _listen(hosts: Hosts, over: threading.Event) -> None:
    while not over.wait(_POLL):
        sentence = _failure(hosts)
        if sentence is None:
            continue
        if over.is_set():
            return
        print(printable(f"jax-depth: train: {sentence}"), file=sys.stderr, flush=True)
        with contextlib.suppress(Exception):
            key = f"{hosts.prefix}/heard/{jax.process_index()}"
            hosts.client.key_value_set(key, "")
        if jax.process_index() == 0:
            # It holds the store: gone first, jax would abort the others.
            time.sleep(_PATIENCE / 2)
        os._exit(1)
