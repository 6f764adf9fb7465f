"""Every kind of picture, against cv2.imread where it reads it, and every error."""

import os
import pathlib
import struct
import warnings
import zlib

import cv2
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jax_depth.formats.image import read_image

HEIGHT, WIDTH = 40, 56
Y, X = np.mgrid[:HEIGHT, :WIDTH]
PHOTO = np.stack([X * 4, Y * 6, (X + Y) * 2], axis=-1).astype(np.uint8)
ALPHA = (X * 3).astype(np.uint8)
IMAGE = Image.fromarray(PHOTO)
PALETTE = IMAGE.quantize(64)


def _save(path, image, **options):
    image.save(path, **options)
    return path


def _cv2(path):
    return cv2.imread(str(path))[:, :, ::-1]


FILES = {
    "rgb.png": (IMAGE, {}),
    "gray.png": (IMAGE.convert("L"), {}),
    "gray-alpha.png": (IMAGE.convert("LA"), {}),
    "rgba.png": (Image.fromarray(np.dstack([PHOTO, ALPHA])), {}),
    "palette.png": (PALETTE, {}),
    "palette-one-transparent.png": (PALETTE, {"transparency": 3}),
    "palette-alpha.png": (PALETTE, {"transparency": bytes(range(64))}),
    "bits.png": (IMAGE.convert("1"), {}),
    "photo.jpg": (IMAGE, {"quality": 90}),
    "progressive.jpg": (IMAGE, {"progressive": True}),
    "gray.jpg": (IMAGE.convert("L"), {}),
    "photo.bmp": (IMAGE, {}),
    "photo.tif": (IMAGE, {"compression": "tiff_lzw"}),
    "cmyk.tif": (IMAGE.convert("CMYK"), {}),
    "photo.webp": (IMAGE, {"lossless": True}),
    "photo.ppm": (IMAGE, {}),
}


@pytest.mark.parametrize("name", FILES)
def test_files_equal_cv2(tmp_path, name):
    image, options = FILES[name]
    path = _save(tmp_path / name, image, **options)
    result = read_image(path)
    assert result.dtype == np.uint8 and result.shape == (HEIGHT, WIDTH, 3)
    np.testing.assert_array_equal(result, _cv2(path))
    np.testing.assert_array_equal(read_image(str(path)), result)


def test_cmyk_jpeg_is_within_one_level_of_cv2(tmp_path):
    # Pillow and cv2 round the product of ink and black differently.
    path = _save(tmp_path / "cmyk.jpg", IMAGE.convert("CMYK"), quality=95)
    difference = read_image(path).astype(int) - _cv2(path)
    assert np.abs(difference).max() <= 1


def test_colour_profiles_are_ignored_as_in_cv2(tmp_path):
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    path = _save(tmp_path / "profile.png", IMAGE, icc_profile=profile)
    np.testing.assert_array_equal(read_image(path), PHOTO)
    np.testing.assert_array_equal(read_image(path), _cv2(path))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_exif_orientation_is_applied(tmp_path, orientation, suffix):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = _save(tmp_path / f"turned.{suffix}", IMAGE, exif=exif)
    result = read_image(path)
    upright = (HEIGHT, WIDTH) if orientation < 5 else (WIDTH, HEIGHT)
    assert result.shape == (*upright, 3)
    np.testing.assert_array_equal(result, _cv2(path))
    with Image.open(path) as image:
        np.testing.assert_array_equal(read_image(image), result)


def test_broken_exif_is_said_and_the_picture_read(tmp_path):
    exif = b"Exif\x00\x00II*\x00\x08\x00\x00\x00\xff\xff"
    path = _save(tmp_path / "exif.png", IMAGE, exif=exif)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = read_image(path)
    np.testing.assert_array_equal(result, PHOTO)
    assert caught, "the picture was read without a word about its metadata"


SIXTEEN = (X * 1000 + Y * 7).astype(np.uint16)


@pytest.mark.parametrize("name", ["gray.png", "gray.tif", "gray.pgm"])
def test_sixteen_bit_grayscale_keeps_its_precision(tmp_path, name):
    path = str(tmp_path / name)
    cv2.imwrite(path, SIXTEEN)
    result = read_image(path)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result[..., 1], SIXTEEN / 65535, rtol=1e-7)
    np.testing.assert_array_equal(result[..., 0], result[..., 2])
    assert np.abs(result * 255 - _cv2(path)).max() < 1


def test_sixteen_bit_grayscale_is_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = _save(tmp_path / "turned.png", Image.fromarray(SIXTEEN), exif=exif)
    expected = np.rot90(SIXTEEN, -1) / 65535
    np.testing.assert_allclose(read_image(path)[..., 0], expected, rtol=1e-7)


# libtiff inside cv2 rounds to 8 bits where the others cut.
@pytest.mark.parametrize(("name", "levels"), [("colour.png", 0), ("colour.tif", 1)])
def test_sixteen_bit_colour_is_read_at_eight_bits(tmp_path, name, levels):
    path = str(tmp_path / name)
    cv2.imwrite(path, np.stack([SIXTEEN, SIXTEEN // 2, SIXTEEN // 3], axis=-1))
    result = read_image(path)
    assert result.dtype == np.uint8
    difference = result.astype(int) - _cv2(path)
    assert np.abs(difference).max() <= levels


def test_float_tiff(tmp_path):
    unit = (SIXTEEN / 65535).astype(np.float32)
    path = _save(tmp_path / "unit.tif", Image.fromarray(unit))
    np.testing.assert_array_equal(read_image(path)[..., 0], unit)
    path = _save(tmp_path / "metres.tif", Image.fromarray(unit * np.float32(80)))
    with pytest.raises(ValueError, match=r"'.*metres.tif' has float pixels from 0 to"):
        read_image(path)


@pytest.mark.parametrize("suffix", ["gif", "webp", "tif", "png"])
def test_the_first_frame_of_an_animation_is_used_and_said_so(tmp_path, suffix):
    frames = [Image.fromarray(np.full((4, 6, 3), v, np.uint8)) for v in (10, 200, 90)]
    options = {"lossless": True} if suffix == "webp" else {}
    path = tmp_path / f"moving.{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:], **options)
    with pytest.warns(UserWarning, match=rf"'.*moving.{suffix}' has several frames"):
        result = read_image(path)
    np.testing.assert_array_equal(result, np.asarray(frames[0]))


def test_a_phone_photo_with_a_second_picture_inside_is_not_an_animation(tmp_path):
    path = tmp_path / "phone.mpo"
    IMAGE.save(path, save_all=True, append_images=[IMAGE.rotate(180)])
    difference = read_image(path).astype(int) - PHOTO
    assert np.abs(difference).mean() < 3


def test_arrays_of_every_kind():
    np.testing.assert_array_equal(read_image(PHOTO), PHOTO)
    np.testing.assert_array_equal(read_image(np.dstack([PHOTO, ALPHA])), PHOTO)
    np.testing.assert_array_equal(read_image(jnp.asarray(PHOTO)), PHOTO)
    gray = PHOTO[..., 0]
    expected = np.repeat(gray[..., None], 3, axis=2)
    np.testing.assert_array_equal(read_image(gray), expected)
    np.testing.assert_array_equal(read_image(gray[..., None]), expected)
    mask = gray > 90
    assert read_image(mask).dtype == np.uint8
    np.testing.assert_array_equal(read_image(mask)[..., 2], mask * 255)
    wide = read_image(SIXTEEN)
    assert wide.dtype == np.float32
    np.testing.assert_allclose(wide[..., 1], SIXTEEN / 65535, rtol=1e-7)
    np.testing.assert_array_equal(read_image(SIXTEEN.astype(">u2")), wide)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, jnp.bfloat16])
def test_float_arrays_are_in_the_unit_interval(dtype):
    unit = np.linspace(0, 1, 24).reshape(4, 6, 1).astype(dtype)
    result = read_image(unit)
    assert result.dtype == np.float32 and result.shape == (4, 6, 3)
    np.testing.assert_array_equal(result[..., :1], unit.astype(np.float32))
    np.testing.assert_array_equal(read_image(jnp.asarray(unit)), result)


def test_rounding_out_of_the_unit_interval_is_clipped():
    for given, taken in (
        ([-0.0009, 0.5, 1.0009], [0, 0.5, 1]),
        ([-0.0009, 0.5], [0, 0.5]),
        ([0.5, 1.0009], [0.5, 1]),
    ):
        result = read_image(np.array([given], np.float32))
        np.testing.assert_array_equal(result[0, :, 0], taken)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([[0, 255.0]]), "float pixels from 0 to 255, .*divide by 255"),
        (np.array([[-0.0011, 0.5]]), "float pixels from -0.0011 to 0.5"),
        (np.array([[0, 1.0011]]), "float pixels from 0 to 1.0011"),
        (np.array([[0, np.nan]]), "NaN or infinite"),
        (np.array([[0, np.inf]]), "NaN or infinite"),
        (np.zeros((4, 6, 3), np.int64), "type int64; use uint8"),
        (np.zeros((4, 6, 3), np.complex64), "type complex64; use uint8"),
        (np.zeros((3, 40, 60), np.uint8), r"shape \(3, 40, 60\); channels come last"),
        (np.zeros((2, 4, 6, 3), np.uint8), "give one image"),
        (np.zeros((9, 6, 2), np.uint8), r"shape \(9, 6, 2\); use \(h, w\)"),
        (np.zeros(7, np.uint8), r"shape \(7,\)"),
        (np.zeros((0, 6, 3), np.uint8), "no pixels"),
    ],
)
def test_arrays_that_are_no_picture(array, message):
    with pytest.raises(ValueError, match=f"^image .*{message}"):
        read_image(array)
    with pytest.raises(ValueError, match=r"^'frame 7' "):
        read_image(array, name="frame 7")


@pytest.mark.parametrize("source", [np.zeros((3, 4, 6), np.uint8), [[0]]])
def test_what_is_wrong_with_an_array_is_said_with_the_order_of_channels(source):
    with pytest.raises((ValueError, TypeError)) as caught:
        read_image(source)
    assert "RGB (OpenCV's BGR is image[..., ::-1])" in str(caught.value)


def test_pillow_images_are_read_like_files(tmp_path):
    for image in (IMAGE, PALETTE, IMAGE.convert("LA"), IMAGE.convert("CMYK")):
        np.testing.assert_array_equal(read_image(image), image.convert("RGB"))
    premultiplied = Image.fromarray(np.dstack([PHOTO, ALPHA + 80])).convert("RGBa")
    np.testing.assert_array_equal(
        read_image(premultiplied), premultiplied.convert("RGBA").convert("RGB")
    )
    np.testing.assert_array_equal(
        read_image(Image.fromarray(SIXTEEN)), read_image(SIXTEEN)
    )
    for mode in ("I", "LAB"):
        with pytest.raises(ValueError, match=f"^image .*Pillow mode '{mode}'"):
            read_image(Image.new(mode, (4, 4)))


def test_a_picture_of_one_pixel(tmp_path):
    path = _save(tmp_path / "dot.png", Image.new("RGB", (1, 1), (1, 2, 3)))
    np.testing.assert_array_equal(read_image(path), [[[1, 2, 3]]])


def test_a_long_strip_is_read(tmp_path):
    path = _save(tmp_path / "strip.png", Image.new("RGB", (30000, 20), (1, 2, 3)))
    assert read_image(path).shape == (20, 30000, 3)


def _write(path: pathlib.Path, contents: bytes):
    path.write_bytes(contents)
    return path


def _one_sentence(error, path):
    message = str(error.value)
    assert message.startswith(repr(str(path))), message
    assert "\n" not in message and len(message) < 250 + len(str(path))
    return message


def test_missing_folder_and_empty_file(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        read_image(tmp_path / "gone.jpg")
    assert "does not exist" in _one_sentence(error, tmp_path / "gone.jpg")
    with pytest.raises(IsADirectoryError) as error:
        read_image(tmp_path)
    assert "is a folder" in _one_sentence(error, tmp_path)
    empty = _write(tmp_path / "empty.png", b"")
    with pytest.raises(OSError) as error:
        read_image(empty)
    assert "0 bytes" in _one_sentence(error, empty)
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(OSError) as error:
        read_image(tmp_path / "pipe.jpg")
    assert "pipe or a device" in _one_sentence(error, tmp_path / "pipe.jpg")
    beyond = empty / "photo.jpg"
    with pytest.raises(OSError) as error:
        read_image(beyond)
    assert "cannot be opened" in _one_sentence(error, beyond)


def test_a_file_without_permission(tmp_path, monkeypatch):
    # Taking the permission away does not stop a superuser, who may run this.
    path = _save(tmp_path / "secret.png", IMAGE)

    def refuse(self, *args):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(pathlib.Path, "open", refuse)
    with pytest.raises(PermissionError) as error:
        read_image(path)
    assert "permission denied" in _one_sentence(error, path)


@pytest.mark.parametrize("contents", [b"not a picture\n", os.urandom(5000), b"\xff"])
def test_something_else_named_jpg(tmp_path, contents):
    path = _write(tmp_path / "fake.jpg", contents)
    with pytest.raises(OSError) as error:
        read_image(path)
    assert "not a picture that can be read" in _one_sentence(error, path)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "gif", "bmp"])
def test_truncated_files(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
    whole = _save(tmp_path / f"whole.{suffix}", Image.fromarray(noise)).read_bytes()
    for part in (0.5, 0.9):
        path = _write(tmp_path / f"cut.{suffix}", whole[: int(len(whole) * part)])
        with pytest.raises(OSError) as error:
            read_image(path)
        assert "damaged or truncated" in _one_sentence(error, path)


def test_no_damage_gives_anything_but_a_sentence(tmp_path):
    rng = np.random.default_rng(0)
    for suffix in ("jpg", "png", "webp", "tif", "gif", "bmp", "ppm"):
        whole = _save(tmp_path / f"whole.{suffix}", IMAGE).read_bytes()
        for _ in range(40):
            damaged = bytearray(whole[: rng.integers(1, len(whole) + 1)])
            for place in rng.integers(0, min(len(damaged), 300), 4):
                damaged[place] = rng.integers(256)
            path = _write(tmp_path / f"damaged.{suffix}", bytes(damaged))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Pillow's own, on odd metadata
                try:
                    read_image(path)
                except (OSError, ValueError) as error:
                    assert str(error).startswith(repr(str(path)))
                    assert "\n" not in str(error)


def _png_of_size(width, height):
    """A PNG that announces a size and holds nothing."""

    def chunk(kind, body):
        checksum = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


def test_decompression_bombs_are_refused_in_a_sentence(tmp_path):
    path = _write(tmp_path / "bomb.png", _png_of_size(40000, 40000))
    with pytest.raises(ValueError) as error:
        read_image(path)
    assert "more than the 178" in _one_sentence(error, path)


def test_pillows_warning_on_large_pictures_is_no_error(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", HEIGHT * WIDTH - 1)
    path = _save(tmp_path / "large.png", IMAGE)
    np.testing.assert_array_equal(read_image(path), PHOTO)


def test_other_types_are_refused():
    with pytest.raises(TypeError, match=r"image is a list; give a path"):
        read_image([1, 2, 3])
