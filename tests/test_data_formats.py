"""Readers of published datasets: units, masks, cameras, and wrong folders."""

import inspect
from pathlib import Path

import data_layouts as layouts
import numpy as np
import pytest
from data_layouts import HEIGHT, WIDTH, depth, picture

from jax_depth.camera import Intrinsics
from jax_depth.data import DATASETS, DatasetError, SampleError, open_dataset
from jax_depth.data.hypersim import planar_factor
from jax_depth.data.pairs import _KNOWN
from jax_depth.data.registry import reader
from jax_depth.data.sample import Sample
from jax_depth.formats.folders import Names

ROWS = np.arange(HEIGHT)[:, None] + np.zeros((1, WIDTH), int)
# A shifted lens and a tilted one, 60 degrees wide and not.
SHIFTED = np.array([[0.5, 0, 0.03], [0, 0.4, -0.02], [0, 0, -1.0]])
TILTED = np.array([[0.6, 0.01, 0.0], [0, 0.45, 0.1], [0.02, 0.05, -0.9]])


def check(dataset, valid, *, kind="metric_depth", unit="m", rtol=1e-6, loss=1.5):
    """Compare three samples with what was written, pixels of the picture to `loss`."""
    assert len(dataset) == len(set(dataset.names)) == 3
    for seed, sample in enumerate(dataset):
        assert (sample.kind, sample.unit) == (kind, unit)
        assert sample.name == dataset.names[seed]
        assert np.abs(sample.rgb.astype(int) - picture(seed)).mean() <= loss
        np.testing.assert_array_equal(sample.mask, valid)
        np.testing.assert_allclose(
            sample.target, np.where(valid, depth(seed), 0), rtol=rtol
        )


@pytest.mark.parametrize("matrix", [SHIFTED, TILTED], ids=["shifted", "tilted"])
def test_hypersim_distance_becomes_planar_depth(tmp_path, matrix):
    written = layouts.write_hypersim(tmp_path, matrix)
    layouts.write_hypersim_metadata(tmp_path, matrix)
    dataset = open_dataset(f"hypersim:{tmp_path}")
    valid = (ROWS > 0) | (np.arange(WIDTH) > 0)
    assert dataset.names == list(written)
    # The third is stored in float16, as the published files are.
    check(dataset, valid, rtol=1e-3)
    for sample in list(dataset)[:2]:
        np.testing.assert_allclose(
            sample.target[valid], written[sample.name][valid], rtol=1e-6
        )


def test_hypersim_camera(tmp_path):
    layouts.write_hypersim(tmp_path, SHIFTED)
    layouts.write_hypersim_metadata(tmp_path, SHIFTED)
    camera = open_dataset(f"hypersim:{tmp_path}")[0].intrinsics
    # Project a ray back by hand: pixel (row 3, column 10).
    u, v = -1 + 10.5 * 2 / WIDTH, 1 - 3.5 * 2 / HEIGHT
    x, y, z = SHIFTED @ [u, v, 1]
    assert camera.cx + camera.fx * x / -z == pytest.approx(10, abs=1e-9)
    assert camera.cy - camera.fy * y / -z == pytest.approx(3, abs=1e-9)
    layouts.write_hypersim_metadata(tmp_path, TILTED)
    assert open_dataset(f"hypersim:{tmp_path}")[0].intrinsics is None


def test_hypersim_standard_camera_has_the_published_factor():
    from jax_depth.data.hypersim import _STANDARD

    factor = planar_factor(tuple(_STANDARD.ravel()), 768, 1024)
    # Of hypersim.py in Depth Anything V2, focal length 886.81.
    assert factor[0, 0] == pytest.approx(0.8111885856, rel=1e-5)
    assert factor[383, 511] == pytest.approx(0.9999996821, rel=1e-7)
    assert factor[0, 512] == pytest.approx(0.9178514099, rel=1e-5)


def test_hypersim_split_and_metadata(tmp_path):
    layouts.write_hypersim(tmp_path, SHIFTED)
    with pytest.raises(DatasetError, match=r"camera_parameters\.csv is not in"):
        open_dataset(f"hypersim:{tmp_path}")
    with pytest.raises(DatasetError, match=r"split_scene_v1\.csv is not in"):
        open_dataset(f"hypersim:{tmp_path}?split=test&cameras=standard")
    assert len(open_dataset(f"hypersim:{tmp_path}?cameras=standard")) == 3
    layouts.write_hypersim_metadata(tmp_path, SHIFTED)
    dataset = open_dataset(f"hypersim:{tmp_path}?split=test")
    assert dataset.names == ["ai_001_002/cam_00/0002"]
    with pytest.raises(DatasetError, match="no frame of the val split"):
        open_dataset(f"hypersim:{tmp_path}?split=val")


def test_vkitti2_is_centimetres_and_masks_the_sky(tmp_path):
    layouts.write_vkitti2(tmp_path)
    dataset = open_dataset(f"vkitti2:{tmp_path}")
    check(dataset, ROWS >= 2, rtol=5e-3)  # centimetres of 1 m and more
    assert dataset[0].target[2, 0] == pytest.approx(1.83, abs=1e-6)
    assert dataset[1].intrinsics == Intrinsics(725.0087, 725.5, 620.5, 187)
    both = open_dataset(f"vkitti2:{tmp_path}?camera=all")
    assert len(both) == 6
    assert {sample.intrinsics.cy for sample in both} == {187, 188}


def test_tartanair(tmp_path):
    layouts.write_tartanair(tmp_path)
    kept = ROWS != 1
    dataset = open_dataset(f"tartanair:{tmp_path}")
    assert dataset.names[0] == "office/Easy/P001/000000_left"
    mask, target = dataset[0].mask, dataset[0].target
    assert not mask[0].any() and mask[1:].all() and (target[1] == 50).all()
    # Where the office is believed up to 30 m.
    check(open_dataset(f"tartanair:{tmp_path}?cleaning=da3"), kept & (ROWS > 0))
    assert open_dataset(f"tartanair:{tmp_path}?far=30000")[0].mask.all()


def test_tartanair_leaves_out_the_amusement_park(tmp_path):
    layouts.write_tartanair(tmp_path)
    layouts.write_tartanair(tmp_path, "amusement")
    assert len(open_dataset(f"tartanair:{tmp_path}")) == 6
    assert len(open_dataset(f"tartanair:{tmp_path}?cleaning=da3")) == 3


def test_irs_disparity_becomes_metres(tmp_path):
    layouts.write_irs(tmp_path)
    dataset = open_dataset(f"irs:{tmp_path}")
    check(dataset, ROWS > 0)
    assert dataset.names[0] == "Store/ConvenienceStore/0"
    assert dataset[0].intrinsics == Intrinsics(480, 480, 7.5, 5.5)


def test_blendedmvs_has_no_unit(tmp_path):
    layouts.write_blendedmvs(tmp_path)
    dataset = open_dataset(f"blendedmvs:{tmp_path}")
    check(dataset, ROWS > 0, kind="depth", unit=None)
    assert dataset[0].intrinsics == Intrinsics(570.5, 571.5, 8.25, 6.5)
    with pytest.raises(ValueError, match="cannot become metres"):
        dataset[0].metric_depth()


@pytest.mark.parametrize(("choice", "first_row"), [("raw", 3), ("filled", 0)])
def test_nyu_raw_and_filled(tmp_path, choice, first_row):
    layouts.write_nyu(tmp_path)
    dataset = open_dataset(f"nyu:{tmp_path}?depth={choice}&split=all")
    check(dataset, first_row <= ROWS, loss=0)
    assert dataset[0].intrinsics.fx == pytest.approx(518.858, abs=1e-3)


def test_nyu_splits_count_from_one(tmp_path):
    layouts.write_nyu(tmp_path)
    train = open_dataset(f"nyu:{tmp_path}?depth=raw&split=train")
    assert train.names == ["0001", "0003"]
    np.testing.assert_array_equal(train[1].rgb, picture(2))
    path = tmp_path / "nyu_depth_v2_labeled.mat"
    test = open_dataset(f"nyu:{path}?depth=raw")
    assert test.names == ["0002"]
    with pytest.raises(DatasetError, match=r"depth=raw .* or depth=filled"):
        open_dataset(f"nyu:{tmp_path}")
    (tmp_path / "splits.mat").unlink()
    with pytest.raises(DatasetError, match=r"needs splits\.mat"):
        open_dataset(f"nyu:{tmp_path}?depth=raw")


def test_kitti_is_sparse(tmp_path):
    layouts.write_kitti(tmp_path)
    dataset = open_dataset(f"kitti:{tmp_path}")
    check(dataset, ROWS % 2 == 1, rtol=2e-3, loss=0)  # steps of 1/256 m
    assert dataset.names[0] == f"{layouts.DRIVE}/image_02/0000000005"
    assert dataset[0].intrinsics == Intrinsics(721.5, 722.5, 609.5, 172.8)


def test_kitti_lists_of_frames(tmp_path):
    layouts.write_kitti(tmp_path)
    stem = f"2011_09_26/{layouts.DRIVE}/image_02/data"
    truth = f"{layouts.DRIVE}/proj_depth/groundtruth/image_02"
    files = tmp_path / "eigen.txt"
    files.write_text(
        f"{stem}/0000000007.png {truth}/0000000007.png 721.5377\n"
        f"{stem}/0000000006.png None 721.5377\n"
        f"/mnt/raw/{stem}/0000000005.png /mnt/{truth}/0000000005.png\n"
    )
    dataset = open_dataset(f"kitti:{tmp_path}?files={files}")
    assert [name[-1] for name in dataset.names] == ["7", "5"]
    np.testing.assert_array_equal(dataset[0].rgb, picture(2))
    files.write_text(f"{stem}/0000000009.png {truth}/0000000009.png\n")
    with pytest.raises(DatasetError, match=r"1 of the 1 frames .* no depth map"):
        open_dataset(f"kitti:{tmp_path}?files={files}")
    files.write_text("indoor/1.png indoor/1.png\n")
    with pytest.raises(DatasetError, match=r"line 1 .* names no frame"):
        open_dataset(f"kitti:{tmp_path}?files={files}")


def test_diode_keeps_its_mask(tmp_path):
    layouts.write_diode(tmp_path)
    check(open_dataset(f"diode:{tmp_path}?split=val"), ROWS > 0, loss=0)
    check(open_dataset(f"diode:{tmp_path / 'val'}"), ROWS > 0, loss=0)
    assert len(open_dataset(f"diode:{tmp_path}?domain=outdoor")) == 1
    with pytest.raises(DatasetError, match="train/indoors"):
        open_dataset(f"diode:{tmp_path}?split=train")


def test_sintel_masks_the_sky(tmp_path):
    layouts.write_sintel(tmp_path)
    dataset = open_dataset(f"sintel:{tmp_path}")
    check(dataset, ROWS > 0, loss=0)
    assert dataset[0].intrinsics == Intrinsics(1120, 1121, 511.5, 217.5)
    clean = open_dataset(f"sintel:{tmp_path / 'training'}?rendering=clean&far=inf")
    np.testing.assert_array_equal(clean[0].rgb, picture(1))
    assert clean[0].mask.all()


def test_eth3d_masks_infinity(tmp_path):
    layouts.write_eth3d(tmp_path)
    dataset = open_dataset(f"eth3d:{tmp_path}")
    check(dataset, ROWS > 0)
    assert dataset.names[2] == "relief/DSC_0002"


def test_unlabelled_pictures_are_upright(tmp_path):
    from PIL import Image

    layouts.save(tmp_path / "b" / "one.png", picture(0))
    layouts.save(tmp_path / ".hidden" / "two.png", picture(0))
    (tmp_path / "notes.txt").write_text("no picture")
    exif = Image.Exif()
    exif[0x0112] = 6  # turned a quarter to the right
    Image.fromarray(picture(1)).save(tmp_path / "a.png", exif=exif)
    dataset = open_dataset(f"unlabelled:{tmp_path}")
    assert dataset.names == ["a.png", "b/one.png"]
    np.testing.assert_array_equal(dataset[0].rgb, np.rot90(picture(1), -1))
    assert dataset[0].target is None
    with pytest.raises(ValueError, match=r"a\.png: the sample has no depth; label"):
        dataset[0].inverse_depth()


def test_millions_of_unlabelled_pictures_are_few_bytes(tmp_path):
    """62 million are 62 / 0.002 times this."""
    for part in range(4):
        (tmp_path / f"{part}/a").mkdir(parents=True)
        for number in range(500):
            (tmp_path / f"{part}/a/sa_{number:07d}.jpg").touch()
    names = open_dataset(f"unlabelled:{tmp_path}").names
    assert isinstance(names, Names) and len(names) == 2000
    found = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.jpg"))
    assert names == found
    assert len(names._bytes) + names._ends.itemsize * len(names._ends) < 40 * 2000
    # Beside and below other pictures the order is the same.
    for odd in ("0.jpg", "0/z.jpg", "0/a/b/c.jpg", "0/a-b.PNG", "3/jpg", ".d/e.jpg"):
        (tmp_path / odd).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / odd).touch()
    more = open_dataset(f"unlabelled:{tmp_path}").names
    assert list(more) == sorted(
        [*found, "0.jpg", "0/z.jpg", "0/a/b/c.jpg", "0/a-b.PNG"]
    )
    assert more[1:3] == [more[1], more[2]] and more[-1] == found[-1]
    with pytest.raises(IndexError):
        more[len(more)]


@pytest.mark.parametrize("name", sorted(set(DATASETS) - {"pairs", "labels"}))
def test_an_empty_folder_says_what_was_looked_for(tmp_path, name):
    options = "?depth=raw" if name == "nyu" else ""
    with pytest.raises(DatasetError, match=r"holds no .* looked for") as caught:
        open_dataset(f"{name}:{tmp_path}{options}")
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("hypresim:/x", "did you mean 'hypersim'"),
        ("coco:/x", "'coco' is unknown; known: hypersim"),
        ("/data/hypersim", "write name:path"),
        ("kitti:/nowhere", "/nowhere does not exist"),
        ("irs:/x?side=left", "no option 'side'"),
        ("vkitti2:/?camera=2", "camera='2' is unknown; known: 0, 1, all"),
        ("vkitti2:/?camera", "name=value, joined by &"),
        ("irs:/x?weight=heavy", "weight=heavy is not a number"),
    ],
)
def test_a_wrong_name_or_option_is_a_sentence(text, sentence):
    with pytest.raises(DatasetError) as caught:
        open_dataset(text)
    assert sentence in str(caught.value)


def test_samples_refuse_contradictions():
    rgb, target = picture(0), depth(0)
    mask = np.ones(target.shape, bool)
    with pytest.raises(ValueError, match="in unit 'mm' is unknown"):
        Sample(rgb, target, mask, "metric_depth", "mm", "x")
    with pytest.raises(ValueError, match="target, mask and kind"):
        Sample(rgb, target, None, "metric_depth", "m", "x")
    with pytest.raises(ValueError, match="mask must be bool"):
        Sample(rgb, target, mask[1:], "metric_depth", "m", "x")


def test_a_missing_picture_is_a_sample_error(tmp_path):
    layouts.write_diode(tmp_path)
    dataset = open_dataset(f"diode:{tmp_path}")
    next(tmp_path.rglob("*_000_000.png")).unlink()
    with pytest.raises(SampleError, match=r"diode sample indoors/.* does not exist"):
        dataset[0]
    assert dataset[1].mask.any()


@pytest.mark.parametrize("name", DATASETS)
def test_every_format_is_in_the_manual_with_its_options(name):
    manual = (Path(__file__).parent.parent / "docs" / "training.md").read_text()
    (row,) = [line for line in manual.splitlines() if line.startswith(f"| `{name}`")]
    options = list(inspect.signature(reader(name)).parameters)[1:]
    options = list(_KNOWN)[-4:] if name == "pairs" else options
    assert [option for option in options if f"`{option}" not in row] == []
    assert all(f"`{key}`" in manual for key in _KNOWN)
