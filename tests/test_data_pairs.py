"""Own pairs: units, what is invalid, and how everything that may be wrong is said."""

import json

import data_layouts as layouts
import numpy as np
import pytest
from data_layouts import depth, picture, save
from PIL import Image

from jax_depth.data import DatasetError, Loader, SampleError, open_dataset
from jax_depth.data.pairs import Pairs
from jax_depth.depth_map import DepthMap


def write_pairs(root, count=3, values=None):
    """Pictures and 16-bit depth in millimetres; returns the manifest's path."""
    lines = ["image,depth,kind,unit,invalid"]
    for seed in range(count):
        save(root / f"rgb/{seed}.png", picture(seed))
        stored = np.rint(depth(seed) * 1000).astype(np.uint16)
        stored[0] = 0
        stored[1] = 60000
        save(root / f"lidar/{seed}.png", stored if values is None else values(stored))
        lines.append(f"rgb/{seed}.png,lidar/{seed}.png,metric_depth,mm,0 60000")
    path = root / "pairs.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_manifest_says_unit_scale_and_invalid_values(tmp_path):
    dataset = open_dataset(f"pairs:{write_pairs(tmp_path)}")
    assert dataset.names == ["rgb/0.png", "rgb/1.png", "rgb/2.png"]
    for seed, sample in enumerate(dataset):
        np.testing.assert_array_equal(sample.rgb, picture(seed))
        assert (sample.kind, sample.unit) == ("metric_depth", "m")
        assert not sample.mask[:2].any() and sample.mask[2:].all()
        np.testing.assert_allclose(sample.target[2:], depth(seed)[2:], atol=5.1e-4)


@pytest.mark.parametrize(
    ("unit", "metres"), [("m", 1), ("cm", 0.01), ("mm", 0.001), ("in", 0.0254)]
)
def test_units_and_scale(tmp_path, unit, metres):
    save(tmp_path / "images" / "a.png", picture(0))
    (tmp_path / "depth").mkdir()
    np.save(tmp_path / "depth" / "a.npy", depth(0) / 0.25 / metres)
    options = f"kind=metric_depth&unit={unit}&scale=0.25"
    sample = open_dataset(f"pairs:{tmp_path}?{options}")[0]
    np.testing.assert_allclose(sample.target, depth(0), rtol=1e-6)


def test_inverse_depth_with_and_without_a_unit(tmp_path):
    save(tmp_path / "images" / "a.png", picture(0))
    (tmp_path / "depth").mkdir()
    values = 1 / depth(0)
    values[0], values[1] = 0, -1
    np.save(tmp_path / "depth" / "a.npy", values)
    metric = open_dataset(f"pairs:{tmp_path}?kind=inverse_depth&unit=1/m")[0]
    assert metric.mask[0].all() and not metric.mask[1].any()
    metres, known = metric.metric_depth()
    np.testing.assert_allclose(metres[2:], depth(0)[2:], rtol=1e-6)
    assert not known[0].any()  # infinitely far
    relative = open_dataset(f"pairs:{tmp_path}?kind=inverse_depth&unit=none")[0]
    assert relative.mask.all() and relative.unit is None
    np.testing.assert_array_equal(relative.inverse_depth()[0], values)


@pytest.mark.parametrize("suffix", ["png", "npy", "npz", "pfm", "exr", "tiff"])
def test_every_file_that_predict_writes_is_read_back(tmp_path, suffix):
    save(tmp_path / "images" / "a.png", picture(0))
    (tmp_path / "depth").mkdir()
    written = DepthMap(1 / depth(0), "inverse_depth")
    written.save(tmp_path / "depth" / f"a.{suffix}")
    sample = open_dataset(f"pairs:{tmp_path}?kind=inverse_depth&unit=none")[0]
    step = np.ptp(written.values) / 65535 / 2 if suffix == "png" else 0
    np.testing.assert_allclose(sample.target, written.values, atol=step, rtol=1e-6)


def test_a_described_file_contradicts_its_declaration(tmp_path):
    save(tmp_path / "images" / "a.png", picture(0))
    (tmp_path / "depth").mkdir()
    DepthMap(depth(0), "inverse_depth").save(tmp_path / "depth" / "a.png")
    dataset = open_dataset(f"pairs:{tmp_path}?kind=metric_depth&unit=m")
    with pytest.raises(SampleError, match=r"holds inverse_depth .* declared metric"):
        dataset[0]


def test_mask_camera_and_names_of_a_jsonl_manifest(tmp_path):
    write_pairs(tmp_path, 2)
    mask = np.full((12, 16), 255, np.uint8)
    mask[:, :5] = 0
    save(tmp_path / "mask.png", mask)
    row = {
        "image": "rgb/1.png",
        "depth": "lidar/1.png",
        "mask": "mask.png",
        "name": "b",
        "kind": "metric_depth",
        "unit": "mm",
        "invalid": [0, 60000],
        **{"fx": 10, "fy": 11.5, "cx": 7, "cy": 5},
    }
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps(row) + "\n\n" + json.dumps(row) + "\n")
    dataset = Pairs(path)
    assert dataset.names == ["b", "b#2"]
    sample = dataset[0]
    assert sample.intrinsics.fy == 11.5
    assert not sample.mask[:2].any() and not sample.mask[:, :5].any()
    assert sample.mask[2:, 5:].all()


def test_folders_with_a_statement(tmp_path):
    for seed in range(2):
        save(tmp_path / "images" / "deep" / f"{seed}.jpg", picture(seed))
        (tmp_path / "depth" / "deep").mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / "depth" / "deep" / f"{seed}.npy", depth(seed))
    with pytest.raises(DatasetError, match="does not say its kind"):
        Pairs(tmp_path)
    (tmp_path / "pairs.json").write_text('{"kind": "metric_depth", "unit": "m"}')
    assert Pairs(tmp_path).names == ["deep/0.jpg", "deep/1.jpg"]
    (tmp_path / "depth" / "deep" / "0.npy").rename(tmp_path / "depth" / "other.npy")
    with pytest.raises(DatasetError, match=r"deep/0\.jpg has no depth: looked for"):
        Pairs(tmp_path)
    (tmp_path / "images" / "deep" / "0.jpg").unlink()
    with pytest.raises(
        DatasetError, match=r"1 depth maps have no picture .*other\.npy"
    ):
        Pairs(tmp_path)


MANIFESTS = {
    "empty": ("", "holds no pairs"),
    "header only": ("image,depth\n", "holds no pairs"),
    "no depth": (
        "image,kind,unit\na.png,metric_depth,m\n",
        "entry 1 of .* has no depth",
    ),
    "no kind": ("image,depth\na.png,a.npy\n", "does not say its kind; give kind="),
    "bad kind": ("image,depth,kind\na.png,a.npy,depht\n", "has the kind 'depht'"),
    "no unit": (
        "image,depth,kind\na.png,a.npy,metric_depth\n",
        "does not say its unit",
    ),
    "bad unit": (
        "image,depth,kind,unit\na.png,a.npy,metric_depth,feet\n",
        "'feet'.* unit=.* m, cm, mm, km, in",
    ),
    "unit of depth": (
        "image,depth,kind,unit\na.png,a.npy,depth,m\n",
        "unit 'm'",
    ),
    "bad scale": (
        "image,depth,kind,unit,scale\na.png,a.npy,metric_depth,m,zero\n",
        "scale='zero' must be a number above 0",
    ),
    "negative scale": (
        "image,depth,kind,unit,scale\na.png,a.npy,metric_depth,m,-1\n",
        "must be a number above 0",
    ),
    "bad invalid": (
        "image,depth,kind,unit,invalid\na.png,a.npy,metric_depth,m,0;9\n",
        "numbers separated by spaces",
    ),
    "short line": ("image,depth,kind\na.png,a.npy\n", "line 2 .* the 3 fields"),
    "long line": ("image,depth\na.png,a.npy,x\n", "line 2 .* the 2 fields"),
    "unknown key": ("image,depth,untis\na.png,a.npy,m\n", "unknown key 'untis'"),
}


@pytest.mark.parametrize("case", MANIFESTS)
def test_a_wrong_manifest_is_one_sentence(tmp_path, case):
    text, sentence = MANIFESTS[case]
    path = tmp_path / "m.csv"
    path.write_text(text)
    with pytest.raises(DatasetError, match=sentence) as caught:
        open_dataset(f"pairs:{path}")
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("m.jsonl", b'{"image": "a.png"', "line 1 .* is not JSON .*cut short"),
        ("m.jsonl", b"[1]", "line 1 .* is not a JSON object"),
        ("m.jsonl", b'{"image": 3, "depth": "x"}', "entry 1 .* has no image"),
        ("m.jsonl", b'{"image": "a", "depth": "x", "mask": 3}', "entry 1 .* mask=3, w"),
        (
            "m.csv",
            b"image,depth,fx\na,b,c\n",
            "entry 1 .* fx='c'",
        ),
        ("m.csv", b"\xff\xfe\x00", "not a text file in UTF-8"),
        ("m.txt", b"", r"neither a folder nor a \.csv or \.jsonl"),
    ],
)
def test_a_damaged_manifest_is_one_sentence(tmp_path, name, data, sentence):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DatasetError, match=sentence):
        open_dataset(f"pairs:{tmp_path / name}")


@pytest.mark.parametrize("name", ["a\u2028b", "a\x85b", "a\x0bb", "a\nb"])
def test_names_that_unicode_would_break_into_lines(tmp_path, name):
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(tmp_path / f"{name}.png")
    Image.fromarray(np.full((4, 6, 3), 9, np.uint8)).save(tmp_path / "ab.png")
    np.save(tmp_path / "d.npy", np.ones((4, 6), np.float32))
    pair = {"image": f"{name}.png", "depth": "d.npy"}
    (tmp_path / "p.jsonl").write_text(json.dumps(pair, ensure_ascii=False) + "\n")
    (tmp_path / "p.csv").write_text(f'image,depth\n"{name}.png",d.npy\n')
    for manifest in ("p.jsonl", "p.csv"):
        dataset = Pairs(tmp_path / manifest, kind="depth")
        assert len(dataset) == 1 and dataset[0].rgb.max() == 0
    with pytest.raises(DatasetError, match="names the column 'depth' twice"):
        (tmp_path / "p.csv").write_text("image,depth,depth\na,b,c\n")
        Pairs(tmp_path / "p.csv", kind="depth")


def test_a_manifest_that_is_not_there(tmp_path):
    with pytest.raises(DatasetError, match="No such file"):
        open_dataset(f"pairs:{tmp_path}/m.csv")
    with pytest.raises(DatasetError, match="option='units' is unknown"):
        open_dataset(f"pairs:{tmp_path}?units=mm")


def missing_picture(root):
    (root / "rgb/1.png").unlink()


def missing_depth(root):
    (root / "lidar/1.png").unlink()


def truncated_picture(root):
    data = (root / "rgb/1.png").read_bytes()
    (root / "rgb/1.png").write_bytes(data[: len(data) // 2])


def truncated_depth(root):
    data = (root / "lidar/1.png").read_bytes()
    (root / "lidar/1.png").write_bytes(data[:60])


def empty_depth(root):
    (root / "lidar/1.png").write_bytes(b"")


def wrong_size(root):
    save(root / "lidar/1.png", np.full((12, 17), 900, np.uint16))


def all_invalid(root):
    save(root / "lidar/1.png", np.zeros((12, 16), np.uint16))


def coloured_depth(root):
    save(root / "lidar/1.png", picture(0))


def wrong_unit(root):
    # Metres where millimetres are stated: 3 to 8 mm.
    save(root / "lidar/1.png", np.full((12, 16), 5, np.uint16))


DAMAGE = {
    missing_picture: "does not exist",
    missing_depth: "does not exist",
    truncated_picture: r"cannot be read \(.*rgb/1\.png: ",
    truncated_depth: r"cannot be read \(.*lidar/1\.png: ",
    empty_depth: r"cannot be read \(.*lidar/1\.png",
    wrong_size: "16x12 .*17x12",
    all_invalid: "no pixel with a valid depth",
    coloured_depth: "RGB pixels are a picture's",
    wrong_unit: "0.005 m: check unit=mm and scale=1",
}


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_every_damage_is_a_counted_skip(tmp_path, damage):
    path = write_pairs(tmp_path, 6)
    damage(tmp_path)
    dataset = open_dataset(f"pairs:{path}")
    with pytest.raises(SampleError, match=DAMAGE[damage]) as caught:
        dataset[1]
    assert "pairs sample rgb/1.png: " in str(caught.value)
    assert "\n" not in str(caught.value)

    def transform(sample, generator):
        return {"depth": sample.metric_depth()[0]}

    loader = Loader([dataset], transform, batch_size=6, seed=0)
    batch = loader.batch(0)
    assert list(loader.unreadable) == ["pairs/rgb/1.png"]
    assert np.isfinite(batch.arrays["depth"]).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, -3.0])
def test_values_that_are_no_depth_are_outside_the_mask(tmp_path, bad):
    save(tmp_path / "images" / "a.png", picture(0))
    values = depth(0)
    values[3, 4:9] = bad
    (tmp_path / "depth").mkdir()
    np.save(tmp_path / "depth" / "a.npy", values)
    sample = open_dataset(f"pairs:{tmp_path}?kind=metric_depth&unit=m")[0]
    assert sample.mask.sum() == 12 * 16 - 5 and not sample.mask[3, 4:9].any()
    assert np.isfinite(sample.target).all()
    assert np.isfinite(sample.inverse_depth()[0]).all()


@pytest.mark.parametrize("name", ["diode", "sintel", "eth3d", "blendedmvs", "irs"])
def test_files_cut_at_any_byte_are_sample_errors(tmp_path, name):
    getattr(layouts, f"write_{name}")(tmp_path)
    dataset = open_dataset(f"{name}:{tmp_path}")
    patterns = {"diode": "*_depth.npy", "sintel": "*.dpt", "irs": "d_*.exr"}
    patterns |= {"eth3d": "ground_truth_depth/**/*.JPG", "blendedmvs": "*.pfm"}
    path = min(tmp_path.rglob(patterns[name]))
    data = path.read_bytes()
    generator = np.random.default_rng(0)
    for length in [0, 1, len(data) - 1, *generator.integers(0, len(data), 12)]:
        path.write_bytes(data[:length])
        with pytest.raises(SampleError, match=f"{name} sample {dataset.names[0]}"):
            dataset[0]


def test_an_offset_is_added_before_the_scale(tmp_path):
    """Middlebury: depth = f b / (d + doffs), so inverse depth = (d + doffs) / (f b)."""
    for name in ("images", "depth"):
        (tmp_path / name).mkdir()
    Image.new("RGB", (4, 3)).save(tmp_path / "images" / "a.png")
    np.save(tmp_path / "depth" / "a.npy", np.full((3, 4), 70.0, np.float32))
    focal, baseline, doffs = 3962.0, 0.193, 32.8
    scale = 1 / (focal * baseline)
    options = f"kind=inverse_depth&unit=1/m&scale={scale!r}&offset={doffs}"
    sample = open_dataset(f"pairs:{tmp_path}?{options}")[0]
    depth, _ = sample.metric_depth()
    np.testing.assert_allclose(depth, focal * baseline / (70 + doffs), rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image;depth\na.png;a.npy\n", r"'image;depth': columns separated by ';'"),
        ("a.png,a.npy\nb.png,b.npy\n", r"'a\.png,a\.npy': no header"),
        ("image,depth,ofset\na.png,a.npy,3\n", r"'ofset'; did you mean 'offset'"),
    ],
)
def test_a_csv_of_another_form_is_quoted(tmp_path, text, message):
    (tmp_path / "own.csv").write_text(text)
    with pytest.raises(DatasetError, match=message):
        open_dataset(f"pairs:{tmp_path}/own.csv?kind=depth")


def test_columns_that_mean_nothing_are_ignored_by_name(tmp_path):
    text = "image,depth,split,timestamp\na.png,a.npy,train,7\n"
    (tmp_path / "own.csv").write_text(text)
    dataset = open_dataset(f"pairs:{tmp_path}/own.csv?kind=depth")
    assert dataset.ignored == ("split", "timestamp") and len(dataset) == 1
