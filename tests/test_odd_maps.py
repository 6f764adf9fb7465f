"""Depth maps of other programs, damaged ones and huge ones: right, or one sentence."""

import io
import os
import random
import struct
import warnings
import zipfile

import numpy as np
import OpenEXR
import pytest
import tifffile
from PIL import Image, PngImagePlugin

from jax_depth import DepthMap
from jax_depth.formats.maps import MAP_SUFFIXES, read_map

VALUES = np.random.default_rng(0).random((23, 31), dtype=np.float32)


def refused(path, *words, kind="depth"):
    """Check that a file is refused in one sentence with its name and `words`."""
    with pytest.raises((OSError, ValueError)) as error:
        DepthMap.load(path, kind=kind)
    told = str(error.value)
    assert path.name in told
    assert len(told.splitlines()) == 1 and len(told) < len(str(path)) + 400
    for word in words:
        assert word in told


@pytest.mark.parametrize(
    "array",
    [np.asfortranarray(VALUES), VALUES.astype(">f4"), VALUES[None], VALUES[:, :, None]],
    ids=["fortran", "big endian", "first axis", "last axis"],
)
def test_arrays_of_every_layout(tmp_path, array):
    np.save(tmp_path / "map.npy", array)
    np.testing.assert_array_equal(
        DepthMap.load(tmp_path / "map.npy", kind="depth").values, VALUES
    )


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 5), }", "(-1, 5)"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (9999, 9999), }", "short"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (99999, 99999), }", "1000"),
        ("[" * 5000, ""),
        ("{'descr': '" + "<f4," * 9000 + "'}", ""),
    ],
)
def test_headers_of_arrays_that_cannot_be(tmp_path, header, words):
    path, data = tmp_path / "map.npy", header.encode() + b"\n"
    path.write_bytes(b"\x93NUMPY\1\0" + struct.pack("<H", len(data)) + data + bytes(64))
    refused(path, words)


def test_numbers_beyond_float32_are_not_made_infinite(tmp_path):
    np.save(tmp_path / "map.npy", np.full((3, 3), 1e300))
    refused(tmp_path / "map.npy", "1e+300", "float32")


def test_an_archive_that_unpacks_into_more_than_a_map(tmp_path):
    path, header = tmp_path / "map.npz", io.BytesIO()
    layout = {"descr": "<f4", "fortran_order": False, "shape": (40000, 40000)}
    np.lib.format.write_array_header_1_0(header, layout)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("values.npy", header.getvalue() + bytes(1 << 20))
    refused(path, "1600 megapixels", "allow_megapixels(1600)")


def test_an_archive_of_something_else(tmp_path):
    with zipfile.ZipFile(tmp_path / "map.npz", "w") as archive:
        archive.writestr("values.npy", b"abc")
    refused(tmp_path / "map.npz")


@pytest.mark.parametrize(
    "header", ["3 4\nnan", "3 4\ninf", "-3 4\n-1", "9" * 5000 + " 4\n-1", "3 4\n0"]
)
def test_headers_of_portable_float_maps(tmp_path, header):
    path = tmp_path / "map.pfm"
    path.write_bytes(f"Pf\n{header}\n".encode() + bytes(48))
    refused(path, "PFM")


@pytest.mark.parametrize("scale", ["nan", "1e400", "0", "1" * 6000, "1e305"])
def test_scales_that_make_no_numbers(tmp_path, scale):
    path, info = tmp_path / "map.png", PngImagePlugin.PngInfo()
    texts = {"scale": scale, "offset": "0", "kind": "depth"}
    for key, text in texts.items():
        info.add_itxt(f"depth-{key}", text)
    Image.fromarray((VALUES * 60000).astype(np.uint16)).save(path, pnginfo=info)
    refused(path, "depth-scale", scale[:40])


@pytest.mark.parametrize(
    "channels",
    [
        ("Y",),
        ("R",),
        ("depth",),
        ("depth.Z",),
        ("Z", "R1", "G1", "B1"),
        ("depth.Z", "R1", "G1", "B1"),
        ("ViewLayer.Depth.Z", "ViewLayer.Combined.R1", "ViewLayer.Combined.G1"),
        ("ViewLayer.Depth.V", "ViewLayer.Normal.Z1"),
        ("R", "G", "B"),
        ("Y", "A1"),
    ],
)
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_depth_among_the_channels_of_an_exr(tmp_path, channels, dtype):
    """Of a name that ends in 1 the values are others."""
    path = tmp_path / "map.exr"
    values = VALUES.astype(dtype)
    arrays = {c.rstrip("1"): values + c.endswith("1") for c in channels}
    with OpenEXR.File({"type": OpenEXR.scanlineimage}, arrays) as file:
        file.write(str(path))
    np.testing.assert_array_equal(
        DepthMap.load(path, kind="depth").values, values.astype(np.float32)
    )


def test_depth_in_the_second_part_of_an_exr(tmp_path):
    path, header = tmp_path / "map.exr", {"type": OpenEXR.scanlineimage}
    picture = {name: VALUES + k for k, name in enumerate("RGB")}
    parts = [
        OpenEXR.Part(dict(header), picture, "beauty"),
        OpenEXR.Part(dict(header), {"Z": VALUES}, "depth"),
    ]
    OpenEXR.File(parts).write(str(path))
    np.testing.assert_array_equal(DepthMap.load(path, kind="depth").values, VALUES)


def test_the_green_of_a_picture_is_not_depth(tmp_path):
    path = tmp_path / "map.exr"
    picture = {name: VALUES + k for k, name in enumerate("RGB")}
    with OpenEXR.File({"type": OpenEXR.scanlineimage}, picture) as file:
        file.write(str(path))
    refused(path, "picture", "R")


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    "options",
    [{}, {"compression": "zlib", "predictor": True}, {"tile": (16, 16)}],
    ids=["plain", "predictor", "tiles"],
)
def test_tiffs_of_floats(tmp_path, dtype, big, order, options):
    path, values = tmp_path / "map.tiff", VALUES.astype(dtype)
    if "predictor" in options and dtype == "float64" and order == ">":
        options = {"compression": "zlib"}
    tifffile.imwrite(
        path,
        values,
        bigtiff=big,
        byteorder=order,
        metadata=None,
        description='{"kind": "depth", "model": "mine"}',
        **options,
    )
    depth = DepthMap.load(path)
    np.testing.assert_array_equal(depth.values, values.astype(np.float32))
    assert depth.model == "mine"


@pytest.mark.parametrize("suffix", MAP_SUFFIXES)
def test_a_pipe_is_refused_and_not_waited_for(tmp_path, suffix):
    path = tmp_path / f"map{suffix}"
    os.mkfifo(path)
    with pytest.raises(ValueError, match=rf"{path.name}.*named pipe.*regular file"):
        read_map(path)


def test_a_description_nested_too_deep_says_nothing(tmp_path):
    path = tmp_path / "map.tiff"
    tifffile.imwrite(path, VALUES, metadata=None, description="[" * 50000)
    np.testing.assert_array_equal(DepthMap.load(path, kind="depth").values, VALUES)


@pytest.mark.parametrize("suffix", ["png", "tiff", "npz", "npy", "pfm", "exr"])
def test_maps_above_the_limit_of_pictures(tmp_path, monkeypatch, suffix):
    """A map of a photo that is larger than Pillow opens unasked."""
    path, kind = tmp_path / f"map.{suffix}", "depth"
    DepthMap(VALUES, kind="depth").save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    np.testing.assert_allclose(
        DepthMap.load(path, kind=kind).values, VALUES, rtol=0, atol=2e-5
    )


@pytest.mark.parametrize("suffix", ["png", "tiff", "npz", "npy", "pfm", "exr"])
def test_damaged_maps_are_read_or_refused_in_a_sentence(tmp_path, suffix):
    path = tmp_path / f"map.{suffix}"
    DepthMap(VALUES, kind="depth").save(path)
    whole, draw, count = path.read_bytes(), random.Random(suffix), 0
    for _ in range(100):
        data = bytearray(whole)
        for _ in range(draw.randint(1, 8)):
            at = draw.randrange(min(len(data), 300)) * draw.choice([1, -1])
            data[at] = draw.choice([0, 127, 128, 255])
        path.write_bytes(data[: draw.choice([len(data), draw.randrange(len(data))])])
        try:
            with warnings.catch_warnings(action="error"):
                DepthMap.load(path, kind="depth")
        except (OSError, ValueError) as error:
            count += 1
            assert path.name in str(error)
            assert len(str(error).splitlines()) == 1
            assert len(str(error)) < len(str(path)) + 400
    assert count
