"""Pictures that are easily mistaken: odd TIFFs, raw files, cut JPEGs."""

import io
import random
import struct
import warnings

import cv2
import imagecodecs
import numpy as np
import pillow_heif
import pytest
import tifffile
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from jax_depth.formats.image import read_image

RNG = np.random.default_rng(0)
UNIT = RNG.random((13, 21, 5))
WIDE = np.arange(192, dtype=np.uint16).reshape(12, 16) * 16
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(range(256)) * 8


def stored(dtype: str, channels: int) -> np.ndarray:
    """Return `UNIT` as a file of `dtype` holds it."""
    unit = UNIT[:, :, :channels]
    if dtype.startswith("float"):
        return unit.astype(dtype)
    return np.round(unit * np.iinfo(dtype).max).astype(dtype)


def as_unit(pixels: np.ndarray) -> np.ndarray:
    return pixels / 255 if pixels.dtype == np.uint8 else pixels


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
@pytest.mark.parametrize(
    "dtype", ["uint8", "uint16", "uint32", "float16", "float32", "float64"]
)
def test_every_arrangement_of_a_tiffs_samples(tmp_path, dtype, channels, planar):
    array = stored(dtype, channels)
    expected = UNIT[:, :, :3] if channels > 2 else UNIT[:, :, [0, 0, 0]]
    # Of 16-bit colours Pillow keeps the high byte, as cv2 does.
    coarse = dtype in ("uint8", "uint16")
    tolerance = 1 / 255 if coarse else 3e-4 if dtype == "float16" else 1e-6
    for order in "<>":
        for options in ({}, {"compression": "zlib"}, {"tile": (16, 16)}):
            path = tmp_path / "photo.tif"
            if channels > 1:
                options = {**options, "planarconfig": planar}
            tifffile.imwrite(
                path,
                np.moveaxis(array, 2, 0)
                if planar == "separate" and channels > 1
                else array.squeeze(),
                photometric="rgb" if channels > 2 else "minisblack",
                byteorder=order,
                metadata=None,
                **options,
            )
            got = as_unit(read_image(path))
            np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance)
            if coarse and channels in (1, 3):  # that Pillow opens
                with Image.open(path) as image:
                    np.testing.assert_array_equal(as_unit(read_image(image)), got)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_zero_may_be_white(tmp_path, dtype):
    path = tmp_path / "negative.tif"
    array = stored(dtype, 1).squeeze()
    tifffile.imwrite(path, array, photometric="miniswhite", metadata=None)
    got = as_unit(read_image(path))
    np.testing.assert_allclose(got, 1 - UNIT[:, :, [0, 0, 0]], rtol=0, atol=0.5 / 255)


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", "<>")
def test_black_and_white(tmp_path, photometric, big, order):
    path, lit = tmp_path / "page.tif", UNIT[:, :, 0] > 0.5
    options = {"photometric": photometric, "bigtiff": big, "byteorder": order}
    tifffile.imwrite(path, lit, metadata=None, **options)
    expected = (lit ^ (photometric == "miniswhite"))[..., None] * np.uint8([255] * 3)
    np.testing.assert_array_equal(read_image(path), expected)


def test_colour_differences_without_compression_are_no_damage(tmp_path):
    path = tmp_path / "video.tif"
    tifffile.imwrite(path, stored("uint8", 3), photometric="ycbcr", metadata=None)
    with pytest.raises(ValueError, match=r"video\.tif.*Interpretation 6.*convert"):
        read_image(path)


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite", "rgb"])
@pytest.mark.parametrize("bits", [10, 12, 14, 24])
def test_bits_that_fill_no_bytes(tmp_path, bits, photometric):
    unit = UNIT[:, :, :3] if photometric == "rgb" else UNIT[:, :, 0]
    array = np.round(unit * (2**bits - 1)).astype("u4" if bits > 16 else "u2")
    path = tmp_path / "photo.tif"
    tifffile.imwrite(
        path, array, photometric=photometric, bitspersample=bits, metadata=None
    )
    unit = 1 - unit if photometric == "miniswhite" else unit
    expected = np.broadcast_to(unit if unit.ndim == 3 else unit[..., None], (13, 21, 3))
    np.testing.assert_allclose(
        read_image(path), expected, rtol=0, atol=max(0.6 / (2**bits - 1), 1e-7)
    )


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize(
    "options", [{}, {"compression": "zlib", "predictor": True}, {"tile": (16, 16)}]
)
def test_a_large_tiff_of_either_byte_order(tmp_path, dtype, options):
    path = tmp_path / "photo.tif"
    for order in "<>":
        tifffile.imwrite(
            path,
            stored(dtype, 3),
            photometric="rgb",
            bigtiff=True,
            byteorder=order,
            metadata=None,
            **options,
        )
        got = as_unit(read_image(path))
        np.testing.assert_allclose(got, UNIT[:, :, :3], rtol=0, atol=1 / 255)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_what_stands_beside_grey_is_no_colour(tmp_path, dtype, planar):
    path, array = tmp_path / "photo.tif", stored(dtype, 3)
    tifffile.imwrite(
        path,
        np.moveaxis(array, 2, 0) if planar == "separate" else array,
        photometric="minisblack",
        planarconfig=planar,
        extrasamples=["unassalpha", "unspecified"],
        metadata=None,
    )
    np.testing.assert_allclose(
        as_unit(read_image(path)), UNIT[:, :, [0, 0, 0]], rtol=0, atol=1 / 255
    )


@pytest.mark.parametrize("compression", ["webp", "jpegxl", "jpeg2000"])
def test_compressions_that_pillow_does_not_know(tmp_path, compression):
    path = tmp_path / "photo.tif"
    y, x = np.mgrid[:40, :60]
    array = np.stack([4 * x, 6 * y, 2 * (x + y)], 2).astype(np.uint8)
    tifffile.imwrite(
        path,
        array,
        photometric="rgb",
        compression=compression,
        compressionargs={"lossless": True} if compression == "webp" else None,
        metadata=None,
    )
    np.testing.assert_allclose(read_image(path).astype(int), array, rtol=0, atol=3)


def test_missing_strips_of_a_tiff_are_not_taken_for_black(tmp_path):
    path = tmp_path / "photo.tif"
    tifffile.imwrite(
        path,
        np.moveaxis(stored("uint16", 3), 2, 0),
        photometric="rgb",
        planarconfig="separate",
        metadata=None,
    )
    with tifffile.TiffFile(path) as tiff:
        at = tiff.pages[0].tags["StripByteCounts"].valueoffset
    data = bytearray(path.read_bytes())
    data[at + 4 : at + 8] = bytes(4)
    path.write_bytes(data)
    with pytest.raises(OSError, match=r"photo\.tif.*1 of its strips or tiles"):
        read_image(path)


def test_twelve_bits_reach_white(tmp_path):
    array = np.full((2, 4), 4095, np.uint16)
    array[:, :2] = 0
    packed = np.unpackbits(array.astype(">u2").view(np.uint8).reshape(2, 4, 2), axis=2)
    rows = np.packbits(packed[:, :, 4:].reshape(2, -1), axis=1).tobytes()
    tags = [(256, 4), (257, 2), (258, 12), (259, 1), (262, 1), (273, 8), (277, 1)]
    tags += [(278, 2), (279, len(rows))]
    body = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    data = struct.pack("<2sHI", b"II", 42, 8 + len(rows)) + rows
    path = tmp_path / "twelve.tif"
    path.write_bytes(data + struct.pack("<H", len(tags)) + body + bytes(4))
    np.testing.assert_allclose(read_image(path)[0, :, 0], [0, 0, 1, 1], atol=1e-6)


def test_orientation_of_a_planar_tiff(tmp_path):
    array = stored("uint16", 3)
    for orientation in range(1, 9):
        paths = []
        for planar in ("contig", "separate"):
            path = tmp_path / f"{planar}.tif"
            tifffile.imwrite(
                path,
                array if planar == "contig" else np.moveaxis(array, 2, 0),
                photometric="rgb",
                planarconfig=planar,
                metadata=None,
                extratags=[(274, 3, 1, orientation, True)],
            )
            paths.append(path)
        pixels, planes = map(read_image, paths)
        np.testing.assert_allclose(as_unit(planes), as_unit(pixels), atol=1 / 255)


@pytest.mark.parametrize("dtype", ["int8", "int16"])
def test_signed_samples_are_refused(tmp_path, dtype):
    path = tmp_path / "signed.tif"
    tifffile.imwrite(path, stored(dtype, 3), photometric="rgb", metadata=None)
    with pytest.raises(ValueError, match=r"signed\.tif.*signed.*RGB"):
        read_image(path)


def test_a_tiff_that_needs_the_extra_names_it(tmp_path, monkeypatch):
    path = tmp_path / "render.tif"
    tifffile.imwrite(path, stored("float32", 3), photometric="rgb", metadata=None)
    monkeypatch.setitem(__import__("sys").modules, "tifffile", None)
    with pytest.raises(OSError, match=r"render\.tif.*float 32-bit.*jax_depth\[tiff\]"):
        read_image(path)


def test_a_preview_is_not_the_photo(tmp_path):
    small, large = stored("uint8", 3), np.zeros((90, 120), np.uint16)
    for name, tags in (
        ("photo.dng", [(50706, 1, 4, b"\1\4\0\0", True)]),
        ("photo.tif", []),
    ):
        path = tmp_path / name
        with tifffile.TiffWriter(path) as file:
            file.write(
                small,
                photometric="rgb",
                metadata=None,
                subfiletype=1,
                subifds=1,
                extratags=tags,
            )
            file.write(large, photometric="minisblack", metadata=None)
        with pytest.raises(OSError, match=rf"{name}.*(raw|thumbnail).*JPEG"):
            read_image(path)
        with pytest.raises(OSError, match=r"raw|thumbnail"), Image.open(path) as image:
            read_image(image)


@pytest.mark.parametrize("name", ["a.nef", "a.CR2", "a.arw", "a.pef"])
def test_raw_files_are_known_by_name(tmp_path, name):
    path = tmp_path / name
    tifffile.imwrite(path, stored("uint8", 3), photometric="rgb", metadata=None)
    with pytest.raises(OSError, match=rf"{name}.*camera raw file.*JPEG"):
        read_image(path)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (HEIC, "HEIC.*pillow-heif"),
        (b"\xff\x0a" + bytes(40), "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(40), "JPEG XL"),
        (b"v/1\x01" + bytes(40), "OpenEXR"),
        (b"#?RADIANCE\n" + bytes(40), "Radiance"),
        (b"FUJIFILMCCD-RAW " + bytes(40), "camera raw"),
        (b"\0\0\0\x18ftypcrx " + bytes(40), "camera raw"),
        (b"\0MRM" + bytes(40), "camera raw"),
        (b"II\x1a\0\0\0HEAPCCDR" + bytes(40), "camera raw"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "drawing"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>" + bytes(40), "drawing"),
        (b"%PDF-1.4\n" + bytes(40), "PDF"),
        (b"<!DOCTYPE html><title>404</title>" + bytes(40), "web page.*again"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"\0\0\0\x18ftypisom" + bytes(40), "jax-depth video"),
        (b"\x1a\x45\xdf\xa3" + bytes(40), "jax-depth video"),
        (b"II\xbc\1" + bytes(40), "JPEG XR"),
        (b"PK\3\4" + bytes(40), "zip"),
        (b"P7\nWIDTH 1\n" + bytes(40), "PAM"),
        (b"PF\n4 4\n-1\n" + bytes(192), "PFM of linear colours"),
        (b"\x93NUMPY" + bytes(40), "NumPy"),
        (imagecodecs.jpeg8_encode(WIDE, bitspersample=12), "JPEG of 12 bits"),
        (imagecodecs.ljpeg_encode(WIDE), "JPEG coded without loss"),
        (imagecodecs.jpegls_encode(WIDE), "JPEG coded as JPEG-LS"),
    ],
)
def test_what_is_not_read_is_called_by_its_name(tmp_path, monkeypatch, data, words):
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    path = tmp_path / "renamed.jpg"
    path.write_bytes(data)
    with pytest.raises(OSError, match=rf"renamed\.jpg.*{words}"):
        read_image(path)


def test_heic_where_its_package_is_installed(tmp_path):
    smooth = np.zeros((64, 96, 3), np.uint8)
    smooth[:, :, 0] = np.linspace(0, 255, 96)
    path = tmp_path / "IMG_0001.HEIC"
    pillow_heif.from_pillow(Image.fromarray(smooth)).save(path, quality=100)
    got = read_image(path)
    assert got.shape == smooth.shape
    assert np.abs(got.astype(int) - smooth).mean() < 3  # lossy, 4:2:0


def test_a_png_with_a_long_profile_or_text(tmp_path):
    path, pixels = tmp_path / "proof.png", stored("uint8", 3)
    text = PngInfo()
    text.add_text("Comment", "x" * 3_000_000, zip=True)
    profile = bytes(range(256)) * 8192
    Image.fromarray(pixels).save(path, icc_profile=profile, pnginfo=text)
    np.testing.assert_array_equal(read_image(path), pixels)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_a_jpeg_without_its_end_marker(tmp_path, progressive, subsampling):
    smooth = cv2.GaussianBlur(
        RNG.integers(0, 256, (70, 90, 3)).astype(np.uint8), (9, 9), 3
    )
    buffer = io.BytesIO()
    Image.fromarray(smooth).save(
        buffer, "JPEG", progressive=progressive, subsampling=subsampling, quality=92
    )
    data = buffer.getvalue()
    whole = tmp_path / "whole.jpg"
    whole.write_bytes(data)
    expected = read_image(whole)
    path = tmp_path / "noend.jpg"
    for missing in (1, 2):
        path.write_bytes(data[:-missing])
        np.testing.assert_array_equal(read_image(path), expected)
    for missing in (40, len(data) // 2):
        path.write_bytes(data[:-missing])
        with pytest.raises(OSError, match=r"noend\.jpg.*truncated"):
            read_image(path)
    if progressive:  # without its last scan it is a picture, but a coarser one
        path.write_bytes(data[: data.rindex(b"\xff\xda")])
        with pytest.raises(OSError, match=r"noend\.jpg.*truncated"):
            read_image(path)


def test_what_a_folder_is_searched_for(tmp_path):
    from jax_depth.formats.folders import photos_in

    (tmp_path / "below").mkdir()
    (tmp_path / "results").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "below")
    names = "a.JPG b.dng c.exr d.jxl below/e.hdr below/f.NEF below/g.png .h.png i.txt"
    for name in [*names.split(), "results/j.png"]:
        (tmp_path / name).write_bytes(b"x")
    found = list(photos_in(tmp_path, skip=tmp_path / "results"))
    photos = [str(path.relative_to(tmp_path)) for path, told in found if told is None]
    assert photos == ["a.JPG", "below/g.png"]
    told = {path.name: sentence for path, sentence in found if sentence}
    assert set(told) == {"b.dng", "c.exr", "d.jxl", "e.hdr", "f.NEF", "linked"}
    assert all(name in sentence for name, sentence in told.items())
    followed = [
        p.name for p, told in photos_in(tmp_path, follow_links=True) if not told
    ]
    assert sorted(followed) == ["a.JPG", "g.png", "j.png"]  # each place once
    (tmp_path / "below" / "loop").symlink_to(tmp_path)
    assert len(list(photos_in(tmp_path, follow_links=True))) < 20


def test_long_names_are_cut_and_stay_apart():
    from pathlib import Path

    from jax_depth.cli.photos import Photo
    from jax_depth.cli.result_names import result_paths, result_stems

    names = ["é" * 123 + end + ".jpg" for end in "ab"] + ["short.jpg"]
    stems = result_stems([Photo(Path("in", n), Path("in")) for n in names])
    assert len(set(stems)) == 3 and str(stems[2]) == "short"
    for stem in stems:
        for path in result_paths(Path("out", stem), ["side-by-side", "png16"]).values():
            assert len(path.name.encode()) <= 255


def test_the_size_of_photos_can_be_allowed(tmp_path, monkeypatch):
    from jax_depth.formats import allow_megapixels

    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    path = tmp_path / "large.png"
    Image.new("L", (1500, 1400)).save(path)
    with pytest.raises(
        ValueError, match=r"large\.png.*3 megapixels.*--max-megapixels 3"
    ):
        read_image(path)
    allow_megapixels(3)
    assert read_image(path).shape == (1400, 1500, 3)
    with pytest.raises(ValueError, match="0"):
        allow_megapixels(0)


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".gif", ".bmp", ".tif"])
def test_damaged_pictures_are_read_or_refused_in_a_sentence(tmp_path, suffix, planar):
    path = tmp_path / f"photo{suffix}"
    if suffix == ".tif":
        array = stored("uint16", 3)
        array = np.moveaxis(array, 2, 0) if planar == "separate" else array
        tifffile.imwrite(path, array, photometric="rgb", planarconfig=planar)
    else:
        Image.fromarray(stored("uint8", 3)).save(path)
    whole, draw, refused = path.read_bytes(), random.Random(planar), 0
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(draw.randint(1, 8)):
            data[draw.randrange(min(len(data), 300))] = draw.choice([0, 127, 128, 255])
        path.write_bytes(data[: draw.choice([len(data), draw.randrange(len(data))])])
        try:
            with warnings.catch_warnings(action="ignore"):
                assert read_image(path).shape[2:] == (3,)
        except (OSError, ValueError) as error:
            refused += 1
            assert f"photo{suffix}" in str(error)
            assert len(str(error).splitlines()) == 1
            assert len(str(error)) < len(str(path)) + 400
    assert refused
