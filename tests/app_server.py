"""Servers of the web app for tests, and a client that sends what it is told."""

import contextlib
import dataclasses
import http.client
import os
import subprocess
import sys
import threading
import time
import urllib.parse
from pathlib import Path

import jax
import pytest
import small_models

from jax_depth import checkpoint
from jax_depth.inference.estimator import Estimator
from jax_depth.models.initialize import init

pytest.importorskip("gradio", reason="the web app needs jax_depth[app]")

from jax_depth.app import server
from jax_depth.app.http_server import HttpServer, http_server
from jax_depth.app.limits import Limits
from jax_depth.app.service import Service

ROOT = Path(__file__).parent.parent


def small(config=small_models.RELATIVE) -> Estimator:
    """Return a random model on one device that compiles in a moment."""
    params = init(config, jax.random.key(1))
    return Estimator(params, config, size=56, devices=jax.devices()[:1])


@dataclasses.dataclass(frozen=True)
class Running:
    """Where a server is, and what is behind it."""

    address: str
    service: Service
    server: HttpServer

    def wait_until(self, waiting: int) -> None:
        """Wait until this many pictures are in the queue."""
        for _ in range(6000):
            if len(self.service.batcher._queue) == waiting:
                return
            time.sleep(0.01)
        raise AssertionError(f"there were never {waiting} pictures waiting")


@contextlib.contextmanager
def running(*estimators, batch_size=4, grace=30.0, access_log=False, **limits):
    """Serve these models over HTTP, in threads of this process, without a page."""
    models = {estimator.config.name: estimator for estimator in estimators}
    options = {"limits": Limits(**limits), "batch_size": batch_size, "page": False}
    with (
        server.listen("127.0.0.1", 0) as sock,
        server.application(models, **options) as app,
    ):
        answering = http_server(app, grace, access_log=access_log)
        thread = threading.Thread(target=answering.run, args=([sock],))
        thread.start()
        try:
            while not answering.started:
                assert thread.is_alive()
                time.sleep(0.01)
            address = f"http://127.0.0.1:{sock.getsockname()[1]}"
            yield Running(address, app.service, answering)
        finally:
            answering.should_exit = True
            thread.join()


# The command line, without the seconds that programs for usual photos take to compile.
_COLD = """
import contextlib, sys
from jax_depth.app import models
from jax_depth.cli.main import main
models.warm_up = lambda *_: contextlib.nullcontext()
sys.exit(main(sys.argv[1:]))
"""


@contextlib.contextmanager
def command(folder: Path, *options: str, metric: bool = False, warm: bool = True):
    """Run `jax-depth app` and yield its address and the folder of its uploads.

    gradio leaves event loops unclosed, which is an error in the tests' own process.
    """
    uploads = folder / "temporary"
    uploads.mkdir()
    if metric:
        config = small_models.METRIC_SWIGLU
        model = folder / config.name
        checkpoint.save(model, init(config, jax.random.key(1)), config)
        options = ("--model", "tiny", "--model", str(model), *options)
    start = ["-m", "jax_depth"] if warm else ["-c", _COLD]
    words = [sys.executable, *start, "app", "--port", "0", *options]
    environment = os.environ | {"TMPDIR": str(uploads), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, text=True, env=environment, cwd=folder
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("jax-depth app: http://"), line
            yield line.split()[2], next(uploads.glob("jax_depth_app_*"))
        finally:
            process.terminate()
            code = process.wait(30)
    # Told to end it ends in order, and takes what users left with it.
    assert code == 0
    assert not list(uploads.glob("jax_depth_app_*"))


def ask(address, path, body=None, method=None, **headers):
    """Return status, headers and body of one request; the path is sent as it is."""
    host = urllib.parse.urlsplit(address).netloc
    connection = http.client.HTTPConnection(host, timeout=60)
    method = method or ("GET" if body is None else "POST")
    names = {key.replace("_", "-"): value for key, value in headers.items()}
    try:
        connection.request(method, path, body, names)
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()
