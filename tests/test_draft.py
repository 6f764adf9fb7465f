"""JPEGs decoded smaller than they are: which, how small, and what maps become."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

import jax_depth
from jax_depth.cli.main import main
from jax_depth.formats.image import read_image
from jax_depth.formats.reduced import Reduced, read_reduced, shape_of
from jax_depth.inference.draft import read_for

# Compiling is nearly all they do.
pytestmark = pytest.mark.usefixtures("cheap_programs")

HEIGHT, WIDTH = 331, 501
Y, X = np.mgrid[:HEIGHT, :WIDTH]
PHOTO = np.stack([X / 2, Y / 2, 128 + 100 * np.sin(X / 40)], -1).astype(np.uint8)
COFFEE = Path(__file__).parents[1] / "examples/coffee.jpg"
ORIENTATION = ExifTags.Base.Orientation


def _exif(orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLengthIn35mmFilm] = 50
    return exif


@pytest.mark.parametrize(
    ("needed", "scale"), [(331, 1), (166, 1), (165, 2), (83, 2), (82, 4), (20, 8)]
)
def test_the_least_scale_that_is_enough(tmp_path, needed, scale):
    path = tmp_path / "a.jpg"
    Image.fromarray(PHOTO).save(path, quality=95)
    picture = read_reduced(path, lambda h, w: (needed, needed * w // h))
    if scale == 1:
        np.testing.assert_array_equal(picture, read_image(path))
        return
    assert isinstance(picture, Reduced) and picture.shape == (HEIGHT, WIDTH)
    size = -(-HEIGHT // scale), -(-WIDTH // scale)
    assert picture.pixels.shape == (*size, 3)
    box = Image.fromarray(PHOTO).resize(size[::-1], Image.Resampling.BOX)
    difference = picture.pixels.astype(int) - np.asarray(box)
    assert np.abs(difference).mean() < 2


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "MPO"])
def test_orientation_is_applied(tmp_path, orientation, kind):
    path = tmp_path / "a.jpg"
    more = {"save_all": True, "append_images": [Image.new("RGB", (9, 9))]}
    options = more if kind == "MPO" else {}
    image = Image.fromarray(PHOTO)
    image.save(path, kind, quality=95, exif=_exif(orientation), **options)
    whole = read_image(path)
    seen = []
    # Of an upright picture of 331 x 501 this is just enough for a half.
    needed = {331: 165, 501: 250}

    def enough(height, width):
        seen.append((height, width))
        return needed[height], needed[width]

    picture = read_reduced(path, enough)
    assert seen == [whole.shape[:2]] == [picture.shape]
    rows, columns = picture.pixels.shape[:2]
    assert (rows, columns) == tuple(-(-n // 2) for n in picture.shape)
    box = Image.fromarray(whole).resize((columns, rows), Image.Resampling.BOX)
    assert np.abs(picture.pixels.astype(int) - np.asarray(box)).mean() < 2


def test_other_sources_are_whole(tmp_path):
    image = Image.fromarray(PHOTO)
    for suffix in ("png", "webp", "tif"):
        image.save(tmp_path / f"a.{suffix}")
    image.save(tmp_path / "cut.jpg")
    data = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(data[:-2])  # decoded anew, with its end
    names = ("a.png", "a.webp", "a.tif", "cut.jpg")
    for source in (PHOTO, image, *(tmp_path / name for name in names)):
        picture = read_reduced(source, lambda h, w: (20, 20))
        np.testing.assert_array_equal(picture, read_image(source))

    def none(height, width):
        raise ValueError("too elongated")

    image.save(tmp_path / "a.jpg")
    assert shape_of(read_reduced(tmp_path / "a.jpg", none)) == (HEIGHT, WIDTH)


def test_maps_keep_the_size_of_the_photo(tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")
    monkeypatch.chdir(tmp_path)
    Image.fromarray(PHOTO).save("a.jpg", exif=_exif(6))
    exact = jax_depth.load("tiny", size=64)
    draft = jax_depth.load("tiny", size=64, draft=True)
    assert isinstance(read_for(draft, "a.jpg"), Reduced)
    assert isinstance(read_for(exact, "a.jpg"), np.ndarray)
    one, other = exact("a.jpg"), draft("a.jpg")
    assert one.shape == other.shape == (WIDTH, HEIGHT)
    (again,) = draft(["a.jpg"])
    np.testing.assert_array_equal(again.values, other.values)
    assert pickle.loads(pickle.dumps(draft)).draft
    # An array is what it is, so it comes out as ever.
    np.testing.assert_array_equal(
        draft(read_image("a.jpg")).values, exact(read_image("a.jpg")).values
    )
    words = ["predict", "a.jpg", "--size", "64", "--draft", "-o", "out", "--quiet"]
    assert main([*words, "--format", "npy,side-by-side"]) == 0
    np.testing.assert_array_equal(np.load("out/a_depth.npy"), other.values)
    with Image.open(next((tmp_path / "out").glob("a*.png"))) as panels:
        assert panels.size == (2 * HEIGHT + 50, WIDTH)
        shown = np.asarray(panels.convert("RGB"))[:, :HEIGHT]
    assert np.abs(shown.astype(int) - read_image("a.jpg")).mean() < 3


def test_maps_are_near(tmp_path):
    # A photo: in PHOTO nothing has depth, so that its map is hardly more than noise.
    path = tmp_path / "a.jpg"
    with Image.open(COFFEE) as photo:
        photo.resize((WIDTH, HEIGHT)).save(path, quality=95, exif=_exif(6))
    one, other = (
        jax_depth.load("tiny", size=64, draft=draft)(path).values
        for draft in (False, True)
    )
    error = np.abs(one - other).mean() / one.std()
    assert 0 < error < 0.1


def test_the_network_sees_the_size_it_always_sees(tmp_path):
    # Half of 331 is rounded up, and its own proportions would ask for other patches.
    path = tmp_path / "a.jpg"
    draft = jax_depth.load("tiny", size=64, draft=True)
    for height, width in ((331, 501), (257, 999), (513, 130)):
        Image.fromarray(np.resize(PHOTO, (height, width, 3))).save(path)
        whole = draft.prepare(read_image(path))
        assert draft.prepare(read_for(draft, path)).shape == whole.shape
