"""`jax-depth eval`: numbers, files, stopping and going on, several processes."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import jax_depth
from jax_depth import evaluation
from jax_depth.cli import eval as command
from jax_depth.cli.main import main
from jax_depth.depth_map import DepthMap
from jax_depth.inference.stream import stream
from jax_depth.models.output import Output

# Compiling is nearly all they do.
pytestmark = pytest.mark.usefixtures("cheap_programs")

COFFEE = Path(__file__).parents[1] / "examples" / "coffee.jpg"


class Fake:
    """Predicts the red channel; remembers and can refuse or be stopped."""

    def __init__(self, kind="inverse_depth", batch_size=2):
        self.config = type("Config", (), {"name": "fake", "kind": kind})
        self.params = {"w": np.arange(3, dtype=np.float32)}
        self.size, self.resample, self.batch_size = 518, "original", batch_size
        self.restore, self.engine = "aligned", "xla"
        self.seen = 0
        self.stop_after = None

    def prepare(self, picture, *, name=None):
        return picture[None]

    def run(self, pixels):
        if self.stop_after is not None and self.seen >= self.stop_after:
            raise KeyboardInterrupt
        self.seen += len(pixels)
        return Output(pixels[..., 0].astype(np.float32))

    def finish(self, output, shape):
        unit = "m" if self.config.kind == "metric_depth" else None
        return DepthMap(output.depth, self.config.kind, unit)

    def __call__(self, images):
        return [depth for _, depth in stream(images, self)]


@pytest.fixture
def fake(monkeypatch, tmp_path):
    estimator = Fake()
    monkeypatch.setattr(command, "load_estimator", lambda args: estimator)
    monkeypatch.chdir(tmp_path)
    return estimator


@pytest.fixture
def diode(tmp_path):
    """Write seven scans, the third of them without its mask, the fifth without depth.

    Return name -> red channel, depth and mask of the good ones.
    """
    rng = np.random.default_rng(0)
    good = {}
    for k in range(7):
        folder = tmp_path / "data/val/indoors/scene_00001/scan_00001"
        folder.mkdir(parents=True, exist_ok=True)
        rgb = rng.integers(0, 256, (18, 25, 3), dtype=np.uint8)
        depth = rng.uniform(1, 60, (18, 25, 1)).astype(np.float32)
        mask = (rng.random((18, 25, 1)) < 0.8).astype(np.float32) * (k != 4)
        Image.fromarray(rgb).save(folder / f"{k}.png")
        np.save(folder / f"{k}_depth.npy", depth)
        if k != 2:
            np.save(folder / f"{k}_depth_mask.npy", mask)
        if k not in (2, 4):
            red = rgb[..., 0].astype(np.float32)
            name = f"indoors/scene_00001/scan_00001/{k}"
            good[name] = red, depth[..., 0], mask[..., 0] > 0
    return good


def evaluate(*words):
    return main(["eval", "diode", "--data", "data", *words])


def files(folder):
    return {
        name: (folder / name).read_text() for name in ("summary.json", "images.csv")
    }


def test_numbers_files_and_the_worst(fake, diode, tmp_path, capsys):
    assert evaluate("-o", "out", "--worst", "2") == 1  # some were skipped
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    each = {
        name: evaluation.evaluate(red, depth, mask, max_depth=50.0)
        for name, (red, depth, mask) in diode.items()
    }
    for metric in ("abs_rel", "rmse", "silog", "d1", "spearman"):
        want = np.mean([row[metric] for row in each.values()])
        np.testing.assert_allclose(summary["means"][metric], want, rtol=1e-12)
    assert summary["images"] == 5 and summary["complete"]
    settings = summary["settings"]
    assert (settings["align"], settings["space"]) == ("scale_shift", "disparity")
    assert settings["floor"] == 1 / 50
    (one, two) = summary["skipped"]
    assert one["name"].endswith("/2") and "2_depth_mask.npy does not exist" in str(one)
    assert two["name"].endswith("/4") and "no pixel with a valid depth" in str(two)
    rows = list(csv.DictReader(files(tmp_path / "out")["images.csv"].splitlines()))
    assert [row["name"][-1] for row in rows] == list("0123456")
    for row in rows:
        if row["name"] in each:
            assert float(row["abs_rel"]) == each[row["name"]]["abs_rel"]
    order = sorted(each, key=lambda name: -each[name]["abs_rel"])
    assert [entry["name"] for entry in summary["worst"]] == order[:2]
    pictures = sorted(path.name for path in (tmp_path / "out/worst").iterdir())
    assert [p[:3] for p in pictures] == ["01_", "02_"]
    with Image.open(tmp_path / "out/worst" / pictures[0]) as panel:
        assert panel.size == (3 * 25 + 100, 18)
    out, err = capsys.readouterr()
    assert "5 of 7 images judged" in out and "has 771 images" in out
    assert f"abs_rel         {summary['means']['abs_rel']:10.4f}" in out
    assert "skipped: diode sample indoors/scene_00001/scan_00001/2" in err


def test_a_stopped_run_goes_on(fake, diode, tmp_path):
    evaluate("-o", "whole")
    fake.seen, fake.stop_after = 0, 2
    assert evaluate("-o", "parts") == 130
    with open(tmp_path / "parts/records-0000.jsonl", "a") as file:
        file.write('{"index": 3, "na')  # as if killed while writing
    fake.seen, fake.stop_after = 0, None
    assert evaluate("-o", "parts", "--worst", "0") == 1
    assert fake.seen == 3
    assert (
        files(tmp_path / "parts")["images.csv"]
        == files(tmp_path / "whole")["images.csv"]
    )
    fake.seen = 0
    assert evaluate("-o", "parts", "--worst", "0") == 1
    assert fake.seen == 0


def test_results_do_not_depend_on_processes_or_batches(fake, diode, tmp_path, capsys):
    evaluate("-o", "one")
    want = files(tmp_path / "one")
    fake.batch_size = 5
    evaluate("-o", "batches")
    assert files(tmp_path / "batches") == want
    for k in (2, 0, 1):
        capsys.readouterr()
        evaluate("-o", "three", "--shard", f"{k}/3", "--batch-size", "4")
    assert files(tmp_path / "three") == want
    assert "not done" not in capsys.readouterr().out


def test_a_folder_of_other_results_is_refused(fake, diode, capsys):
    evaluate("-o", "out")
    assert evaluate("-o", "out", "--align", "median") == 2
    err = capsys.readouterr().err
    assert "align 'scale_shift' where this one has 'median'" in err
    fake.params = {"w": np.ones(3, np.float32)}
    assert evaluate("-o", "out") == 2
    assert "with parameters '" in capsys.readouterr().err


def test_metric_models_are_compared_as_they_are(fake, diode, tmp_path):
    fake.config.kind = "metric_depth"
    evaluate("-o", "out")
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert (summary["settings"]["align"], summary["settings"]["space"]) == (
        "none",
        "depth",
    )
    red, depth, mask = diode["indoors/scene_00001/scan_00001/0"]
    want = evaluation.evaluate(
        red, depth, mask, align="none", space="depth", max_depth=50.0
    )
    rows = list(csv.DictReader(files(tmp_path / "out")["images.csv"].splitlines()))
    assert float(rows[0]["abs_rel"]) == want["abs_rel"]


def test_doubtful_and_impossible_images_are_named(fake, diode, tmp_path, capsys):
    path = tmp_path / "data/val/indoors/scene_00001/scan_00001"
    Image.new("RGB", (25, 18)).save(path / "0.png")
    np.save(path / "1_depth.npy", np.full((18, 25, 1), 60, np.float32))
    evaluate("-o", "out")
    out = capsys.readouterr().out
    assert "doubtful: indoors/scene_00001/scan_00001/0: " in out
    assert "scan_00001/1: no valid pixel " in out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["diode", "--data", "nowhere"], "nowhere does not exist"),
        (["diode", "--data", "data?split=test"], "split='test' is unknown"),
        (["diode", "--data", "data", "--space", "depth"], "gives inverse depth"),
        (["diode", "--data", "data", "--floor", "0"], "floor 0.0 must be"),
        (["diode", "--data", "data", "--max-depth", "0"], "--max-depth 0 is not"),
        (["diode", "--data", "data", "--shard", "2/2"], "is not K/N with K below N"),
        (["da-2k", "--data", "data"], "annotations.json cannot be read"),
        (["mine", "--data", "data"], "invalid choice"),
        (["diode", "--data", "data", "-o", "/dev/null/x"], "cannot be written to"),
        (["diode", "--data", "data", "--worst", "-1"], "not a whole number above 0"),
        (["own", "--data", "foo:x"], "the dataset 'foo' is unknown; known: "),
    ],
)
def test_wrong_usage(fake, diode, capsys, words, sentence):
    assert main(["eval", *words]) == 2
    assert sentence in capsys.readouterr().err


def test_a_crop_in_pixels_of_another_size_skips_the_picture(fake, diode, capsys):
    from jax_depth.evaluation.protocols import EIGEN, GARG

    with pytest.raises(ValueError, match=r"25x18, .* crop is defined at 640x480"):
        EIGEN.mask((18, 25))
    assert EIGEN.mask((480, 640)).sum() == (471 - 45) * (601 - 41)
    rows, columns = np.nonzero(GARG.mask((375, 1242)))
    # The integers printed by the code of Monodepth and its descendants.
    assert (rows.min(), rows.max() + 1) == (153, 371)
    assert (columns.min(), columns.max() + 1) == (44, 1197)


def test_da2k_of_a_constant_prints_zero(fake, tmp_path, capsys):
    entry = {"point1": [1, 2], "point2": [3, 4], "closer_point": "point1"}
    (tmp_path / "data/images/aerial").mkdir(parents=True)
    Image.new("RGB", (8, 6)).save(tmp_path / "data/images/aerial/a.png")
    text = json.dumps({"images/aerial/a.png": [entry]})
    (tmp_path / "data/annotations.json").write_text(text)
    assert main(["eval", "da-2k", "--data", "data", "-o", "out", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["means"] == {"aerial": 0.0, "all": 0.0}
    assert len(list((tmp_path / "out/worst").iterdir())) == 1


@pytest.mark.slow
def test_tiny_gives_the_same_numbers_in_any_batch_on_any_devices(diode, tmp_path):
    import jax

    from jax_depth.data.registry import open_dataset
    from jax_depth.evaluation.benchmark import DepthBenchmark, default_alignment
    from jax_depth.evaluation.protocols import PROTOCOLS
    from jax_depth.evaluation.records import Records
    from jax_depth.evaluation.run import run

    data = open_dataset(f"diode:{tmp_path / 'data'}")
    protocol = PROTOCOLS["diode"]
    alignment = default_alignment("inverse_depth", protocol)
    benchmark = DepthBenchmark(data, protocol, alignment)
    found = []
    for count, devices in ((1, 1), (4, 2)):
        estimator = jax_depth.load(
            "tiny", size=56, batch_size=count, devices=jax.devices()[:devices]
        )
        folder = tmp_path / f"{count}-{devices}"
        folder.mkdir()
        records = Records(folder, {})
        list(run(benchmark, estimator, records, count))
        lines = records.judged().values()
        found.append(benchmark.means([line for line in lines if "metrics" in line]))
    for other in found[1:]:
        for name, value in found[0].items():
            # Other batches are other programs, whose maps agree to 1e-5 of their
            # deviation. Values of a density of at most .8 a deviation (twice a normal
            # one's) then move by 0.8e-5 of all n ranks r, and the correlation
            # 12 / n^3 sum r s by no more than 12 * 0.8e-5 * mean |s| / n, where
            # mean |s| is n / 4: 2.4e-5.
            atol = 2.4e-5 if name == "spearman" else 0
            np.testing.assert_allclose(other[name], value, 2e-6, atol, err_msg=name)


@pytest.mark.long
def test_the_transformers_way_resizes_as_transformers_does():
    estimator = jax_depth.load("tiny", size=56, resample="transformers")
    # A photo: of noise trained weights make a nearly flat map.
    rgb = np.asarray(Image.open(COFFEE).resize((90, 61)))
    (got,) = estimator([rgb])
    # Sizes mixed, two of one size in one batch; in order.
    first, _, third = estimator([rgb, rgb[:, :61], rgb[::-1]])
    np.testing.assert_allclose(first.values, got.values, atol=1e-4)
    assert third.shape == got.shape and np.abs(third.values - got.values).max() > 1e-2
    pixels = jax_depth.preprocess(
        rgb, estimator.config, size=56, resample="transformers"
    )
    raw = torch.from_numpy(np.array(estimator.run(pixels).depth))
    want = torch.nn.functional.interpolate(
        raw[None], (61, 90), mode="bicubic", align_corners=False
    )[0, 0].numpy()
    np.testing.assert_allclose(got.values, want, atol=1e-4 * np.ptp(want))
    # As the model serves by itself, it is brought back otherwise.
    plain = jax_depth.load("tiny", size=56)(rgb).values
    assert np.abs(plain - want).max() > 1e-2 * np.ptp(want)
