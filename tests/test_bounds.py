"""Numbers that only a value beside them tells from their neighbours."""

import io
import json

import numpy as np
import OpenEXR
import pytest
import tifffile
from PIL import Image
from scipy.spatial.transform import Rotation

from jax_depth.camera import Intrinsics, PlacedCamera
from jax_depth.formats import colmap, cut_jpeg, glb
from jax_depth.formats.exr import read_exr, write_exr
from jax_depth.formats.json_file import read_json
from jax_depth.formats.stored import check_pixels
from jax_depth.formats.tiff_pictures import (
    first_directory,
    needs_tifffile,
    read_tiff_picture,
)


def test_json_is_read_up_to_16_mebibytes(tmp_path):
    path = tmp_path / "index.json"
    path.write_bytes(b"[7]".ljust(2**24))
    assert read_json(path) == [7]
    path.write_bytes(b"[7]".ljust(2**24 + 1))
    with pytest.raises(ValueError, match="has 16777217 bytes"):
        read_json(path)


def jpeg() -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, "JPEG", quality=92)
    return stream.getvalue()


@pytest.mark.parametrize("blind", [(0,), (1,), (0, 1)])
def test_a_cut_jpeg_is_told_though_samples_look_like_those_filled_in(
    monkeypatch, blind
):
    """By chance one probe shows what the decoder fills in, or both show the same."""
    data = jpeg()
    same = b"" if len(blind) == 1 else cut_jpeg._PROBES[0]
    probes = [same if k in blind else p for k, p in enumerate(cut_jpeg._PROBES)]
    monkeypatch.setattr(cut_jpeg, "_PROBES", tuple(probes))
    assert cut_jpeg.with_end_marker(data[: len(data) // 2]) is None
    assert cut_jpeg.with_end_marker(data[:-2]) is not None


def test_an_extended_sequential_jpeg_without_its_end_marker():
    data = jpeg()
    extended = data.replace(b"\xff\xc0", b"\xff\xc1", 1)  # ITU T.81, table B.1
    assert extended != data
    got = cut_jpeg.with_end_marker(extended[:-2])
    assert got is not None
    np.testing.assert_array_equal(got, Image.open(io.BytesIO(data)))


def test_a_tiff_of_twice_the_guards_pixels_is_the_largest(monkeypatch):
    pixels = np.arange(240, dtype=np.uint32).reshape(12, 20)
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, photometric="minisblack")
    tags = first_directory(file)
    assert tags is not None
    for guard in (120, None):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", guard)
        got = read_tiff_picture(file, tags, "photo.tif")[:, :, 0]
        np.testing.assert_allclose(got, pixels / (2**32 - 1), rtol=1e-6)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 119)
    with pytest.raises(Image.DecompressionBombError, match="240 pixels"):
        read_tiff_picture(file, tags, "photo.tif")


def test_of_wide_grey_samples_pillow_reads_12_and_16_bits():
    depths = range(9, 65)
    left = [n for n in depths if not needs_tifffile({258: (n,), 262: (1,)})]
    assert left == [12, 16]


def test_of_floats_pillow_reads_one_channel():
    floats = {258: (32,), 262: (1,), 339: (3,)}
    assert not needs_tifffile(floats)
    assert needs_tifffile(floats | {277: (2,)})


def test_every_colour_comes_back_from_linear_light():
    linear = glb._linear_table() / 65535
    coded = np.where(
        linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055
    )
    np.testing.assert_allclose(255 * coded, np.arange(256), atol=0.03)
    assert linear[255] == 1


def test_a_glb_speaks_of_its_first_camera_and_shows_each(tmp_path):
    first = PlacedCamera(Intrinsics(30.0, 31.0, 19.5, 14.5), (30, 40))
    other = PlacedCamera(Intrinsics(50.0, 50.0, 4.5, 9.5), (20, 10))
    path = tmp_path / "points.glb"
    points = np.array([[0, 0, 2], [1, 1, 4]], np.float32)
    glb.write_glb_points(path, points, np.zeros((2, 3), np.uint8), [first, other])
    data = path.read_bytes()  # a header of 12 bytes, a length, a type, then the JSON
    gltf = json.loads(data[20 : 20 + int.from_bytes(data[12:16], "little")])
    (material,) = gltf["materials"]
    assert material["pbrMetallicRoughness"] == {
        "baseColorFactor": [1, 1, 1, 1],
        "roughnessFactor": 1,
        "metallicFactor": 0,
    }
    stated = {"unit": "m", "width": 40, "height": 30, "cx": 19.5, "cy": 14.5}
    assert gltf["asset"]["extras"] == stated | {"fx": 30.0, "fy": 31.0}
    assert gltf["scenes"] == [{"nodes": list(range(len(gltf["nodes"])))}]
    seen = [node["camera"] for node in gltf["nodes"] if "camera" in node]
    assert seen == list(range(len(gltf["cameras"])))
    assert [c["perspective"]["aspectRatio"] for c in gltf["cameras"]] == [
        pytest.approx(31 / 30 * 40 / 30),
        0.5,
    ]


def test_a_quaternion_is_of_its_rotation_in_every_direction():
    turns = Rotation.from_quat(np.random.default_rng(0).normal(size=(40, 4)))
    half = Rotation.from_rotvec(np.pi * np.eye(3))  # about each axis: w is 0
    for turn in Rotation.concatenate([turns, half]):
        w, x, y, z = colmap._quaternion(turn.as_matrix())
        assert w >= 0
        same = Rotation.from_quat([x, y, z, w]).as_matrix()
        np.testing.assert_allclose(same, turn.as_matrix(), atol=1e-12)


def test_a_map_may_have_what_is_allowed_of_pictures_if_that_is_more(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 600_000_000)
    check_pixels("map.npz", 30_000, 40_000)
    with pytest.raises(ValueError, match=r"map\.npz declares 1201 .* than the 1200"):
        check_pixels("map.npz", 30_000, 40_001)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1)
    check_pixels("map.npz", 25_000, 40_000)
    with pytest.raises(ValueError, match=r"declares 1001 .* than the 1000"):
        check_pixels("map.npz", 25_000, 40_001)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    check_pixels("map.npz", 90_000, 90_000)


def test_an_exr_that_cannot_be_written_is_an_os_error(tmp_path):
    path = tmp_path / "missing" / "map.exr"
    with pytest.raises(OSError, match="OpenEXR could not write"):
        write_exr(path, np.ones((2, 3), np.float32), {}, {})


def test_a_colour_of_an_exr_is_a_map_only_if_asked_for(tmp_path):
    path, ramp = tmp_path / "photo.exr", np.arange(6, dtype=np.float32).reshape(2, 3)
    channels = {"R": ramp, "G": ramp + 1, "B": ramp + 2}
    with OpenEXR.File({}, channels) as file:
        file.write(str(path))
    with pytest.raises(ValueError, match=r"photo\.exr is a picture"):
        read_exr(path)
    np.testing.assert_array_equal(read_exr(path, "G").values, ramp + 1)
