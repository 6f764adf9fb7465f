"""Shards of rendered frames: what is written comes back, damage is noticed."""

import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from jax_depth.camera import Intrinsics
from jax_depth.data import shards
from jax_depth.data.rendered import Rendered
from jax_depth.data.sample import DatasetError, SampleError


def _frame(index: int, height: int, width: int) -> shards.RenderedFrame:
    rng = np.random.default_rng(index)
    disparity = rng.uniform(0.001, 3.0, (height, width)).astype(np.float32)
    disparity[: height // 3] = 0.0
    smooth = np.linspace(0, 255, height * width * 3).reshape(height, width, 3)
    record = {"index": index, "seed": 5, "kind": "indoor"}
    return shards.RenderedFrame(smooth.astype(np.uint8), disparity, record)


def test_shard_returns_what_was_written(tmp_path):
    frames = [_frame(250, 24, 40), _frame(251, 32, 32), _frame(252, 40, 24)]
    path = shards.shard_path(tmp_path, "train", 1)
    assert shards.write_shard(path, iter(frames)) == 3
    assert [p.name for p in path.parent.iterdir()] == ["shard-00001.zip"]
    shard = shards.Shard(path)
    assert [r["name"] for r in shard.records] == ["000250", "000251", "000252"]
    for position, frame in enumerate(frames):
        read = shard[position]
        scale = read.record["scale"]
        assert read.disparity.dtype == np.float32
        assert read.disparity.shape == frame.disparity.shape
        error = np.abs(read.disparity.astype(np.float64) - frame.disparity)
        assert error.max() <= scale * 0.5 + 1e-6
        assert ((read.disparity == 0) == (frame.disparity == 0)).all()
        assert np.abs(read.rgb.astype(int) - frame.rgb).mean() < 2
        assert (read.record["width"], read.record["height"]) == frame.rgb.shape[1::-1]


def test_stored_frames_open_without_our_reader(tmp_path):
    frame, path = _frame(7, 16, 20), tmp_path / "one.zip"
    shards.write_shard(path, [frame])
    with zipfile.ZipFile(path) as archive:
        assert {i.compress_type for i in archive.infolist()} == {zipfile.ZIP_STORED}
        record = json.loads(archive.read("index.jsonl"))
        png = Image.open(io.BytesIO(archive.read("000007.png")))
        assert png.mode in ("I;16", "I")
        values = np.asarray(png).astype(np.float64)
    assert values.max() == 65535
    np.testing.assert_allclose(values * record["scale"], frame.disparity, atol=3e-5)


def test_far_surfaces_never_become_sky():
    disparity = np.array([[2.0, 1e-6, 0.0]], np.float32)
    values, scale = shards.quantize(disparity)
    assert values.tolist() == [[65535, 1, 0]]
    assert scale == pytest.approx(2.0 / 65535, rel=1e-12)


@pytest.mark.parametrize("bad", [[[0.0, 0.0]], [[np.nan, 1.0]], [[-1.0, 1.0]]])
def test_quantize_refuses_what_is_no_disparity(bad):
    with pytest.raises(ValueError, match="disparity"):
        shards.quantize(np.array(bad))


def test_an_interrupted_shard_leaves_no_shard(tmp_path):
    def broken():
        yield _frame(0, 16, 16)
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        shards.write_shard(shards.shard_path(tmp_path, "train", 0), broken())
    assert shards.shard_paths(tmp_path, "train") == []


def test_a_damaged_member_is_noticed(tmp_path):
    path = shards.shard_path(tmp_path, "train", 0)
    shards.write_shard(path, [_frame(0, 16, 16), _frame(1, 16, 16)])
    data = bytearray(path.read_bytes())
    data[data.index(b"\xff\xda") + 40] ^= 0xFF  # in the first picture's scan
    path.write_bytes(data)
    shard = shards.Shard(path)
    with pytest.raises(ValueError, match=r"000000\.jpg is damaged"):
        shard[0]
    assert shard[1].rgb.shape == (16, 16, 3)
    with pytest.raises(SampleError, match=r"train/shard-00000/000000: .*damaged"):
        Rendered(tmp_path)[0]


def test_a_truncated_shard_is_named(tmp_path):
    path = shards.shard_path(tmp_path, "train", 0)
    shards.write_shard(path, [_frame(0, 16, 16)])
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DatasetError, match=r"shard-00000\.zip is damaged"):
        Rendered(tmp_path)


def test_rendered_frames_are_samples_over_all_shards(tmp_path):
    frames = [_frame(index, 16, 24) for index in range(5)]
    frames[3].record["focal"] = 20.0
    shards.write_shard(shards.shard_path(tmp_path, "train", 0), frames[:2])
    shards.write_shard(shards.shard_path(tmp_path, "train", 1), frames[2:])
    dataset = Rendered(tmp_path)
    assert dataset.names[1:3] == [
        "train/shard-00000/000001",
        "train/shard-00001/000002",
    ]
    assert len(list(dataset)) == len(dataset) == 5
    sample = dataset[3]
    assert (sample.kind, sample.unit) == ("inverse_depth", "1/m")
    assert sample.mask.all()  # the sky is known: it is infinitely far
    assert (sample.target[:5] == 0).all()
    np.testing.assert_allclose(sample.target, frames[3].disparity, atol=3e-5)
    assert sample.intrinsics == Intrinsics(20.0, 20.0, 11.5, 7.5)
    depth, mask = sample.metric_depth()
    assert not mask[:5].any() and mask[5:].all()
    np.testing.assert_allclose(depth[5:] * sample.target[5:], 1, rtol=1e-6)


def test_a_folder_without_shards_says_what_was_looked_for(tmp_path):
    with pytest.raises(DatasetError, match=r"heldout/shard-\*\.zip"):
        Rendered(tmp_path, "heldout")
