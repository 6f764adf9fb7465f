"""What a supervisor asks of the app: its health, its models, its counts, its log."""

import json
import re

import app_server
import pytest
import small_models
from app_server import ask
from prometheus_client.parser import text_string_to_metric_families
from test_app_http import photo

import jax_depth

# Compiling is nearly all they do.
pytestmark = pytest.mark.usefixtures("cheap_programs")


@pytest.fixture(scope="module")
def server():
    metric = app_server.small(small_models.METRIC_SWIGLU)
    with app_server.running(app_server.small(), metric, waiting=7) as server:
        yield server


def test_health(server):
    status, headers, body = ask(server.address, "/health")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert json.loads(body) == {
        "ready": True,
        "version": jax_depth.__version__,
        "model": "small-relative",
        "queue": 0,
        "in_work": 0,
        "max_waiting": 7,
    }
    assert ask(server.address, "/health", method="HEAD")[::2] == (200, b"")


def test_health_says_that_the_server_stops(server, monkeypatch):
    monkeypatch.setattr(server.service.work, "stopping", True)
    status, _, body = ask(server.address, "/health")
    assert status == 503 and json.loads(body)["ready"] is False


def test_models_are_what_depth_takes(server):
    rows = json.loads(ask(server.address, "/models")[2])
    assert [row["name"] for row in rows] == ["small-relative", "small-metric-swiglu"]
    assert [row["default"] for row in rows] == [True, False]
    assert [row["unit"] for row in rows] == [None, "m"]
    for row in rows:
        path = f"/depth?model={row['name']}&size="
        for size in (row["min_size"] - 1, row["max_size"] + 1):
            text = ask(server.address, f"{path}{size}", photo())[2]
            assert f"give {row['min_size']} to {row['max_size']}" in text.decode()


def counts(server) -> dict:
    status, headers, body = ask(server.address, "/metrics")
    assert status == 200 and headers["Content-Type"].startswith("text/plain")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def test_metrics_count_answers_and_pictures(server):
    before = counts(server)
    for body in (photo(), photo(), b"no picture"):
        ask(server.address, "/depth?model=small-metric-swiglu", body)
    after = counts(server)
    added = lambda *name: after.get(name, 0) - before.get(name, 0)
    assert added("jax_depth_requests_total", "200") == 2
    assert added("jax_depth_requests_total", "415") == 1
    assert added("jax_depth_batch_pictures_count") == 2
    assert added("jax_depth_picture_seconds_count", "small-metric-swiglu") >= 2
    assert after["jax_depth_pictures_in_work",] == 0
    assert after["jax_depth_pictures_waiting",] == 0


def test_a_line_per_request_on_demand(capfd):
    for wanted in (True, False):
        with app_server.running(app_server.small(), access_log=wanted) as server:
            ask(server.address, "/depth?format=tif", b"x")
            ask(server.address, "/health")
        out, err = capfd.readouterr()
        lines = err.splitlines()
        assert len(lines) == 2 * wanted and not out
        if wanted:
            line = r'\d{4}-\S+ \S+ 127\.0\.0\.1:\d+ "%s HTTP/1.1" %d .+'
            asked = (r"POST /depth\?format=tif", 422), ("GET /health", 200)
            for expected, found in zip(asked, lines, strict=True):
                assert re.fullmatch(line % expected, found)
