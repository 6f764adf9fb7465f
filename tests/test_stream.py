"""The one loop over pictures: order, failures, memory, threads."""

import itertools
import threading
import time

import numpy as np
import pytest
from fake_estimator import FakeEstimator
from PIL import Image

from jax_depth.depth_map import DepthMap
from jax_depth.inference.stream import stream


def _pictures(widths):
    return [np.full((4, w, 3), i % 256, np.uint8) for i, w in enumerate(widths)]


def _threads():
    return {t for t in threading.enumerate() if t.name.startswith("jax-depth-stream")}


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("threads", [1, 4])
def test_results_come_in_order_whatever_their_sizes(batch_size, threads):
    rng = np.random.default_rng(0)
    items = _pictures(rng.integers(3, 9, 50))
    fake = FakeEstimator(batch_size=batch_size)
    results = list(stream(items, fake, threads=threads))
    assert [item is other for (item, _), other in zip(results, items, strict=True)]
    for item, depth in results:
        np.testing.assert_array_equal(depth.values, item[..., 0])
    assert max(fake.batches) <= batch_size and sum(fake.batches) == 50


def test_batches_depend_on_the_items_alone():
    rng = np.random.default_rng(0)
    items, found = _pictures(rng.integers(3, 9, 60)), []
    for threads in (1, 2, 5):
        fake = FakeEstimator(batch_size=4)
        list(stream(items, fake, threads=threads, read=_slowly))
        found.append(fake.batches)
    assert found[0] == found[1] == found[2]
    assert max(found[0]) == 4


@pytest.mark.parametrize("batch_size", [1, 2, 4])
def test_a_rare_size_holds_nothing_up(batch_size):
    """The first picture waits in vain for another of its size, and so does a later."""
    items = _pictures([3, *[5] * 100, 4, *[5, 6] * 50])
    found = []
    for threads in (1, 3, 8):
        fake = FakeEstimator(batch_size=batch_size)
        results = list(stream(items, fake, threads=threads))
        assert [item is other for (item, _), other in zip(results, items, strict=True)]
        found.append(fake.batches)
    assert found[0] == found[1] == found[2] and sum(found[0]) == len(items)


def _slowly(item):
    time.sleep(item[0, 0, 0] % 3 / 2000)
    return item


def test_one_is_to_blame_and_the_others_have_their_maps(tmp_path):
    refused = {7: ValueError("seven"), 8: MemoryError()}
    fake = FakeEstimator(batch_size=2, refused=refused)
    (tmp_path / "torn.png").write_bytes(b"\x89PNG")
    Image.new("RGB", (5, 4)).save(tmp_path / "good.png")
    items = [*_pictures([5, 7, 7, 5, 8]), tmp_path / "torn.png", tmp_path / "good.png"]
    results = [result for _, result in stream(items, fake)]
    kinds = [DepthMap, ValueError, ValueError, DepthMap, MemoryError, OSError, DepthMap]
    for result, kind in zip(results, kinds, strict=True):
        assert isinstance(result, kind)
    assert "torn.png" in str(results[5])


class Picky(FakeEstimator):
    """Fails where a bad picture is in the batch, and only then."""

    def run(self, pixels):
        super().run(pixels)
        if (pixels == 13).all(axis=(1, 2, 3)).any():
            raise ValueError("thirteen")
        return super().run(pixels)


def test_a_batch_that_fails_is_run_picture_by_picture():
    fake = Picky(batch_size=4)
    results = [result for _, result in stream(_pictures([6] * 20), fake)]
    failed = [i for i, r in enumerate(results) if isinstance(r, Exception)]
    assert failed == [13] and str(results[13]) == "thirteen"


def test_an_endless_iterable_is_read_a_little_ahead_in_the_caller_s_thread():
    taken, callers = [], set()

    def endless():
        for i in itertools.count():
            callers.add(threading.current_thread())
            taken.append(i)
            yield np.full((4, 5 + i % 7, 3), i % 256, np.uint8)

    results = stream(endless(), FakeEstimator(batch_size=2), threads=2)
    for i, (item, depth) in enumerate(itertools.islice(results, 200)):
        assert depth.values[0, 0] == item[0, 0, 0] == i % 256
        assert len(taken) - i <= 24
    assert callers == {threading.current_thread()}
    assert _threads()
    results.close()
    assert not _threads()


def test_what_the_iterable_raises_comes_after_what_came_before():
    def broken():
        yield from _pictures([5, 6, 5])
        raise KeyError("no more")

    results, seen = stream(broken(), FakeEstimator(batch_size=4)), []
    with pytest.raises(KeyError, match="no more"):
        for _, depth in results:
            seen.append(depth.shape)
    assert seen == [(4, 5), (4, 6), (4, 5)]
    assert not _threads()


def test_nothing_in_nothing_out():
    assert list(stream([], FakeEstimator())) == []
    assert not _threads()
