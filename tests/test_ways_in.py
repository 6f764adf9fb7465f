"""Every way in gives one picture of a file, or says one thing about it."""

import io

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from raw_photos import raw_photo

from jax_depth.app.decode import decode
from jax_depth.app.limits import Limits
from jax_depth.app.messages import Refusal
from jax_depth.formats.image import read_image
from jax_depth.formats.rgb import read_rgb

UNIT = np.random.default_rng(0).random((13, 21, 4))


def stored(dtype: str, channels: int) -> np.ndarray:
    """Return `UNIT` as a file of `dtype` holds it."""
    unit = UNIT[:, :, :channels]
    if dtype == "float32":
        return unit.astype(dtype)
    return np.round(unit * np.iinfo(dtype).max).astype(dtype)


def as_unit(pixels: np.ndarray) -> np.ndarray:
    return pixels / 255 if pixels.dtype == np.uint8 else pixels


def by_every_reader(path):
    """Return what each way in gives of a file: an array, or the sentence."""
    data, found = path.read_bytes(), []
    for read in (
        lambda: read_image(path),
        lambda: read_rgb(path, upright=True),
        lambda: read_rgb(io.BytesIO(data), upright=True),
        lambda: decode(data, Limits()),
        lambda: decode(path, Limits(), path.name),
    ):
        try:
            found.append(as_unit(read()))
        except (OSError, ValueError, Refusal) as error:
            found.append(str(error))
    return found


@pytest.mark.parametrize("kind", ["dng", "thumbnail", "plain", "cfa"])
def test_raw_files_are_known_by_what_they_hold(tmp_path, kind):
    path = tmp_path / "stdin"  # no suffix tells
    path.write_bytes(raw_photo(kind))
    for said in by_every_reader(path):
        assert isinstance(said, str) and "camera raw file" in said and "JPEG" in said
    if kind != "cfa":  # which Pillow does not open
        with Image.open(path) as image, pytest.raises(OSError, match="camera raw"):
            read_image(image)


@pytest.mark.parametrize(
    "name", ["wide.png", "float.tif", "planes.tif", "text.png", "turned.jpg"]
)
def test_every_way_in_gives_one_picture(tmp_path, name):
    path, pixels = tmp_path / name, stored("uint8", 3)
    expected, tolerance = UNIT[:, :, :3], 1 / 255
    if name == "wide.png":
        cv2.imwrite(str(path), stored("uint16", 1))
        expected = UNIT[:, :, [0, 0, 0]]
    elif name == "float.tif":
        tifffile.imwrite(path, stored("float32", 3), photometric="rgb", metadata=None)
    elif name == "planes.tif":
        planes = np.moveaxis(stored("uint16", 3), 2, 0)
        tifffile.imwrite(path, planes, photometric="rgb", planarconfig="separate")
    elif name == "text.png":
        text = PngInfo()
        text.add_text("Comment", "x" * 3_000_000, zip=True)
        Image.fromarray(pixels).save(path, pnginfo=text)
    else:
        turned = Image.Exif()
        turned[274] = 6
        flat = np.broadcast_to(np.linspace(0, 255, 16)[:, None, None], (16, 16, 3))
        Image.fromarray(flat.astype(np.uint8)).save(path, exif=turned, quality=100)
        expected, tolerance = np.rot90(flat, -1) / 255, 3 / 255
    for found in by_every_reader(path):
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_colours_multiplied_by_alpha_are_divided_by_it(tmp_path, dtype, planar):
    alpha = np.round(UNIT[:, :, 3:4] * 155 + 100) / 255
    unit = np.concatenate([UNIT[:, :, :3] * alpha, alpha], 2)
    top = 1 if dtype == "float32" else np.iinfo(dtype).max
    array = (unit if top == 1 else np.round(unit * top)).astype(dtype)
    path = tmp_path / "render.tif"
    tifffile.imwrite(
        path,
        np.moveaxis(array, 2, 0) if planar == "separate" else array,
        photometric="rgb",
        planarconfig=planar,
        extrasamples=["assocalpha"],
        metadata=None,
    )
    got = as_unit(read_image(path))
    # A premultiplied byte is coarse where alpha is small; Pillow rounds down.
    np.testing.assert_allclose(got, UNIT[:, :, :3], rtol=0, atol=4 / 255)
