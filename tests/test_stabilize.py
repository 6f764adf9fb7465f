"""The steady range of a video: gauges undone, cuts found, flicker at least halved."""

import dataclasses
import itertools

import jax
import numpy as np
import pytest
from PIL import Image

from jax_depth.video.stabilize import (
    GRID,
    Settings,
    Stream,
    initial_state,
    on_grid,
    stabilize,
    step,
)
from scripts.video_flicker import flicker, render, ways

# Compiling is nearly all they do.
pytestmark = pytest.mark.usefixtures("cheap_programs")


def surface(seed=0):
    """Return a rough surface with values in 0 to 1."""
    rng = np.random.default_rng(seed)
    rough = rng.normal(size=GRID).cumsum(0).cumsum(1)
    rough -= rough.min()
    return (rough / rough.max()).astype(np.float32)


def gray(values):
    """Return a picture that looks like a map."""
    pixels = np.clip(values * 255, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(pixels[..., None], (*values.shape, 3)))


def jumping(frames, noise=0.0, seed=1):
    """Return maps of one scene in gauges that jump, pictures, scales and shifts."""
    rng = np.random.default_rng(seed)
    base = surface()
    scale = rng.uniform(0.5, 2, (frames, 1, 1)).astype(np.float32)
    shift = rng.uniform(-1, 1, (frames, 1, 1)).astype(np.float32)
    errors = noise * rng.normal(size=(frames, *GRID)).astype(np.float32)
    return scale * (base + errors) + shift, gray(base)[None].repeat(frames, 0), base


def test_gauges_are_undone_exactly_where_nothing_else_changes():
    maps, pictures, _ = jumping(20)
    placed = stabilize(maps, pictures)
    aligned = placed.scale[:, None, None] * maps + placed.shift[:, None, None]
    spread = 5 * np.ptp(maps[0])  # each frame carries the rounding of those before
    np.testing.assert_allclose(aligned, maps[:1].repeat(20, 0), atol=2e-5 * spread)
    np.testing.assert_allclose(placed.low, placed.low[0], atol=2e-5 * spread)
    assert not placed.cut.any()


def test_contrast_does_not_fade_in_a_thousand_noisy_frames():
    maps, pictures, _base = jumping(1000, noise=0.05)
    placed = stabilize(maps, pictures)
    end = (placed.scale[:, None, None] * maps + placed.shift[:, None, None])[-20:]
    start = float(maps[:1].std())
    assert end.std(axis=(1, 2)).mean() == pytest.approx(start, rel=0.05)
    assert end.mean() == pytest.approx(maps[0].mean(), abs=0.08 * float(start))
    # Least squares of each frame to the last, for comparison, fades by its
    # correlation with every step.
    faded = np.float64(1)
    for one, other in itertools.pairwise(maps):
        faded *= np.corrcoef(one.ravel(), other.ravel())[0, 1]
    assert faded < 0.1


def test_a_third_of_the_picture_may_move():
    maps, pictures, base = jumping(12)
    scales = (maps[:, 0, 1] - maps[:, 0, 0]) / (base[0, 1] - base[0, 0])
    maps = maps.copy()
    for k in range(12):  # something near passes in front
        left = 2 * k
        maps[k, :, left : left + 10] = maps[k].max() + scales[k]
    placed = stabilize(maps, pictures)
    gauge = placed.scale * scales
    np.testing.assert_allclose(gauge, gauge[0], rtol=1e-3)


def test_one_by_one_gives_the_numbers_of_the_scan():
    maps, pictures, _ = jumping(30, noise=0.02)
    maps[17:], pictures[17:] = maps[17:, ::-1], 255 - pictures[17:]
    offline = jax.device_get(stabilize(maps, pictures))
    stream, state, one = Stream(), initial_state(), jax.jit(step)
    for k in range(30):
        here = stream.place(maps[k], pictures[k])
        state, placed = one(state, maps[k], pictures[k])
        for name in ("scale", "shift", "low", "high", "cut"):
            expected = getattr(offline, name)[k]
            # The same operations in two programs, which XLA may fuse differently.
            np.testing.assert_allclose(getattr(here, name), expected, rtol=1e-6)
            np.testing.assert_allclose(getattr(placed, name), expected, rtol=1e-6)
    assert np.flatnonzero(offline.cut).tolist() == [17]


def test_it_is_causal():
    maps, pictures, _ = jumping(10, noise=0.02)
    short = stabilize(maps[:6], pictures[:6])
    for whole, part in zip(stabilize(maps, pictures), short, strict=True):
        np.testing.assert_array_equal(whole[:6], part)


def test_frames_without_depth_are_passed_over():
    maps, pictures, _ = jumping(9)
    maps[4], pictures[4] = 0, 0
    placed = stabilize(maps, pictures)
    assert not placed.cut.any()
    assert (placed.scale[4], placed.shift[4]) == (1, 0)
    assert placed.low[4] == placed.low[3]
    aligned = placed.scale[:, None, None] * maps + placed.shift[:, None, None]
    np.testing.assert_allclose(aligned[8], maps[0], atol=1e-4)
    with pytest.raises(ValueError, match="NaN or infinite"):
        Stream().place(np.full(GRID, np.nan, np.float32), pictures[0])


def test_photos_that_are_panned_across_are_cut_between_and_not_within(examples):
    """Real pictures: pans, zooms, a flash and a fade are no cuts; other photos are."""
    maps, pictures, cuts = [], [], []
    for name, photo in examples.items():
        cuts.append(len(maps))
        for k in range(16):
            left, top = 6 * k, 2 * k
            window = photo[top : top + 200, left : left + 260]
            light = 1.5 if k == 9 else 1.0
            pictures.append(on_grid(np.clip(window * light, 0, 255).astype(np.uint8)))
            # Smooth depth that goes with the picture, in a gauge of its own.
            blurred = Image.fromarray(window).convert("L").reduce(20).resize(GRID[::-1])
            maps.append(np.float32(blurred) * (1 + 0.3 * (k % 3)) + len(name))
    placed = stabilize(np.array(maps), np.array(pictures))
    assert np.flatnonzero(placed.cut).tolist() == cuts[1:]


@pytest.fixture
def examples():
    from pathlib import Path

    found = sorted((Path(__file__).parent.parent / "examples").glob("*.jpg"))
    photos = {
        path.name: np.asarray(Image.open(path).convert("RGB").resize((400, 300)))
        for path in found
    }
    assert len(photos) >= 3
    return photos


def test_metres_are_only_followed():
    maps, pictures, _ = jumping(8)
    placed = stabilize(maps, pictures, dataclasses.replace(Settings(), align=False))
    np.testing.assert_array_equal(placed.scale, 1)
    np.testing.assert_array_equal(placed.shift, 0)
    steps = np.abs(np.diff(placed.high))
    assert steps.max() <= 0.05 * np.ptp(maps.max(axis=(1, 2)))


def test_a_change_of_size_starts_anew():
    stream = Stream()
    base = surface()
    stream.place(base, gray(base))
    assert stream.place(2 * base, gray(base)).scale == pytest.approx(0.5, rel=1e-4)
    wide = np.repeat(base, 2, axis=1)
    placed = stream.place(wide, gray(wide))
    assert (placed.cut, placed.scale, placed.shift) == (True, 1, 0)


def test_streaming_halves_the_flicker_of_a_network_whose_gauge_jumps():
    """A made-up network: the truth, wrong by a smooth error, in a jumping gauge."""
    clip = render(half=16)
    rng = np.random.default_rng(0)
    _frames, height, width = clip.depths.shape
    rows, columns = np.indices((height, width)) / height
    values = []
    for depth in clip.depths:
        a, b = rng.normal(0, 0.02, 2)
        error = a * np.sin(3 * rows + b * 9) + 0.01 * np.cos(5 * columns)
        scale, shift = rng.uniform(0.9, 1.1), rng.uniform(-0.03, 0.03)
        values.append(scale * (1 / depth + error) + shift)
    found = ways(np.array(values, np.float32), clip.pictures)
    rows = {way: flicker(clip, *maps) for way, maps in found.items()}
    for figure in ("still", "tae"):
        assert rows["stream"][figure] < rows["frame"][figure] / 2, rows


def test_streaming_steadies_the_bundled_model():
    import jax_depth

    clip = render()
    estimator = jax_depth.load("tiny")
    values = np.array([depth.values for depth in estimator(list(clip.pictures))])
    found = ways(values, clip.pictures)
    rows = {way: flicker(clip, *maps) for way, maps in found.items()}
    # Most of it by mixing: the shape of its depth flickers, see docs/video.md.
    for figure in ("still", "tae"):
        assert rows["stream"][figure] < rows["frame"][figure] / 2, rows
