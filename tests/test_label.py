"""`jax-depth label`: labels that train, in parts, through interruptions and damage."""

import json
import os
from pathlib import Path

import data_layouts as layouts
import numpy as np
import pytest
from data_layouts import picture, save
from fake_estimator import FakeEstimator
from PIL import Image

from jax_depth.cli import label
from jax_depth.cli.main import main
from jax_depth.data import DatasetError, SampleError, open_dataset, shards

# Compiling is nearly all they do.
pytestmark = pytest.mark.usefixtures("cheap_programs")


@pytest.fixture
def fake(monkeypatch, tmp_path):
    """Put a teacher whose depth is the red channel in place of every other."""
    estimator = FakeEstimator()
    monkeypatch.setattr(label, "load_estimator", lambda args: estimator)
    monkeypatch.chdir(tmp_path)
    return estimator


def photos(count=7):
    for seed in range(count):
        # Different sizes, two with one stem, and folders.
        suffix = "jpg" if seed == 1 else "png"
        save_as = f"photos/{'deep/' if seed % 2 else ''}{seed // 2}.{suffix}"
        save(Path(save_as), picture(seed % 3, 10 + seed, 16))


def check(dataset, names=None):
    """Every label is its picture's red channel, to half of a 16-bit step."""
    for sample in dataset:
        red = sample.rgb[:, :, 0].astype(np.float32)
        assert (sample.kind, sample.unit) == ("inverse_depth", None)
        assert sample.mask.all()
        np.testing.assert_allclose(sample.target, red, atol=255 / 131070 + 1e-4)
    if names is not None:
        assert sorted(dataset.names) == sorted(names)


def manifest(path):
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def all_names():
    return open_dataset("unlabelled:photos").names


def test_labels_of_a_folder_train(fake, capsys):
    photos()
    assert main(["label", "photos", "-o", "out"]) == 0
    assert (
        "7 of 7 labelled in out; train with --pseudo labels:out"
        in capsys.readouterr().out
    )
    check(open_dataset("labels:out"), all_names())
    rows = manifest("out/labels-00000-of-00001.jsonl")
    assert rows[-1] == {"complete": True, "labels": 7, "failed": []}
    assert rows[0]["teacher"] == "fake"
    # The manifest of one part is readable by its own name too.
    check(open_dataset("labels:out/labels-00000-of-00001.jsonl"), all_names())


def test_parts_are_disjoint_and_all_are_needed(fake):
    photos()
    assert main(["label", "photos", "-o", "out", "--shard", "0/3", "--quiet"]) == 0
    assert main(["label", "photos", "-o", "out", "--shard", "2/3", "--quiet"]) == 0
    with pytest.raises(DatasetError, match=r"00001-of-00003.* is missing; .*1/3"):
        open_dataset("labels:out")
    assert main(["label", "photos", "-o", "out", "--shard", "1/3", "--quiet"]) == 0
    dataset = open_dataset("labels:out")
    assert len(dataset.names) == len(set(dataset.names))
    check(dataset, all_names())


def test_another_number_of_parts_is_refused(fake, capsys):
    photos(3)
    assert main(["label", "photos", "-o", "out", "--shard", "0/3", "--quiet"]) == 0
    assert main(["label", "photos", "-o", "out"]) == 2
    assert "labels of a run in 3 parts" in capsys.readouterr().err
    for word in ("3/3", "1", "a/b"):
        assert main(["label", "photos", "-o", "out", "--shard", word]) == 2
        assert "is not I/N" in capsys.readouterr().err


def test_a_killed_run_goes_on_where_it_stopped(fake, monkeypatch):
    photos()
    calls = []

    def dying(self, pixels, ask=FakeEstimator.run):
        calls.append(len(pixels))
        if len(calls) == 4:  # every photo has a size of its own
            raise KeyboardInterrupt
        return ask(self, pixels)

    monkeypatch.setattr(FakeEstimator, "run", dying)
    assert main(["label", "photos", "-o", "out", "--quiet"]) == 130
    path = "out/labels-00000-of-00001.jsonl"
    done = [row["name"] for row in manifest(path)]
    assert len(done) == 3
    with pytest.raises(DatasetError, match="is unfinished"):
        open_dataset("labels:out")
    check(open_dataset(f"labels:{path}"), done)
    # As a power cut leaves it: half a line, and a file that never got one.
    with open(path, "a") as file:
        file.write('{"name": "2.p')
    os.remove(f"out/depth/{done[1]}.png")
    calls.clear()
    calls.extend([0] * 4)
    assert main(["label", "photos", "-o", "out", "--quiet"]) == 0
    assert sum(calls) == 5
    check(open_dataset("labels:out"), all_names())
    calls.clear()
    assert main(["label", "photos", "-o", "out", "--quiet"]) == 0
    assert not calls


def test_another_teacher_is_refused(fake, capsys):
    photos(4)
    assert main(["label", "photos", "-o", "out", "--quiet"]) == 0
    os.remove("out/depth/0.png.png")
    fake.config.name = "other"
    assert main(["label", "photos", "-o", "out"]) == 2
    assert "were made by fake, this is other" in capsys.readouterr().err


def test_what_fails_is_named_and_left_out(fake, capsys):
    photos(5)
    with open("photos/broken.jpg", "wb") as file:
        file.write(b"\xff\xd8\xff")
    assert main(["label", "photos", "-o", "out"]) == 1
    out, err = capsys.readouterr()
    assert "broken.jpg" in err and "5 of 6 labelled in out, 1 failed" in out
    dataset = open_dataset("labels:out")
    check(dataset, set(all_names()) - {"broken.jpg"})


def test_pictures_of_16_bits_are_labelled_as_predict_sees_them(fake):
    red = np.linspace(0, 65535, 160).reshape(10, 16).astype(np.uint16)
    os.makedirs("photos")
    Image.fromarray(red).save("photos/wide.png")
    for packed in ([], ["--packed"]):
        out = f"out{len(packed)}"
        assert main(["label", "photos", "-o", out, "--quiet", *packed]) == 0
        sample = open_dataset(f"{'packed' if packed else 'labels'}:{out}")[0]
        step = 0.5 / 65535 + 1e-6
        np.testing.assert_allclose(sample.target, red / 65535, rtol=0, atol=step)
        # Rows of training have 8 bits.
        want = np.rint(red[..., None].repeat(3, 2) / 257)
        np.testing.assert_allclose(sample.rgb.astype(float), want, rtol=0, atol=1)


def test_a_map_that_is_not_finite_is_left_out(fake, monkeypatch, capsys):
    from jax_depth.depth_map import DepthMap

    photos(3)

    def sick(self, output, shape):
        return DepthMap(np.full(shape, np.nan if shape[0] == 11 else 1), "depth")

    monkeypatch.setattr(FakeEstimator, "finish", sick)
    assert main(["label", "photos", "-o", "out"]) == 1
    assert "the teacher's depth is not finite" in capsys.readouterr().err
    assert len(open_dataset("labels:out")) == 2


def test_a_changed_file_is_noticed(fake):
    photos(3)
    assert main(["label", "photos", "-o", "out", "--quiet"]) == 0
    dataset = open_dataset("labels:out")
    path = Path(f"out/depth/{dataset.names[0]}.png")
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    with pytest.raises(SampleError, match="does not have the checksum"):
        dataset[0]
    check([dataset[1], dataset[2]])


def test_rendered_shards_are_labelled_without_copying_them(fake, tmp_path):
    for number in range(2):
        frames = [
            shards.RenderedFrame(
                picture(i), layouts.depth(i), {"index": 3 * number + i}
            )
            for i in range(3)
        ]
        shards.write_shard(shards.shard_path("frames", "train", number), frames)
    source = "rendered:frames?split=train"
    assert main(["label", source, "-o", "out", "--quiet"]) == 0
    names = open_dataset(source).names
    os.mkdir("elsewhere")
    os.chdir("elsewhere")  # the labels find their pictures from anywhere
    check(open_dataset("labels:../out"), names)
    os.chdir("..")
    assert not any(name.endswith((".jpg", ".zip")) for name in os.listdir("out"))


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("nowhere", "nowhere does not exist"),
        ("empty", "holds no pictures"),
        ("rendred:/x", "did you mean 'rendered'"),
    ],
)
def test_a_wrong_source_is_usage(fake, capsys, source, sentence):
    os.mkdir("empty")
    assert main(["label", source, "-o", "out"]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('{"name": "a"}', "line 1 .* is not a label .*depth"),
        ("[]", "line 1 .* is not a label"),
    ],
)
def test_a_damaged_manifest_is_a_sentence(tmp_path, line, sentence):
    path = tmp_path / "labels-00000-of-00001.jsonl"
    path.write_text(line + "\n" + '{"complete": true}\n')
    with pytest.raises(DatasetError, match=sentence):
        open_dataset(f"labels:{path}")
    path.write_text("")
    with pytest.raises(DatasetError, match="is unfinished"):
        open_dataset(f"labels:{tmp_path}")
