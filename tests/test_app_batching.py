"""The queue before the device: what is computed together, what is given up."""

import threading

import numpy as np
import pytest

pytest.importorskip("gradio", reason="the web app needs jax_depth[app]")

from jax_depth.app.batching import Batcher
from jax_depth.app.messages import Refusal


class Device:
    """Doubles pixels; every call waits for `go`, and may fail."""

    def __init__(self):
        self.go = threading.Event()
        self.started = threading.Event()
        self.calls = []

    def run(self, pixels):
        self.calls.append(len(pixels))
        self.started.set()
        assert self.go.wait(30)
        if (pixels < 0).any():
            raise ValueError("negative")
        return 2 * pixels[..., 0]


@pytest.fixture
def device():
    return Device()


@pytest.fixture
def batcher():
    batcher = Batcher(capacity=8, batch_size=4)
    yield batcher
    batcher.close()


def picture(value, width=3):
    return np.full((1, 2, width, 3), value, np.float32)


def occupy(batcher, device):
    """Let the device start on a picture, so that the following ones wait."""
    future = batcher.submit("a", device.run, picture(0), 30)
    assert device.started.wait(30)
    return future


def test_pictures_that_wait_are_computed_together(batcher, device):
    first = occupy(batcher, device)
    waiting = [batcher.submit("a", device.run, picture(i), 30) for i in range(1, 7)]
    device.go.set()
    assert first.result(30).together == 1
    for i, future in enumerate(waiting, 1):
        assert (future.result(30).values == 2 * i).all()
    assert [future.result().together for future in waiting] == [4, 4, 4, 4, 2, 2]
    assert device.calls == [1, 4, 2]


def test_only_pictures_of_one_model_and_size_go_together(batcher, device):
    occupy(batcher, device)
    kinds = [("a", 3), ("b", 3), ("a", 5), ("a", 3)]
    waiting = [
        batcher.submit(key, device.run, picture(1, width), 30) for key, width in kinds
    ]
    device.go.set()
    assert [future.result(30).together for future in waiting] == [2, 1, 1, 2]
    assert [future.result().values.shape[1] for future in waiting] == [3, 3, 5, 3]
    # The one that waited longest goes first, and takes its like along.
    assert device.calls == [1, 2, 1, 1]


def test_one_failure_does_not_touch_the_others(batcher, device):
    occupy(batcher, device)
    waiting = [batcher.submit("a", device.run, picture(v), 30) for v in (1, -1, 3)]
    device.go.set()
    assert (waiting[0].result(30).values == 2).all()
    with pytest.raises(ValueError, match="negative"):
        waiting[1].result(30)
    assert (waiting[2].result(30).values == 6).all()


def test_the_queue_is_bounded(batcher, device):
    occupy(batcher, device)
    waiting = [batcher.submit("a", device.run, picture(1), 30) for _ in range(8)]
    with pytest.raises(Refusal, match="8 pictures are waiting") as refused:
        batcher.submit("a", device.run, picture(1), 30)
    assert refused.value.status == 429
    device.go.set()
    assert all(future.result(30) for future in waiting)


def test_late_and_cancelled_pictures_cost_nothing(batcher, device):
    occupy(batcher, device)
    late = batcher.submit("a", device.run, picture(1), 0)
    cancelled = batcher.submit("a", device.run, picture(1), 30)
    assert cancelled.cancel()
    device.go.set()
    with pytest.raises(Refusal) as refused:
        late.result(30)
    assert refused.value.status == 504
    assert batcher.submit("a", device.run, picture(1), 30).result(30).together == 1
    assert device.calls == [1, 1]


def test_closing_refuses_what_waits(device):
    batcher = Batcher(capacity=8, batch_size=4)
    running = occupy(batcher, device)
    waiting = batcher.submit("a", device.run, picture(1), 30)
    closing = threading.Thread(target=batcher.close)
    closing.start()
    with pytest.raises(Refusal, match="stopping") as refused:
        waiting.result(30)
    assert refused.value.status == 503
    device.go.set()
    closing.join(30)
    assert running.result(30).together == 1
    with pytest.raises(Refusal, match="stopping"):
        batcher.submit("a", device.run, picture(1), 30)
