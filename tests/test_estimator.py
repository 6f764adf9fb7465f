"""Estimator: sizes, order, batches, devices and what a DepthMap says of itself."""

import dataclasses
import threading

import jax
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from benchmarks.inspection import inspect
from PIL import Image
from small_models import ENCODER, METRIC_SWIGLU, RELATIVE

import jax_depth
from jax_depth.checkpoint import flatten
from jax_depth.inference import estimator as module
from jax_depth.inference.engines import xla
from jax_depth.inference.estimator import Estimator
from jax_depth.models.depth_anything import forward
from jax_depth.models.initialize import init

# Compiling is nearly all they do.
pytestmark = pytest.mark.usefixtures("cheap_programs")
TINY = jax_depth.MODELS["tiny"].config
CONFIG = dataclasses.replace(RELATIVE, image_size=28)
PARAMS = init(CONFIG, jax.random.key(0))
ONE = jax.devices()[:1]
# Height, width; the third is processed at the size of the first.
SHAPES = [(30, 41), (45, 30), (60, 82), (28, 28), (31, 41), (30, 41)]


def _photos(shapes=SHAPES):
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*s, 3), dtype=np.uint8) for s in shapes]


_forward = jax.jit(forward, static_argnums=2)


def _expected(photo, config=CONFIG):
    pixels = jax_depth.preprocess(photo, config)
    small = torch.from_numpy(np.array(_forward(PARAMS, pixels, config)))
    size = photo.shape[:2]
    return F.interpolate(small[None], size, mode="bilinear", align_corners=True)[0, 0]


def test_one_photo_is_the_three_steps_in_a_row():
    photo = _photos()[0]
    depth = Estimator(PARAMS, CONFIG, devices=ONE)(photo)
    assert depth.values.shape == photo.shape[:2]
    assert (depth.kind, depth.unit, depth.model) == (
        "inverse_depth",
        None,
        "small-relative",
    )
    assert depth.values.std() > 0
    np.testing.assert_allclose(depth.values, _expected(photo), atol=2e-6)


@pytest.mark.parametrize("batch_size", [1, 2, 4])
def test_mixed_sizes_come_back_in_order(batch_size):
    photos = _photos()
    estimator = Estimator(PARAMS, CONFIG, batch_size=batch_size, devices=ONE)
    maps = estimator(photos)
    for photo, depth in zip(photos, maps, strict=True):
        np.testing.assert_allclose(depth.values, _expected(photo), atol=2e-6)
    # Three processing sizes; with batches of 4 the four of one size are one program.
    assert estimator.compilations <= 3 * (1 + batch_size.bit_length() - 1)
    compiled = estimator.compilations
    estimator(photos)
    assert estimator.compilations == compiled


def test_eight_devices_give_the_numbers_of_one():
    photos = _photos([(30, 41)] * 11)
    one = Estimator(PARAMS, CONFIG, devices=ONE, batch_size=4)(photos)
    eight = Estimator(PARAMS, CONFIG, devices=jax.devices(), batch_size=8)
    assert len(eight.params["encoder"]["cls_token"].sharding.device_set) == 8
    pixels = np.concatenate([jax_depth.preprocess(p, CONFIG) for p in photos[:8]])
    assert len(eight.run(pixels).depth.sharding.device_set) == 8
    for a, b in zip(one, eight(photos), strict=True):
        np.testing.assert_allclose(a.values, b.values, atol=2e-6)


# Above 1024 tokens attention goes in blocks.
@pytest.mark.parametrize("size", [(28, 42), (462, 476)])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_devices_exchange_nothing(size, dtype):
    config = dataclasses.replace(CONFIG, dtype=dtype)
    estimator, programs = Estimator(PARAMS, config), []

    def compile(*args):
        programs.append(xla.compile_forward(*args))
        return lambda params, pixels: pixels[..., 0]

    estimator.compile = compile
    estimator.run(np.zeros((16, *size, 3), np.float32))
    (program,) = programs
    assert "num_partitions=8" in program.as_text()
    assert inspect(program).collectives == {}


def test_a_batch_on_one_cpu_takes_the_memory_of_a_picture():
    estimator = Estimator(PARAMS, CONFIG, devices=ONE, batch_size=8)
    pixels = np.random.default_rng(0).standard_normal((8, 70, 98, 3), np.float32)
    sizes = []

    def compile(*args):
        program = xla.compile_forward(*args)
        memory = program.memory_analysis()
        assert memory is not None
        sizes.append(memory.temp_size_in_bytes)
        return program

    estimator.compile = compile
    together = np.asarray(estimator.run(pixels).depth)
    for one, picture in zip(together, pixels, strict=True):
        assert np.array_equal(one, estimator.run(picture[None]).depth[0])
    # Besides it, a copy of the picture and of its map.
    assert sizes[0] < 1.1 * sizes[1]


def test_programs_are_kept_up_to_a_bound(monkeypatch):
    monkeypatch.setattr(xla, "_MAX_COMPILED", 2)
    estimator = Estimator(PARAMS, CONFIG, devices=ONE)
    estimator(_photos([(28, 28), (28, 42), (28, 56)]))
    assert estimator.compilations == 2


def test_metric_maps_are_in_metres():
    config = dataclasses.replace(CONFIG, kind="metric_depth", max_depth=20.0)
    depth = Estimator(PARAMS, config, devices=ONE)(_photos()[0])
    assert (depth.kind, depth.unit, depth.max_depth) == ("metric_depth", "m", 20.0)
    assert 0 <= depth.values.min() < depth.values.max() <= 20


def test_size_and_resample_reach_the_network():
    photo = _photos([(20, 40)])[0]
    default = Estimator(PARAMS, CONFIG, devices=ONE)
    larger = Estimator(PARAMS, CONFIG, size=56, devices=ONE)
    other = Estimator(PARAMS, CONFIG, resample="transformers", devices=ONE)
    values = [e(photo).values for e in (default, larger, other)]
    assert all(v.shape == (20, 40) for v in values)
    assert not np.allclose(values[0], values[1])
    assert not np.allclose(values[0], values[2])


def test_paths_and_pictures_are_taken(tmp_path):
    photo = _photos()[0]
    Image.fromarray(photo).save(tmp_path / "photo.png")
    estimator = Estimator(PARAMS, CONFIG, devices=ONE)
    sources = [tmp_path / "photo.png", str(tmp_path / "photo.png")]
    maps = estimator([*sources, Image.fromarray(photo), photo])
    for depth in maps:
        np.testing.assert_array_equal(depth.values, maps[-1].values)


def test_a_bad_photo_is_named_before_anything_runs(tmp_path):
    estimator = Estimator(PARAMS, CONFIG, devices=ONE)
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(OSError, match=r"empty\.jpg"):
        estimator([_photos()[0], tmp_path / "empty.jpg"])
    with pytest.raises(FileNotFoundError, match="missing"):
        estimator(tmp_path / "missing.png")
    assert estimator.compilations == 0


def test_a_photo_that_proves_damaged_loses_no_map(tmp_path):
    photo = _photos()[0]
    Image.fromarray(photo).save(tmp_path / "whole.png")
    content = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "half.png").write_bytes(content[: len(content) // 2])
    estimator = Estimator(PARAMS, CONFIG, devices=ONE)
    sources = [photo, tmp_path / "whole.png", tmp_path / "half.png", photo]
    with pytest.raises(OSError, match=r"half\.png") as failure:
        estimator(sources)
    first, second, *rest = failure.value.maps
    np.testing.assert_array_equal(first.values, estimator(photo).values)
    np.testing.assert_array_equal(second.values, first.values)
    assert rest == [None, None]


@pytest.mark.long
def test_few_pictures_wait_in_memory(monkeypatch):
    """A list costs memory for its maps and for a few batches, not for its pixels."""
    estimator = Estimator(PARAMS, CONFIG, devices=ONE, batch_size=2)
    lock, prepared, most, prepare = threading.Lock(), 0, 0, estimator.prepare
    run = estimator.run

    def counted_prepare(picture, **options):
        nonlocal prepared, most
        with lock:
            prepared += 1
            most = max(most, prepared)
        return prepare(picture, **options)

    def counted_run(pixels):
        nonlocal prepared
        with lock:
            prepared -= len(pixels)
        return run(pixels)

    monkeypatch.setattr(estimator, "prepare", counted_prepare)
    monkeypatch.setattr(estimator, "run", counted_run)
    # Nine sizes, none of them twice in a row.
    shapes = [(28, 28 + 14 * (i % 9)) for i in range(60)]
    results = estimator.stream(_photos(shapes), threads=3)
    assert [depth.values.shape for _, depth in results] == shapes
    assert prepared == 0 and most <= 8 + 3 + 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "base",
    [RELATIVE]
    + [pytest.param(c, marks=pytest.mark.long) for c in (TINY, METRIC_SWIGLU)],
    ids=lambda c: c.name,
)
def test_kernels_rounded_once_give_the_same_bits(base):
    config = dataclasses.replace(base, dtype="bfloat16", image_size=32)
    params = init(config, jax.random.key(1))
    estimator = Estimator(params, config, devices=ONE)
    side = 2 * config.encoder.patch_size
    rng = np.random.default_rng(0)
    pixels = rng.standard_normal((1, side, side * 2, 3)).astype(np.float32)
    expected = jax.jit(forward, static_argnums=2)(params, pixels, config)
    assert expected.std() > 0
    np.testing.assert_array_equal(estimator.run(pixels).depth, expected)
    # Half the memory: all but vectors and position embeddings.
    held = flatten(estimator.params)
    rounded = {path for path, leaf in held.items() if leaf.dtype == "bfloat16"}
    assert "head/output_conv3/kernel" not in rounded
    assert sum(held[path].size for path in rounded) > 0.9 * sum(
        leaf.size for path, leaf in held.items() if path.endswith("kernel")
    )


def test_memory_is_kept_on_request_only(monkeypatch):
    calls = []
    monkeypatch.setattr(module, "keep_freed_memory", lambda: calls.append(True))
    jax_depth.load("tiny", devices=ONE)
    assert not calls
    jax_depth.load("tiny", devices=ONE, keep_memory=True)
    assert calls


@pytest.mark.parametrize(
    "options, word",
    [
        ({"size": 0}, "size"),
        ({"size": "56"}, "size '56' is not a whole number"),
        ({"batch_size": 0}, "batch"),
        ({"batch_size": "a"}, "batch size 'a' is not a whole number"),
        ({"devices": "cpu"}, r"jax\.devices\('cpu'\)"),
        ({"resample": "x"}, "'x'"),
    ],
)
def test_wrong_options_are_explained(options, word, as_installed):
    with pytest.raises(ValueError, match=word):
        Estimator(PARAMS, CONFIG, **options)


def test_a_bare_encoder_is_refused():
    with pytest.raises(ValueError, match=r"jax_depth\.features"):
        Estimator({}, ENCODER)
