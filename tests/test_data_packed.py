"""Many samples in few files: what is written, found again, damaged, missing."""

import json
import resource

import numpy as np
import pytest
from PIL import Image

from jax_depth.data import DatasetError, SampleError, open_dataset
from jax_depth.data.packed import Packer, begin, pack, record, segments_in
from jax_depth.training.shapes import Shapes


def test_a_dataset_comes_back_bit_by_bit(tmp_path):
    shapes = Shapes(count=7)
    assert pack(shapes, tmp_path, rows=3) == 7
    names = sorted(p.name for p in tmp_path.glob("packed-*"))
    assert names == [
        "packed-000000000-000000003-3.array_record",
        "packed-000000003-000000006-3.array_record",
        "packed-000000006-000000007-1.array_record",
    ]
    packed = open_dataset(f"packed:{tmp_path}")
    assert len(packed) == 7 and packed.names[6] == "000000006"
    for want, got in zip(shapes, packed, strict=True):
        np.testing.assert_array_equal(got.rgb, want.rgb)
        np.testing.assert_array_equal(got.mask, want.mask)
        np.testing.assert_array_equal(got.target, want.target)
        assert (got.kind, got.unit, got.name) == (want.kind, want.unit, want.name)


class Torn(Shapes):
    """Some samples cannot be read."""

    def _read(self, index):
        if index in (0, 4, 5, 6):
            raise SampleError(f"{index} is torn")
        return super()._read(index)


def test_what_cannot_be_read_is_left_out_and_listed(tmp_path):
    assert pack(Torn(count=8), tmp_path, rows=3) == 4
    assert [(s.start, s.stop, s.count) for s in segments_in(tmp_path)] == [
        (0, 3, 2),
        (3, 6, 1),
        (6, 8, 1),
    ]
    listed = "".join(p.read_text() for p in sorted(tmp_path.glob("*.failed.txt")))
    assert [int(line.split()[-3]) for line in listed.splitlines()] == [0, 4, 5, 6]
    names = [sample.name for sample in open_dataset(f"packed:{tmp_path}")]
    assert names == [f"train/{i:05d}" for i in (1, 2, 3, 7)]


def test_an_interrupted_copy_goes_on(tmp_path, monkeypatch):
    class Stopping(Shapes):
        def _read(self, index):
            if index == 4:
                raise KeyboardInterrupt
            return super()._read(index)

    with pytest.raises(KeyboardInterrupt):
        pack(Stopping(count=7), tmp_path, rows=3)
    with pytest.raises(DatasetError, match=f"{tmp_path} is unfinished: samples 4 to 6"):
        open_dataset(f"packed:{tmp_path}")
    assert pack(Shapes(count=7), tmp_path, rows=3) == 7
    names = [sample.name for sample in open_dataset(f"packed:{tmp_path}")]
    assert names == Shapes(count=7).names
    with pytest.raises(DatasetError, match="is of rows=7, not 9; choose another"):
        pack(Shapes(count=9), tmp_path)


def test_damage_is_a_sample_error(tmp_path):
    pack(Shapes(count=2), tmp_path)
    (segment,) = segments_in(tmp_path)
    data = bytearray(segment.path.read_bytes())
    data[data.index(b"IDAT") + 9] ^= 0xFF
    segment.path.write_bytes(data)
    dataset = open_dataset(f"packed:{tmp_path}")
    with pytest.raises(SampleError, match="damaged"):
        for sample in dataset:
            assert sample.rgb.size


def test_labels_are_written_packed_and_go_on(tmp_path, monkeypatch, capsys):
    from fake_estimator import FakeEstimator

    from jax_depth.cli import label as command

    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(5):
        Image.new("RGB", (20, 10), (40 * i, 90, 50)).save(photos / f"{i}.png")
    (photos / "3.png").write_bytes(b"no picture")
    monkeypatch.setattr(command, "_estimator_for_tests", None, raising=False)
    from jax_depth.cli.labelling import Labelling

    out = tmp_path / "out"
    labelling = Labelling(str(photos), out, packed=True)
    labelling.run(FakeEstimator(), quiet=True)
    assert (labelling.total, labelling.labelled, labelling.failed) == (5, 4, 1)
    dataset = open_dataset(f"packed:{out}")
    assert [s.name for s in dataset] == ["0.png", "1.png", "2.png", "4.png"]
    assert dataset[0].kind in ("inverse_depth", "depth", "metric_depth")
    assert not Labelling(str(photos), out, packed=True).todo
    about = json.loads((out / "packed.json").read_text())
    assert about["rows"] == 5 and about["teacher"]


@pytest.mark.slow
def test_two_million_rows_open_in_three_seconds_and_a_hundred_megabytes(tmp_path):
    """What opening costs does not grow with the samples but with their files."""
    rows = 2_000_000
    begin(tmp_path, rows, {})
    packer = Packer(tmp_path, rows)
    data = record("name", "depth", None, b"picture", b"depth")
    for number in range(rows):
        packer.add(number, data)
    packer.close()
    before = resource.getrusage(resource.RUSAGE_SELF)
    dataset = open_dataset(f"packed:{tmp_path}")
    after = resource.getrusage(resource.RUSAGE_SELF)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    grown = (after.ru_maxrss - before.ru_maxrss) / 1024
    print(f"{len(dataset)} rows: {spent:.2f} CPU-s, {grown:.1f} MB more")
    assert len(dataset) == rows
    assert grown < 100
    assert spent < 3
