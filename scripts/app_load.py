"""Put `jax-depth app` under load: many clients post photos at once.

    python scripts/app_load.py examples/*.jpg

starts its own server on loopback, sends it the photos in turn and prints JSON:
responses by status, latency percentiles, pictures per device call, and the server's
memory after a quarter of the requests and at the end. With `--stop-after N` the server
gets SIGTERM once N responses have arrived, to show how it stops under load.
"""

import argparse
import collections
import http.client
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np


def main() -> None:
    """Run the load and print the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--format", choices=("png", "npy"), default="png")
    parser.add_argument("--stop-after", type=int, help="answers until SIGTERM")
    parser.add_argument("--settle", type=float, default=90, help="seconds to warm up")
    parser.add_argument("--app", default="", help="options of `jax-depth app`")
    args = parser.parse_args()
    command = [sys.executable, "-m", "jax_depth", "app", "--port", "0"]
    command += args.app.split()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().split()[2].removeprefix("http://")
            time.sleep(args.settle)
            print(json.dumps(_load(address, process.pid, args), indent=2))
        finally:
            process.terminate()


def _load(address: str, pid: int, args: argparse.Namespace) -> dict:
    files = itertools.cycle([photo.read_bytes() for photo in args.photos])
    statuses, together = collections.Counter(), collections.Counter()
    seconds: list[float] = []
    lock = threading.Lock()
    quarter = 0
    stopped = 0.0

    def one(file: bytes) -> None:
        nonlocal quarter, stopped
        start = time.perf_counter()
        status, batch = _post(address, file, args.format)
        took = time.perf_counter() - start
        with lock:
            statuses[status] += 1
            together[batch] += 1
            seconds.append(took)
            if len(seconds) == args.requests // 4:
                quarter = _resident(pid)
            if len(seconds) == args.stop_after:
                os.kill(pid, signal.SIGTERM)
                stopped = time.perf_counter()

    start = time.perf_counter()
    with ThreadPoolExecutor(args.clients) as clients:
        list(clients.map(one, itertools.islice(files, args.requests)))
    wall = time.perf_counter() - start
    p50, p99 = np.percentile(seconds, [50, 99])
    return {
        "requests": args.requests,
        "clients": args.clients,
        "status": dict(statuses),
        "p50_ms": round(1e3 * p50, 1),
        "p99_ms": round(1e3 * p99, 1),
        "per_second": round(args.requests / wall, 1),
        "pictures_per_call": {str(k): together[k] for k in sorted(together)},
        "resident_mib": {"after a quarter": quarter, "at the end": _resident(pid)},
        "stopped_s": _until_gone(pid, stopped) if stopped else None,
    }


def _post(address: str, file: bytes, format: str) -> tuple[int | str, str]:
    connection = http.client.HTTPConnection(address, timeout=120)
    try:
        connection.request("POST", f"/depth?format={format}", file)
        response = connection.getresponse()
        response.read()
        return response.status, response.headers.get("X-Depth-Batch", "none")
    except OSError as error:
        return type(error).__name__, "none"
    finally:
        connection.close()


def _resident(pid: int) -> int:
    """Return the resident memory of a process in MiB, on Linux; 0 once it has ended."""
    pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    return int(pages) * 4096 // 2**20


def _until_gone(pid: int, start: float) -> float:
    """Wait for a child to end; return the seconds since it was told to."""
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.05)
    return round(time.perf_counter() - start, 1)


if __name__ == "__main__":
    main()
