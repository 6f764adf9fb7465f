"""The child process of a benchmark: runs one contender, one request at a time.

    python -m benchmarks.worker

Requests are JSON objects, one per line, on standard input; each is answered by one line
of JSON on the original standard output. Whatever libraries print goes to standard
error.

    {"do": "load", "module": M, "options": {...}, "task": {...}}  -> seconds
    {"do": "call"}  or  {"do": "call", "save": FILE.npy}  -> seconds, cpu, peak_bytes

A failure is answered by {"error": sentence} or, if the contender's library is missing
or cannot do the task, {"absent": sentence}; the process then waits for the next line.
"""

import importlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, TextIO

from benchmarks.task import Absent, Task


def main() -> None:
    """Answer requests until the input ends."""
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    serve(sys.stdin, channel)


def serve(requests: TextIO, replies: TextIO) -> None:
    """Answer each line of `requests` on `replies`."""
    call: Callable[[], Any] | None = None
    for line in requests:
        request = json.loads(line)
        try:
            if request["do"] == "load":
                start = time.perf_counter()
                module = importlib.import_module(request["module"])
                call = module.load(Task(**request["task"]), **request["options"])
                reply = {"seconds": time.perf_counter() - start}
            elif request["do"] == "call":
                assert call is not None, "call before load"
                reply = _call(call, request.get("save"))
            else:
                raise ValueError(f"unknown request {request['do']!r}")
        except Absent as reason:
            reply = {"absent": str(reason)}
        except ModuleNotFoundError as error:
            reply = {"absent": f"{error.name} is not installed"}
        except Exception as error:
            traceback.print_exc()
            lines = str(error).strip().splitlines() or [""]
            reply = {"error": f"{type(error).__name__}: {lines[0]}"}
        print(json.dumps(reply), file=replies, flush=True)


def _call(call: Callable[[], Any], save: str | None) -> dict[str, float]:
    start, cpu = time.perf_counter(), time.process_time()
    result = call()
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    if save:
        import numpy as np

        np.save(save, np.asarray(result, np.float32))
    return {"seconds": seconds, "cpu": cpu, "peak_bytes": peak_bytes()}


def peak_bytes() -> int:
    """Return the most resident memory that this process ever had."""
    try:
        # Not getrusage, whose figure survives exec and so starts at the parent's.
        with open("/proc/self/status", encoding="ascii") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    main()
