"""The parent's side of a worker process."""

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from typing import Any

from benchmarks.task import Absent

# Every contender runs on the CPU, and a JAX that may use other platforms takes seconds
# to find out that there are none.
ON_CPU = {"JAX_PLATFORMS": "cpu"}
# torch.compile takes minutes for a large network on two cores.
TIMEOUT = 600.0


class WorkerError(Exception):
    """A contender failed; the message is one sentence."""


def environment(extra: Mapping[str, str] = {}) -> dict[str, str]:
    """Return the environment of a measured process.

    It finds the same packages, never uses the network, and keeps no compiled programs
    from an earlier run. OpenMP's threads sleep while they wait, since spinning threads
    would slow down whoever has the next turn.
    """
    result = dict(os.environ)
    result.pop("JAX_COMPILATION_CACHE_DIR", None)
    result |= {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_WAIT_POLICY": "PASSIVE",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    return result | dict(extra)


class Worker:
    """A process that runs one contender; see `worker` for the protocol."""

    def __init__(self, extra: Mapping[str, str] = {}):
        """Start it, with `extra` in its environment from the start."""
        self._errors = tempfile.TemporaryFile("w+")
        # torch.compile keeps its programs; with a new folder every first call is cold.
        self._programs = tempfile.TemporaryDirectory()
        programs = {"TORCHINDUCTOR_CACHE_DIR": self._programs.name}
        extra = {**ON_CPU, **programs, **extra}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=environment(extra),
        )
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def ask(self, timeout: float = TIMEOUT, **request: Any) -> dict[str, Any]:
        """Send a request and return the reply.

        Raises:
            Absent: the contender cannot take part.
            WorkerError: it failed, died, or took longer than `timeout` seconds.
        """
        stdin = self._process.stdin
        assert stdin is not None
        try:
            stdin.write(json.dumps(request) + "\n")
            stdin.flush()
        except BrokenPipeError:
            raise WorkerError(self._epitaph()) from None
        try:
            line = self._lines.get(timeout=timeout)
        except queue.Empty:
            self.close()
            raise WorkerError(f"no answer within {timeout:g} s") from None
        if not line:
            raise WorkerError(self._epitaph())
        reply = json.loads(line)
        if "absent" in reply:
            raise Absent(reply["absent"])
        if "error" in reply:
            raise WorkerError(reply["error"])
        return reply

    def close(self) -> None:
        """End the process, if it has not ended yet."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            try:
                stream.close()
            except BrokenPipeError:
                pass
        self._errors.close()
        self._programs.cleanup()

    def _read(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None
        try:
            for line in stdout:
                self._lines.put(line)
        except ValueError:  # closed during a read
            pass
        self._lines.put("")

    def _epitaph(self) -> str:
        code = self._process.wait()
        self._errors.seek(0)
        lines = [line for line in self._errors.read().splitlines() if line.strip()]
        last = f": {lines[-1]}" if lines else ""
        how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
        return f"the process ended ({how}){last}"
