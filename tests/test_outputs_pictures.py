"""Pictures: the original's, pixel by pixel, and the same look for every kind."""

import numpy as np
import pytest
from PIL import Image

from jax_depth import outputs
from jax_depth.depth_map import DepthMap
from jax_depth.outputs.color import to_gray
from jax_depth.outputs.colormap import COLORMAPS, colormap
from jax_depth.outputs.legend import Words, draw_legend, legend_words


@pytest.fixture
def values():
    return np.random.default_rng(4).gamma(2.0, 30.0, size=(31, 47)).astype(np.float32)


@pytest.mark.parametrize("name", ["Spectral_r", "inferno", "turbo"])
def test_tables_equal_matplotlib(name):
    matplotlib = pytest.importorskip("matplotlib")
    colors = matplotlib.colormaps[name](np.arange(256))[:, :3]
    np.testing.assert_array_equal(colormap(name), (colors * 255).astype(np.uint8))


def test_every_table_runs_from_far_to_near():
    gray = colormap("gray")
    np.testing.assert_array_equal(gray, np.arange(256)[:, None].repeat(3, 1))
    assert all(colormap(name).shape == (256, 3) for name in COLORMAPS)
    with pytest.raises(ValueError, match=r"'viridis'.*Spectral_r"):
        colormap("viridis")


def original_levels(values):
    """Lines of run.py, Depth Anything V2, on float32 as infer_image returns it."""
    shown = (values - values.min()) / (values.max() - values.min()) * 255.0
    return shown.astype(np.uint8)


def test_inverse_depth_looks_as_in_the_original(values):
    depth = DepthMap(values, "inverse_depth")
    levels = original_levels(values)
    np.testing.assert_array_equal(to_gray(depth), levels)
    np.testing.assert_array_equal(
        outputs.colorize(depth), colormap("Spectral_r")[levels]
    )
    gray = np.repeat(levels[..., None], 3, axis=-1)
    np.testing.assert_array_equal(outputs.colorize(depth, "gray"), gray)


def test_metric_depth_looks_as_in_the_original(values):
    matplotlib = pytest.importorskip("matplotlib")
    # metric_depth/run.py of V2 uses Spectral instead of Spectral_r.
    colors = matplotlib.colormaps["Spectral"](original_levels(values))[..., :3]
    original = (colors * 255).astype(np.uint8)
    ours = outputs.colorize(DepthMap(values, "metric_depth", "m"))
    # The two tables of matplotlib mirror each other to one level of rounding.
    assert np.abs(ours.astype(int) - original).max() <= 1


@pytest.mark.parametrize("name", COLORMAPS)
def test_near_looks_the_same_for_every_kind(name):
    near, far = colormap(name)[255], colormap(name)[0]
    for kind, unit, row in [
        ("inverse_depth", None, [[5.0, 1.0]]),
        ("depth", None, [[1.0, 5.0]]),
        ("metric_depth", "m", [[1.0, 5.0]]),
    ]:
        picture = outputs.colorize(DepthMap(row, kind, unit), name)
        np.testing.assert_array_equal(picture, [[near, far]])


def test_a_fixed_range_makes_two_maps_comparable():
    a, b = DepthMap([[0.0, 10.0]], "depth"), DepthMap([[10.0, 40.0]], "depth")
    left, right = to_gray(a, 0.0, 20.0), to_gray(b, 0.0, 20.0)
    np.testing.assert_array_equal(left, [[255, 128]])
    np.testing.assert_array_equal(right, [[128, 0]])


def test_constant_and_tiny_maps_have_pictures():
    for kind, level in [("inverse_depth", 0), ("depth", 255)]:
        np.testing.assert_array_equal(to_gray(DepthMap([[3.0]], kind)), [[level]])


def test_pictures_refuse_values_that_are_not_finite():
    with pytest.raises(ValueError, match="1 values that are NaN or infinite"):
        outputs.colorize(DepthMap([[1.0, np.nan]], "depth"))


def test_side_by_side_is_photo_margin_depth(values):
    photo = np.random.default_rng(5).integers(0, 256, (31, 47, 3), dtype=np.uint8)
    picture = outputs.colorize(DepthMap(values, "inverse_depth"))
    both = outputs.side_by_side(photo, picture)
    assert both.shape == (31, 2 * 47 + 50, 3)
    np.testing.assert_array_equal(both[:, :47], photo)
    np.testing.assert_array_equal(both[:, 47:97], 255)
    np.testing.assert_array_equal(both[:, 97:], picture)
    with pytest.raises(ValueError, match="photo is 47x30 but its depth 47x31"):
        outputs.side_by_side(photo[:30], picture)


def test_picture_files_hold_those_pixels(tmp_path, values):
    depth = DepthMap(values, "inverse_depth")
    photo = np.full((31, 47, 3), 7, np.uint8)
    path = tmp_path / "a.png"
    color = outputs.colorize(depth, "turbo", 0.0, 90.0)
    for format, options, expected in [
        ("png8", {"low": 0.0, "high": 90.0}, to_gray(depth, 0.0, 90.0)),
        ("color", {"colormap": "turbo", "low": 0.0, "high": 90.0}, color),
        (
            "side-by-side",
            {"photo": photo, "colormap": "turbo", "low": 0.0, "high": 90.0},
            outputs.side_by_side(photo, color),
        ),
    ]:
        depth.save(path, format=format, **options)
        with Image.open(path) as image:
            np.testing.assert_array_equal(np.asarray(image), expected)


def test_a_legend_names_the_ends(tmp_path, values):
    inverse = DepthMap(values, "inverse_depth")
    words = legend_words(inverse, 1.0, 20.0)
    assert (words.near, words.far) == ("near: 20", "far: 1")
    assert words.note == "no unit: compare within this photo"
    metric = legend_words(DepthMap(values, "metric_depth"), 0.5, 80.0)
    assert (metric.near, metric.far) == ("near: 0.50 m", "far: 80.00 m")
    assert legend_words(inverse).near == f"near: {values.max():.3g}"


@pytest.mark.parametrize("width", [1, 9, 60, 161, 1000])
def test_a_legend_runs_from_near_to_far(width):
    words = Words("near: 1.00 m", "far: 4.00 m", "metres from the camera")
    strip = draw_legend(width, words, "turbo")
    assert strip.shape == draw_legend(width, Words("near: 9", "far: 1", "")).shape
    assert strip.shape[1:] == (width, 3) and strip.shape[0] % 2 == 0
    if width < 60:
        return
    # The colours of one row of the bar, in the order of the table.
    table = {tuple(color): level for level, color in enumerate(colormap("turbo"))}
    row = strip[strip.shape[0] // 4]
    levels = [table[tuple(pixel)] for pixel in row if tuple(pixel) in table]
    assert levels == sorted(levels, reverse=True)
    assert levels[0] > 240 and levels[-1] < 15 and len(set(levels)) > width / 4
    if width > 100:  # letters, left and right of the bar
        dark = (strip[: len(strip) // 2].max(-1) < 100).sum(0)
        assert dark[: width // 8].any() and dark[-width // 8 :].any()


def test_pictures_carry_their_legend_when_asked(tmp_path, values):
    depth = DepthMap(np.tile(values, (4, 5)), "inverse_depth")
    height, width = depth.shape
    photo = np.zeros((height, width, 3), np.uint8)
    for format, more in (
        ("color", {}),
        ("png8", {}),
        ("side-by-side", {"photo": photo}),
    ):
        plain, legend = tmp_path / "plain.png", tmp_path / "legend.png"
        outputs.save(depth, plain, format, **more)
        outputs.save(depth, legend, format, legend=True, **more)
        plain, legend = (np.asarray(Image.open(path)) for path in (plain, legend))
        np.testing.assert_array_equal(legend[:height], plain)
        strip = legend[height:]
        if format == "png8":
            strip = strip[..., None].repeat(3, -1)
        name = "gray" if format == "png8" else "Spectral_r"
        want = draw_legend(width, legend_words(depth), name)
        np.testing.assert_array_equal(strip[:, -width:], want)
        assert (strip[:, :-width] == 255).all()
    with pytest.raises(ValueError, match="9 pixels wide, is narrower"):
        outputs.with_legend(photo[:, :9], depth)
