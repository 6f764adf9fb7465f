"""Which frames of a clip are taken, reading ahead, and memory that stays flat."""

import os
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from clips import FakeModel, pictures, write_clip
from PIL import Image

from jax_depth.video.frames import FrameFolder, Selection, Thinning
from jax_depth.video.prefetch import prefetch
from jax_depth.video.reading import open_source
from jax_depth.video.spool import Spool
from jax_depth.video.video_depth import VideoDepth


@pytest.mark.parametrize(
    ("source", "wanted", "expected"),
    [
        (30, None, list(range(12))),
        (30, 60, list(range(12))),
        (30, 10, [0, 3, 6, 9]),
        (24, 10, [0, 2, 5, 7, 10]),  # nearest to 0, 2.4, 4.8, 7.2, 9.6
    ],
)
def test_thinning_takes_the_nearest(source, wanted, expected):
    rate = None if wanted is None else Fraction(wanted)
    thinning = Thinning(rate, Fraction(source))
    # Milliseconds, as Matroska keeps them.
    taken = [k for k in range(12) if thinning.takes(round(k / source, 3))]
    assert taken == expected


def test_thinning_does_not_catch_up_after_a_gap():
    thinning = Thinning(Fraction(10), Fraction(30))
    times = [0.0, 0.033, 0.067, 0.1, 5.0, 5.033, 5.067, 5.1]
    assert [t for t in times if thinning.takes(t)] == [0.0, 0.1, 5.0, 5.1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"start": -1.0}, "must be 0 or later"),
        ({"rate": Fraction(0)}, "must be above 0"),
        ({"count": 0}, "must be at least 1"),
    ],
)
def test_selections_that_cannot_be(arguments, message):
    with pytest.raises(ValueError, match=message):
        Selection(**arguments)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    for name in ("clip.mp4", "clip.webp"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(OSError, match=rf"{name}' is a pipe.*'-'.*file"):
            open_source(tmp_path / name)


def test_expected_frames():
    rate = Fraction(30)
    assert Selection().expected(90.0, rate) == 90
    assert Selection(start=1.0).expected(90.0, rate) == 60
    assert Selection(start=1.0, rate=Fraction(10)).expected(90.0, rate) == 20
    assert Selection(count=7).expected(90.0, rate) == 7
    assert Selection(count=7).expected(None, rate) == 7
    assert Selection().expected(None, rate) is None


def test_a_bad_frame_of_a_folder_is_named_and_leaves_its_time_empty(tmp_path):
    import cv2

    for k, frame in enumerate(pictures(4)):
        cv2.imwrite(str(tmp_path / f"{k}.png"), frame)
    (tmp_path / "2.png").write_bytes(b"broken")
    source = FrameFolder(tmp_path, Selection(rate=Fraction(4)))
    assert [frame.time for frame in source] == [0, 0.25, 0.75]
    assert len(source.problems) == 1
    assert "2.png" in source.problems[0]


def test_a_seek_ends_at_the_frame_that_reading_from_the_start_reaches(tmp_path):
    write_clip(tmp_path / "a.mp4", pictures(40), g="12")
    whole = list(open_source(tmp_path / "a.mp4"))
    late = list(open_source(tmp_path / "a.mp4", Selection(start=1.7, count=5)))
    assert [round(frame.time, 3) for frame in late] == [0, 0.1, 0.2, 0.3, 0.4]
    for one, other in zip(late, whole[17:], strict=False):
        np.testing.assert_array_equal(one.pixels, other.pixels)


def test_a_stream_without_a_clock_is_read_from_the_front(tmp_path):
    write_clip(tmp_path / "a.h264", pictures(30), rate=25)
    whole = list(open_source(tmp_path / "a.h264"))
    late = open_source(tmp_path / "a.h264", Selection(start=0.8))
    for one, other in zip(late, whole[20:], strict=True):
        np.testing.assert_array_equal(one.pixels, other.pixels)
    assert late.problems == []


@pytest.mark.parametrize(("options", "missing"), [({}, 2), ({"duration": 500}, 0)])
def test_frames_that_a_gif_does_not_part_are_missed(tmp_path, options, missing):
    first, *rest = map(Image.fromarray, pictures(3, (64, 96)))
    # Pillow writes no delays unless asked to.
    first.save(tmp_path / "a.gif", save_all=True, append_images=rest, **options)
    source = open_source(tmp_path / "a.gif")
    assert len(list(source)) == 3 - missing
    assert len(source.problems) == (1 if missing else 0)
    assert all(f"so {missing} of them" in text for text in source.problems)
    late = open_source(tmp_path / "a.gif", Selection(start=0.9))
    assert len(list(late)) == (0 if missing else 1)
    assert not any("delay" in text for text in late.problems)


def test_prefetch_keeps_order_stays_bounded_and_overlaps():
    made = []

    def items():
        for k in range(20):
            made.append(k)
            yield k

    seen = []
    for item in prefetch(items(), 3):
        time.sleep(0.01)
        seen.append(item)
        # Three wait, one is in the thread's hand, one was made meanwhile.
        assert len(made) - len(seen) <= 5
    assert seen == list(range(20))


def test_prefetch_hands_errors_over_after_what_came_before():
    def items():
        yield 1
        raise ValueError("broken")

    ahead = prefetch(items(), 3)
    assert next(ahead) == 1
    with pytest.raises(ValueError, match="broken"):
        next(ahead)


def test_closing_a_prefetch_ends_its_thread_and_what_it_reads():
    closed = threading.Event()

    def items():
        try:
            while True:
                yield 0
        finally:
            closed.set()

    before = threading.active_count()
    ahead = prefetch(items(), 2)
    next(ahead)
    ahead.close()
    assert closed.is_set()
    assert threading.active_count() == before


def test_the_spool_is_exact():
    rng = np.random.default_rng(0)
    maps = [rng.normal(size=(7, 5 + k)).astype(np.float32) for k in range(4)]
    with Spool() as spool:
        for values in maps:
            spool.append(values)
        assert len(spool) == 4
        for one, other in zip(spool, maps, strict=True):
            np.testing.assert_array_equal(one, other)
        everything = np.concatenate([values.ravel() for values in maps])
        assert spool.extremes == (everything.min(), everything.max())
        with pytest.raises(ValueError, match="NaN or infinite"):
            spool.append(np.full((2, 2), np.inf, np.float32))


def test_from_python(tmp_path, as_installed):
    write_clip(tmp_path / "a.mp4", pictures(6))
    with VideoDepth(FakeModel(), tmp_path / "a.mp4", Selection(count=4)) as video:
        results = list(video)
    assert [round(result.frame.time, 3) for result in results] == [0, 0.1, 0.2, 0.3]
    assert results[0].depth.shape == (32, 48)
    assert results[0].depth.kind == "inverse_depth"
    assert results[2].shown is not results[2].depth
    for bad, message in (("often", "is unknown"), ("clip", "a camera has no end")):
        with pytest.raises(ValueError, match=message):
            VideoDepth(FakeModel(), "0", range=bad)
    with pytest.raises(OSError, match="camera 0"):
        VideoDepth(FakeModel(), 0)
    with pytest.raises(ValueError, match="share 1 of the past"):
        VideoDepth(FakeModel(), tmp_path / "a.mp4", smooth=1.0)


@pytest.mark.parametrize(
    "ends",
    [(5, 1), None, (1,), (0, np.inf), (0, 1e39), (1, 1 + 1e-8), ("a", 2), np.nan],
)
def test_ranges_that_cannot_be(tmp_path, as_installed, ends):
    write_clip(tmp_path / "a.mp4", pictures(1))
    with pytest.raises(ValueError, match=r"is not \(low, high\), two finite numbers"):
        VideoDepth(FakeModel(), tmp_path / "a.mp4", range=ends)


def test_a_pipe_that_was_copied_is_called_what_it_is(tmp_path, monkeypatch):
    (tmp_path / "words").write_text("no video at all")
    with open(tmp_path / "words") as pipe:
        monkeypatch.setattr(sys, "stdin", pipe)
        with pytest.raises(OSError, match=r"^standard input cannot be read as video"):
            VideoDepth(FakeModel(), "-", range="clip")


def test_reading_and_the_network_go_on_while_the_caller_is_busy(tmp_path):
    write_clip(tmp_path / "a.mp4", pictures(30))
    model = FakeModel(batch_size=2)
    with VideoDepth(model, tmp_path / "a.mp4") as video:
        results = iter(video)
        next(results)  # of the first batch; the caller now does nothing
        until = time.monotonic() + 20
        while len(model.batches) < 3 and time.monotonic() < until:
            time.sleep(0.01)
        assert len(model.batches) >= 3
        time.sleep(0.2)
        assert len(model.batches) <= 5  # and not the whole clip
        assert len(list(results)) == 29
    assert sum(model.batches) == 30


_MEASURE = """
import resource, sys
from clips import FakeModel
from jax_depth.cli import video
from jax_depth.cli.main import main
video.load_estimator = lambda args: FakeModel()
for clip in ("40.mp4", "400.mp4"):
    assert main(["video", clip, *sys.argv[1:], "--quiet"]) == 0
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.parametrize("way", ["stream", "clip"])
def test_memory_does_not_grow_with_the_clip(tmp_path, way):
    frame = np.random.default_rng(0).integers(0, 255, (240, 320, 3), dtype=np.uint8)
    for count in (40, 400):  # 340 MB more of frames and maps
        write_clip(tmp_path / f"{count}.mp4", [frame] * count, preset="ultrafast")
    argv = ["--range", way, "--format", "film,npz"]
    paths = [str(Path(__file__).parent), *sys.path]
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, *argv],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
    )
    assert done.returncode == 0, done.stderr
    peaks = [int(line) for line in done.stdout.split()]
    assert peaks[1] - peaks[0] < 40, peaks
