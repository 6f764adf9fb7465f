"""Every file format: read back by us, and by a reader that is not ours."""

import errno
import json
import os
import struct
import types
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from jax_depth import map_files as files
from jax_depth import outputs
from jax_depth.depth_map import DepthMap

FLOAT_SUFFIXES = [".npy", ".npz", ".pfm", ".tiff", ".tif", ".exr"]
SELF_DESCRIBING = [".png", ".npz", ".tiff", ".exr"]


def save_and_load(depth, path):
    if path.suffix == ".exr":
        pytest.importorskip("OpenEXR")
    depth.save(path)
    says = path.suffix in (*SELF_DESCRIBING, ".tif")
    return outputs.load(path, None if says else depth.kind)


@pytest.fixture
def disparity():
    values = np.random.default_rng(1).gamma(2.0, 30.0, size=(13, 29))
    return DepthMap(values, "inverse_depth", model="größe/模型 v2")


@pytest.fixture
def metric():
    values = np.random.default_rng(2).uniform(0.2, 20.0, size=(11, 6))
    return DepthMap(values, "metric_depth", "m", "indoor", 20.0)


def half_step(depth):
    """Half a step of 16 bits, and the rounding to float32 at the end."""
    values = depth.values.astype(np.float64)
    return (values.max() - values.min()) / 131070 + np.spacing(
        np.float32(np.abs(values).max())
    )


@pytest.mark.parametrize("suffix", FLOAT_SUFFIXES)
def test_float_formats_lose_nothing(tmp_path, disparity, suffix):
    back = save_and_load(disparity, tmp_path / f"photo{suffix}")
    np.testing.assert_array_equal(back.values, disparity.values)
    assert back.kind == "inverse_depth"


@pytest.mark.parametrize("suffix", FLOAT_SUFFIXES)
def test_float_formats_keep_nan_and_infinity(tmp_path, suffix):
    depth = DepthMap([[1.0, np.nan], [np.inf, -np.inf]], "depth")
    back = save_and_load(depth, tmp_path / f"photo{suffix}")
    np.testing.assert_array_equal(back.values, depth.values)


@pytest.mark.parametrize("suffix", SELF_DESCRIBING)
def test_files_say_what_they_hold(tmp_path, disparity, metric, suffix):
    for depth in (disparity, metric):
        back = save_and_load(depth, tmp_path / f"photo{suffix}")
        for field in ("kind", "unit", "model", "max_depth", "shape"):
            assert getattr(back, field) == getattr(depth, field), field


@pytest.mark.parametrize("suffix", [".npy", ".pfm"])
def test_silent_files_need_a_kind(tmp_path, disparity, suffix):
    path = tmp_path / f"photo{suffix}"
    disparity.save(path)
    with pytest.raises(ValueError, match=r"photo.* does not say .*pass kind="):
        outputs.load(path)


def test_a_wrong_kind_is_refused(tmp_path, disparity):
    disparity.save(tmp_path / "a.npz")
    with pytest.raises(ValueError, match="holds inverse_depth, not metric_depth"):
        outputs.load(tmp_path / "a.npz", kind="metric_depth")


@pytest.mark.parametrize(
    "values",
    [
        np.linspace(-3, 7, 12).reshape(3, 4),
        np.random.default_rng(3).normal(size=(40, 50)) * 1e6,
        np.random.default_rng(3).uniform(1e-30, 2e-30, size=(9, 9)),
        1e6 + np.arange(6).reshape(2, 3) / 8,
        [[0.0, 3.4e38], [-3.4e38, 1.0]],
        [[5.0]],
    ],
    ids=["signed", "large", "small", "offset", "extreme", "one pixel"],
)
def test_png16_reads_back_to_half_a_step(tmp_path, values):
    depth = DepthMap(values, "inverse_depth")
    back = save_and_load(depth, tmp_path / "a.png")
    error = np.abs(back.values.astype(np.float64) - depth.values)
    assert error.max() <= half_step(depth)


@pytest.mark.parametrize("value", [0.0, -4.5, 0.1])
def test_png16_of_a_constant_map_is_exact(tmp_path, value):
    back = save_and_load(DepthMap(np.full((4, 5), value), "depth"), tmp_path / "a.png")
    np.testing.assert_array_equal(back.values, np.full((4, 5), value, np.float32))


def png_texts(path):
    """Text chunks of a PNG, read by the specification: tEXt and plain iTXt."""
    data, position, texts = path.read_bytes(), 8, {}
    while position < len(data):
        length, name = struct.unpack(">I4s", data[position : position + 8])
        body = data[position + 8 : position + 8 + length]
        checksum = data[position + 8 + length : position + 12 + length]
        assert struct.unpack(">I", checksum)[0] == zlib.crc32(name + body)
        if name == b"tEXt":
            key, text = body.split(b"\0", 1)
            texts[key.decode("latin1")] = text.decode("latin1")
        elif name == b"iTXt":
            key, rest = body.split(b"\0", 1)
            assert rest[0] == 0  # not compressed
            texts[key.decode()] = rest[2:].split(b"\0", 2)[2].decode()
        position += 12 + length
    return texts


def test_png16_is_readable_without_this_library(tmp_path, disparity):
    path = tmp_path / "a.png"
    disparity.save(path)
    texts, pixels = png_texts(path), cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert pixels.dtype == np.uint16
    assert (pixels.min(), pixels.max()) == (0, 65535)
    values = float(texts["depth-offset"]) + float(texts["depth-scale"]) * pixels
    np.testing.assert_allclose(values, disparity.values, atol=half_step(disparity))
    assert texts["depth-kind"] == "inverse_depth"
    assert texts["depth-model"] == "größe/模型 v2"
    assert "depth-unit" not in texts


def test_png_mm_is_plain_millimetres(tmp_path, metric):
    path = tmp_path / "a.png"
    metric.save(path, format="png-mm")
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(pixels, np.rint(metric.values.astype("f8") * 1000))
    np.testing.assert_allclose(outputs.load(path).values, metric.values, atol=5.01e-4)


@pytest.mark.parametrize(
    ("depth", "message"),
    [
        (DepthMap([[1.0]], "inverse_depth"), "needs metric_depth"),
        (DepthMap([[66.0]], "metric_depth", "m"), r"from 0 to 65.535 m; use png16"),
        (DepthMap([[-0.1]], "metric_depth", "m"), "use png16"),
    ],
)
def test_png_mm_refuses_what_does_not_fit(tmp_path, depth, message):
    with pytest.raises(ValueError, match=message):
        depth.save(tmp_path / "a.png", format="png-mm")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("format", ["png16", "png-mm"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_png_refuses_values_that_are_not_finite(tmp_path, format, bad):
    depth = DepthMap([[1.0, bad]], "metric_depth", "m")
    with pytest.raises(ValueError, match=r"1 values that are NaN .* save it as \.npy"):
        depth.save(tmp_path / "a.png", format=format)
    assert not list(tmp_path.iterdir())


def test_pfm_is_read_by_opencv(tmp_path, disparity):
    disparity.save(tmp_path / "a.pfm")
    pixels = cv2.imread(str(tmp_path / "a.pfm"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(pixels, disparity.values)


def test_pfm_of_other_programs_is_read(tmp_path, disparity):
    path = tmp_path / "a.pfm"
    height, width = disparity.shape
    rows = disparity.values[::-1].astype(">f4").tobytes()
    path.write_bytes(b"Pf\n%d %d\n2.5\n" % (width, height) + rows)
    back = outputs.load(path, "depth")
    np.testing.assert_array_equal(back.values, disparity.values)
    cv2.imwrite(str(path), disparity.values)
    back = outputs.load(path, "depth")
    np.testing.assert_array_equal(back.values, disparity.values)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"PF\n1 1\n-1\n" + bytes(12), "not a one-channel PFM"),
        (b"Pf\n1 1\n0\n" + bytes(4), "not a one-channel PFM"),
        (b"Pf\n1 1\n1.2.3\n" + bytes(4), "not a one-channel PFM"),
        (b"Pf\n2 2\n-1\n" + bytes(12), "12 bytes of pixels where 2x2 need 16"),
        (b"", "not a one-channel PFM"),
    ],
)
def test_foreign_pfm_is_refused(tmp_path, data, message):
    (tmp_path / "a.pfm").write_bytes(data)
    with pytest.raises(ValueError, match=message):
        outputs.load(tmp_path / "a.pfm", "depth")


def test_tiff_is_read_by_tifffile_and_opencv(tmp_path, metric):
    path = tmp_path / "a.tiff"
    metric.save(path)
    np.testing.assert_array_equal(tifffile.imread(path), metric.values)
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(pixels, metric.values)
    with tifffile.TiffFile(path) as file:
        description = json.loads(file.pages[0].description)
    assert description["kind"] == "metric_depth"


def test_tiff_of_other_programs_needs_a_kind(tmp_path, disparity):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, disparity.values)
    back = outputs.load(path, "inverse_depth")
    np.testing.assert_array_equal(back.values, disparity.values)
    with pytest.raises(ValueError, match="does not say"):
        outputs.load(path)


def test_exr_has_the_depth_as_z_and_as_y(tmp_path, metric):
    openexr = pytest.importorskip("OpenEXR")
    path = tmp_path / "a.exr"
    metric.save(path)
    with openexr.File(str(path)) as file:
        assert list(file.channels()) == ["Y", "Z"]
        assert file.channels()["Z"].pixels.dtype == np.float32
        np.testing.assert_array_equal(file.channels()["Z"].pixels, metric.values)


def test_exr_without_its_package_says_what_to_install(tmp_path, disparity, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "OpenEXR", None)
    with pytest.raises(ValueError, match=r"pip install 'jax_depth\[exr\]'"):
        disparity.save(tmp_path / "a.exr")
    assert not list(tmp_path.iterdir())


class _Trap:
    def __reduce__(self):
        return os.mkdir, ("sprung",)


@pytest.mark.parametrize("name", ["map.npy", "map.npz"])
def test_a_pickle_in_a_map_is_not_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write = np.save if name == "map.npy" else lambda f, x: np.savez(f, values=x)
    write(name, np.array([[_Trap()]], object))
    with pytest.raises(ValueError, match=rf"{name}.*[Oo]bject"):
        DepthMap.load(name)
    assert os.listdir() == [name]


def test_npz_is_plain_numpy(tmp_path, metric):
    metric.save(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        np.testing.assert_array_equal(file["values"], metric.values)
        assert (str(file["kind"]), str(file["unit"])) == ("metric_depth", "m")
        assert float(str(file["max_depth"])) == 20.0


def test_arrays_that_are_not_maps_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", depth=np.ones((2, 2)))
    np.save(tmp_path / "a.npy", np.ones((2, 2, 3)))
    np.save(tmp_path / "b.npy", np.ones((2, 2), complex))
    (tmp_path / "text.npz").write_text("words")
    for name, message in [
        ("a.npz", "no array named 'values' .*depth"),
        ("a.npy", r"a\.npy .*needs an array \(h, w\)"),
        ("b.npy", "complex128"),
        ("text.npz", r"text\.npz is not a \.npz file"),
    ]:
        with pytest.raises(ValueError, match=message):
            outputs.load(tmp_path / name, "depth")


@pytest.mark.parametrize("suffix", [".png", *FLOAT_SUFFIXES])
@pytest.mark.parametrize("keep", [0.0, 0.1, 0.5, 0.95])
def test_files_cut_short_are_one_sentence(tmp_path, disparity, suffix, keep):
    path = tmp_path / f"a{suffix}"
    save_and_load(disparity, path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(ValueError, match=r"a\."):
        outputs.load(path, disparity.kind)


def test_pictures_and_reduced_files_are_not_taken_for_depth(tmp_path, disparity):
    path = tmp_path / "a.png"
    disparity.save(path, format="color")
    with pytest.raises(ValueError, match="it is a picture"):
        outputs.load(path)
    disparity.save(path)
    with Image.open(path) as image:
        image.load()
        info = image.text
        reduced = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    from PIL.PngImagePlugin import PngInfo

    chunks = PngInfo()
    for key, text in info.items():
        chunks.add_text(key, str(text))
    reduced.save(path, pnginfo=chunks)
    with pytest.raises(ValueError, match="reduced to L pixels"):
        outputs.load(path)


@pytest.mark.parametrize("name", ["a.jpg", "a", "a.npy.gz"])
def test_unknown_suffixes_list_the_known_ones(tmp_path, disparity, name):
    for use in (disparity.save, outputs.load):
        with pytest.raises(ValueError, match=r"supported: \.png, \.npy, \.npz"):
            use(tmp_path / name)


def test_formats_and_suffixes_must_agree(tmp_path, disparity):
    with pytest.raises(ValueError, match=r"does not end in \.npy"):
        disparity.save(tmp_path / "a.png", format="npy")
    with pytest.raises(ValueError, match="'jpeg' is unknown; known: png16"):
        disparity.save(tmp_path / "a.png", format="jpeg")
    with pytest.raises(ValueError, match="side-by-side needs the picture"):
        disparity.save(tmp_path / "a.png", format="side-by-side")
    disparity.save(tmp_path / "A.TIF")
    assert outputs.load(tmp_path / "A.TIF").shape == disparity.shape


def test_missing_files_and_folders_are_named(tmp_path, disparity):
    with pytest.raises(FileNotFoundError, match=r"gone\.png does not exist"):
        outputs.load(tmp_path / "gone.png")
    with pytest.raises(FileNotFoundError, match=r"folder .*nowhere does not exist"):
        disparity.save(tmp_path / "nowhere" / "a.png")


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left"), ValueError()]
)
def test_a_failed_write_leaves_the_older_file_alone(
    tmp_path, disparity, monkeypatch, error
):
    path = tmp_path / "a.npy"
    path.write_bytes(b"older")

    def write(depth, temporary):
        temporary.write_bytes(b"half")
        raise error

    broken = files.Format((".npy",), "", write)
    monkeypatch.setattr(files, "FORMATS", {**files.FORMATS, "npy": broken})
    with pytest.raises(type(error)) as caught:
        disparity.save(path)
    if isinstance(error, OSError):
        named = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        assert str(caught.value) == str(named)
    assert path.read_bytes() == b"older"
    assert os.listdir(tmp_path) == ["a.npy"]


def test_a_full_disk_is_recognised_where_libraries_hide_it(
    tmp_path, disparity, monkeypatch
):
    def write(depth, temporary):
        raise OSError("400 requested and 0 written")  # as numpy.ndarray.tofile says

    broken = files.Format((".npy",), "", write)
    monkeypatch.setattr(files, "FORMATS", {**files.FORMATS, "npy": broken})
    with pytest.raises(OSError, match="400 requested"):
        disparity.save(tmp_path / "a.npy")
    usage = types.SimpleNamespace(free=4096)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(OSError, match=r"a\.npy") as caught:
        disparity.save(tmp_path / "a.npy")
    assert caught.value.errno == errno.ENOSPC


def test_system_errors_name_the_file_that_was_asked_for(tmp_path, disparity):
    (tmp_path / "a.npy").mkdir()
    with pytest.raises(OSError, match=r"a\.npy") as caught:
        disparity.save(tmp_path / "a.npy")
    assert ".tmp" not in str(caught.value)
    assert os.listdir(tmp_path) == ["a.npy"]


@pytest.mark.parametrize("suffix", [".npz", ".exr"])
def test_confidence_and_sky_are_kept(tmp_path, metric, suffix):
    rng = np.random.default_rng(5)
    layers = {name: rng.normal(size=metric.shape) for name in ("confidence", "sky")}
    for names in (("confidence", "sky"), ("sky",), ()):
        some = {name: layers[name].astype(np.float32) for name in names}
        depth = DepthMap(metric.values, "metric_depth", **some)
        back = save_and_load(depth, tmp_path / f"a{suffix}")
        np.testing.assert_array_equal(back.values, metric.values)
        for name in layers:
            assert (getattr(back, name) is None) == (name not in some)
            if name in some:
                np.testing.assert_array_equal(getattr(back, name), some[name])
    assert DepthMap.load(tmp_path / f"a{suffix}").unit == "m"


def test_data_and_maps_read_one_file_alike(tmp_path, disparity):
    from jax_depth.formats.maps import read_map

    for suffix in (".png", ".npz", ".pfm", ".npy", ".tiff", ".exr"):
        back = save_and_load(disparity, tmp_path / f"a{suffix}")
        stored = read_map(tmp_path / f"a{suffix}")
        np.testing.assert_array_equal(stored.values.astype("f4"), back.values)
