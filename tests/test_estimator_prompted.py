"""`Estimator.prompted`: a photo and a coarse depth map to metres."""

import dataclasses
import functools

import jax
import numpy as np
import pytest
from PIL import Image
from small_models import PROMPT, RELATIVE

import jax_depth
from jax_depth.formats.npy import write_npy
from jax_depth.inference.prompt import filled, read_prompt
from jax_depth.inference.resample import resize_bilinear
from jax_depth.models.initialize import init

# Compiling is nearly all they do.
pytestmark = pytest.mark.usefixtures("cheap_programs")
CONFIG = dataclasses.replace(
    PROMPT, resample="shrink_area", restore="half_pixel", image_size=56
)


@functools.cache
def _estimator(**options):
    params = init(CONFIG, jax.random.key(0))
    for i in range(1, 5):  # the last convolution begins at zero
        unit = params["head"][f"refinenet_{i}"]["prompt"]["conv3"]
        noise = jax.random.normal(jax.random.key(i), unit["kernel"].shape)
        unit["kernel"] = 0.1 * noise
    return jax_depth.Estimator(params, CONFIG, devices=jax.devices()[:1], **options)


def _photo(h=45, w=60, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (h, w, 3), np.uint8)


def _lidar(h=9, w=12, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(0.5, 6.0, (h, w)).astype(np.float32)


def test_metres_of_a_photo_are_the_networks_at_its_size():
    photo, lidar = _photo(), _lidar()
    depth = _estimator().prompted(photo, lidar)
    assert (depth.kind, depth.unit, depth.shape) == ("metric_depth", "m", (45, 60))
    pixels = jax_depth.preprocess(photo, CONFIG)
    raw = jax_depth.apply(_estimator().params, pixels, CONFIG, prompt=lidar[None])
    expected = resize_bilinear(np.asarray(raw.depth[0]), (45, 60), aligned=False)
    np.testing.assert_allclose(depth.values, expected, atol=1e-5)
    assert depth.values.std() > 1e-3
    assert lidar.min() <= depth.values.min() and depth.values.max() <= lidar.max()


def test_transformers_way_back_overshoots_and_is_cut_to_the_prompts_range():
    estimator, lidar = _estimator(resample="transformers", size=28), _lidar()
    lidar[...] = np.where(lidar > 3, np.float32(6), np.float32(0.5))
    depth = estimator.prompted(_photo(200, 280), lidar)
    assert lidar.min() <= depth.values.min() and depth.values.max() <= lidar.max()


@pytest.mark.slow
def test_lists_of_both_keep_their_order_whatever_their_sizes():
    photos = [_photo(), _photo(56, 70, 1), _photo(seed=2), _photo(seed=3)]
    lidars = [_lidar(), _lidar(12, 15, 1), _lidar(seed=2), _lidar(6, 8, seed=3)]
    together = _estimator(batch_size=2).prompted(photos, lidars)
    for photo, lidar, depth in zip(photos, lidars, together, strict=True):
        alone = _estimator().prompted(photo, lidar)
        np.testing.assert_allclose(depth.values, alone.values, atol=2e-5)
    with pytest.raises(ValueError, match="4 pictures need a list of 4 prompts, got 1"):
        _estimator().prompted(photos, lidars[:1])
    with pytest.raises(ValueError, match="got one map"):
        _estimator().prompted(photos, lidars[0])
    assert _estimator().prompted([], []) == []


@pytest.mark.parametrize("unknown", [np.nan, np.inf, -np.inf, 0.0, -1.0])
def test_what_is_unknown_is_filled_said_and_never_believed(unknown):
    lidar = _lidar()
    holes = np.zeros_like(lidar, bool)
    holes[::2] = True
    holes[0, 0] = False
    broken = np.where(holes, np.float32(unknown), lidar)
    count = holes.sum()
    with pytest.warns(UserWarning, match=f"{count} of 108 values are unknown"):
        depth = _estimator().prompted(_photo(), broken)
    known = lidar[~holes]
    assert np.isfinite(depth.values).all()
    assert known.min() <= depth.values.min() and depth.values.max() <= known.max()
    with pytest.warns(UserWarning):
        prompt = read_prompt(broken)
    np.testing.assert_array_equal(prompt[~holes], known)


def test_holes_are_filled_from_the_four_nearest_the_nearer_the_heavier():
    metres = np.full((3, 5), np.nan)
    metres[1, 0], metres[1, 4] = 1.0, 3.0
    # One and three pixels away: (1/1 * 1 + 1/3 * 3) / (1 + 1/3).
    assert filled(metres)[1, 1] == pytest.approx(1.5)
    assert filled(metres)[1, 2] == pytest.approx(2.0)
    far = np.full((1, 10), np.nan)
    far[0, [0, 1, 2, 3, 9]] = [1, 1, 1, 1, 100]
    assert filled(far)[0, 4] == pytest.approx(
        (1 / 4 + 1 / 3 + 1 / 2 + 1) / (25 / 12), 1
    )
    one = np.full((4, 4), np.nan)
    one[2, 1] = 2.5
    assert (filled(one) == 2.5).all()


def test_a_constant_prompt_returns_itself_and_an_empty_one_is_refused():
    depth = _estimator().prompted(_photo(), np.full((6, 8), 2.7))
    assert (depth.values == np.float32(2.7)).all()
    half = np.where(np.arange(8) < 4, 0.0, 2.7) * np.ones((6, 1))
    with pytest.warns(UserWarning, match="24 of 48"):
        assert (_estimator().prompted(_photo(), half).values == np.float32(2.7)).all()
    for empty in (np.zeros((6, 8)), np.full((6, 8), np.nan), -np.ones((6, 8))):
        with pytest.raises(ValueError, match="is empty: none of its 48 values"):
            _estimator().prompted(_photo(), empty)
    assert (_estimator().prompted(_photo(), [[2.0]]).values == 2.0).all()


@pytest.mark.parametrize(
    ("lidar", "unit", "message"),
    [
        (np.ones((2, 3, 4)), "m", r"shape \(2, 3, 4\); a depth map needs"),
        (np.ones(7), "m", r"shape \(7,\)"),
        (np.ones((0, 4)), "m", r"shape \(0, 4\)"),
        (np.ones((3, 4), bool), "m", "not real numbers"),
        (np.array([["a", "b"]]), "m", "not real numbers"),
        ([[1.0], [1.0, 2.0]], "m", r"not an array \(h, w\)"),
        (np.full((3, 4), 2400, np.uint16), "m", r"be 2400 m.*unit='mm'"),
        (np.full((3, 4), 400, np.uint16), "m", r"be 400 m.*unit='mm'"),
        (np.full((3, 4), 2400.0), "m", r"be 2400 m.*unit='mm'"),
        (np.full((3, 4), 2.4), "mm", r"be 0\.0024 m.*check the unit"),
        (np.full((3, 4), 2.4), "feet", "unit 'feet' is unknown; use one of m, cm"),
        (np.ones((12, 9)), "m", "turn the prompt by 90 degrees"),
    ],
)
def test_what_is_no_prompt_ends_in_a_sentence(lidar, unit, message):
    with pytest.raises(ValueError, match=message):
        _estimator().prompted(_photo(), lidar, unit)


def test_units_and_files_mean_the_same_metres(tmp_path):
    lidar = np.round(_lidar(), 3)
    expected = _estimator().prompted(_photo(), lidar).values
    millimetres = np.rint(lidar * 1000).astype(np.uint16)
    Image.fromarray(millimetres).save(tmp_path / "a.png")
    write_npy(tmp_path / "b.npy", lidar)
    np.save(tmp_path / "c.npy", millimetres)
    own = jax_depth.DepthMap(lidar, "metric_depth", "m")
    for name in ("d.pfm", "e.tiff", "f.exr", "g.npz", "h.png"):
        own.save(tmp_path / name)
    given = [(millimetres, "mm"), (lidar * 100, "cm"), (own, "m")]
    given += [(tmp_path / "a.png", "m"), (tmp_path / "a.png", "mm")]
    given += [(tmp_path / "b.npy", "m"), (tmp_path / "c.npy", "mm")]
    given += [(str(tmp_path / name), "m") for name in ("d.pfm", "e.tiff", "f.exr")]
    given += [(tmp_path / "g.npz", "mm"), (tmp_path / "h.png", "m")]
    for source, unit in given:
        found = _estimator().prompted(_photo(), source, unit).values
        np.testing.assert_allclose(found, expected, atol=3e-4, err_msg=str(source))


def test_files_that_hold_no_metres_are_named(tmp_path):
    jax_depth.DepthMap(_lidar(), "inverse_depth").save(tmp_path / "inverse.npz")
    Image.fromarray(_photo()[..., 0]).save(tmp_path / "grey.png")
    Image.fromarray(_photo()).save(tmp_path / "colour.png")
    (tmp_path / "cut.npy").write_bytes(b"\x93NUMPY")
    for name, message in (
        ("inverse.npz", "inverse.npz' holds inverse_depth, not metres"),
        ("grey.png", "grey.png' has 8-bit pixels, .*16-bit"),
        ("colour.png", "colour.png: it is a picture"),
        ("cut.npy", "cut.npy"),
        ("lidar.jpg", "lidar.jpg"),
    ):
        with pytest.raises((ValueError, OSError), match=message):
            _estimator().prompted(_photo(), tmp_path / name)


def test_models_with_and_without_prompts_say_which_call_is_theirs():
    for call in (
        lambda: _estimator()(_photo()),
        lambda: _estimator()([_photo()]),
        lambda: _estimator().stream([_photo()]),
        lambda: _estimator().run(np.zeros((1, 28, 28, 3), np.float32)),
    ):
        with pytest.raises(ValueError, match=r"estimator\.prompted\(image, lidar\)"):
            call()
    plain = jax_depth.Estimator(init(RELATIVE, jax.random.key(0)), RELATIVE)
    with pytest.raises(ValueError, match=r"takes no prompt; use .*prompt-depth-any"):
        plain.prompted(_photo(), _lidar())


def test_the_first_bad_pair_leaves_the_maps_before_it():
    photos = [_photo(seed=i) for i in range(3)]
    lidars = [_lidar(), np.zeros((9, 12)), _lidar()]
    with pytest.raises(ValueError, match="is empty") as caught:
        _estimator().prompted(photos, lidars)
    maps = vars(caught.value)["maps"]
    assert maps[0].shape == (45, 60) and maps[1] is None
