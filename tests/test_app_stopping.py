"""A server that is told to stop: what is in work, what comes, how it ends."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import app_server
import pytest
import small_models
from app_server import ask
from test_app_http import Gate, photo

from jax_depth import checkpoint

# Compiling is nearly all they do.
pytestmark = pytest.mark.usefixtures("cheap_programs")


@pytest.fixture(scope="module")
def relative():
    """Return a model that was served once: what a first server sets up outlives it.

    In a test that captures its output, pytest would be left without its own.
    """
    estimator = app_server.small()
    with app_server.running(estimator) as server:
        assert ask(server.address, "/depth", photo())[0] == 200
    return estimator


@contextlib.contextmanager
def gated(relative, monkeypatch, photos, **options):
    """Yield a server, a gate before its device and the answers to photos in work."""
    gate = Gate(relative, monkeypatch)
    with (
        ThreadPoolExecutor(photos) as clients,
        app_server.running(relative, batch_size=1, **options) as server,
    ):
        post = lambda _: ask(server.address, "/depth", photo())
        try:
            answers = [clients.submit(post, None)]
            assert gate.entered.wait(60)
            answers += [clients.submit(post, i) for i in range(1, photos)]
            server.wait_until(photos - 1)
            yield server, gate, answers
        finally:
            gate.open.set()


def is_stopping(text: bytes) -> bool:
    return text == b"the server is stopping; send the picture again later\n"


def test_what_is_in_work_ends_and_what_is_new_is_refused(relative, monkeypatch):
    with gated(relative, monkeypatch, 3) as (server, gate, answers):
        server.server.handle_exit(signal.SIGTERM, None)
        while not server.service.work.stopping:
            time.sleep(0.01)
        for path, body in (("/depth", photo()), ("/depth", bytes(2**20)), ("/", None)):
            status, headers, text = ask(server.address, path, body)
            assert status == 503 and is_stopping(text)
            assert int(headers["Retry-After"]) > 0
        assert not any(answer.done() for answer in answers)
        gate.open.set()
        assert [answer.result(60)[0] for answer in answers] == [200] * 3


def test_what_does_not_end_within_the_grace_is_a_503(relative, monkeypatch):
    with gated(relative, monkeypatch, 3, grace=0.3) as (server, _, answers):
        with socket.create_connection(server.address.split("/")[2].split(":")) as slow:
            slow.sendall(b"POST /depth HTTP/1.1\r\nHost: localhost\r\n")
            slow.sendall(b"Content-Length: 99\r\n\r\nhalf")
            # A photo counts twice, as a request and as a prediction.
            while server.service.work.count < 3 * 2 + 1:
                time.sleep(0.01)
            server.server.handle_exit(signal.SIGTERM, None)
            head, _, text = slow.makefile("rb").read().partition(b"\r\n\r\n")
            assert b" 503 " in head and b"retry-after" in head and is_stopping(text)
        for answer in answers:
            status, headers, text = answer.result(60)
            assert status == 503 and is_stopping(text) and headers["Retry-After"]


def test_a_second_signal_waits_no_longer(relative, monkeypatch):
    with gated(relative, monkeypatch, 2) as (server, _, answers):
        server.server.handle_exit(signal.SIGTERM, None)
        time.sleep(0.3)
        assert not any(answer.done() for answer in answers)
        start = time.monotonic()
        server.server.handle_exit(signal.SIGTERM, None)
        assert [answer.result(60)[0] for answer in answers] == [503] * 2
        assert time.monotonic() - start < 5


def test_who_leaves_in_the_middle_of_an_upload_leaves_no_trace(relative, capfd):
    with app_server.running(relative) as server:
        host, port = server.address.split("/")[2].split(":")
        for _ in range(5):
            with socket.create_connection((host, port)) as client:
                client.sendall(b"POST /depth HTTP/1.1\r\nHost: localhost\r\n")
                client.sendall(b"Content-Length: 99999\r\n\r\nhalf")
                while not server.service.work.count:
                    time.sleep(0.01)
            while server.service.work.count:
                time.sleep(0.01)
        assert ask(server.address, "/depth", photo())[0] == 200
    assert capfd.readouterr() == ("", "")


# A server whose device never gets done, and which is ready without compiling anything.
_STUCK = """
import contextlib, sys, time
from jax_depth.app import models
from jax_depth.cli.main import main
from jax_depth.inference.estimator import Estimator
Estimator.run = lambda *_: time.sleep(600)
models.warm_up = lambda *_: contextlib.nullcontext()
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_the_process_ends_at_once_though_the_device_is_busy(tmp_path):
    config = small_models.RELATIVE
    checkpoint.save(tmp_path / "m", small_models.random_params(config), config)
    words = ["app", "--port", "0", "--grace", "0.5", "--model", str(tmp_path / "m")]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    environment["PYTHONPATH"] = str(Path(__file__).parent.parent)
    process = subprocess.Popen(
        [sys.executable, "-c", _STUCK, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        address = process.stdout.readline().split()[2]
        with ThreadPoolExecutor(1) as client:
            answer = client.submit(ask, address, "/depth", photo())
            time.sleep(1.0)
            start = time.monotonic()
            process.terminate()
            status, _, text = answer.result(60)
            assert process.wait(30) == 0
            # The grace, two seconds for threads to end, and a machine under load.
            assert time.monotonic() - start < 10
        assert status == 503 and is_stopping(text)
        assert process.stderr.read() == ""
        assert not list(tmp_path.glob("jax_depth_app_*"))
    finally:
        process.kill()
        process.communicate()
