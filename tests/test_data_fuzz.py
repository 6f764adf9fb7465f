"""Random damage to manifests and files: a sentence or a sample, never anything else."""

import json

import data_layouts as layouts
import numpy as np
import pytest
from data_layouts import depth, picture, save

from jax_depth.data import DatasetError, Loader, SampleError, open_dataset
from jax_depth.data.loader import TooManyUnreadable

# Damaged sizes may look like decompression bombs, which Pillow warns about.
pytestmark = pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")


def damaged(data: bytes, generator: np.random.Generator) -> bytes:
    """Return bytes with one to three of them changed, removed, added or cut off."""
    for _ in range(generator.integers(1, 4)):
        place = int(generator.integers(0, max(len(data), 1)))
        new = bytes([generator.integers(0, 256)])
        data = {
            0: lambda d, i, n: d[:i] + n + d[i + 1 :],
            1: lambda d, i, n: d[:i] + n + d[i:],
            2: lambda d, i, n: d[:i] + d[i + 1 :],
            3: lambda d, i, n: d[:i],
        }[int(generator.integers(0, 4))](data, place, new)
    return data


def read_all(text: str) -> str:
    """Read a dataset; return what became of it, anything else is raised."""
    try:
        dataset = open_dataset(text)
    except DatasetError as error:
        assert "\n" not in str(error) and len(str(error)) < 2000
        return "refused"
    outcome = "read"
    for index in range(len(dataset)):
        try:
            sample = dataset[index]
        except SampleError as error:
            assert "\n" not in str(error) and dataset.names[index] in str(error)
            outcome = "skipped"
        else:
            assert sample.mask.any() and np.isfinite(sample.target).all()
    return outcome


@pytest.fixture
def pairs(tmp_path):
    rows = []
    for seed in range(3):
        save(tmp_path / f"images/{seed}.png", picture(seed))
        values = np.rint(depth(seed) * 1000).astype(np.uint16)
        save(tmp_path / f"depth/{seed}.png", values)
        rows.append({"image": f"images/{seed}.png", "depth": f"depth/{seed}.png"})
        rows[-1] |= {"kind": "metric_depth", "unit": "mm", "scale": 1, "invalid": "0"}
    return tmp_path, rows


def manifest(root, rows, form: str):
    """Write the rows in one of the forms; return the file and what opens it."""
    if form == "csv":
        lines = [",".join(rows[0])] + [",".join(map(str, r.values())) for r in rows]
        path, text = root / "m.csv", "\n".join(lines) + "\n"
    elif form == "jsonl":
        path, text = root / "m.jsonl", "".join(json.dumps(r) + "\n" for r in rows)
    else:
        path, text = root / "pairs.json", '{"kind": "metric_depth", "unit": "mm"}'
    path.write_text(text)
    return path, f"pairs:{root if form == 'folder' else path}"


@pytest.mark.parametrize("form", ["csv", "jsonl", "folder"])
def test_damaged_manifests(pairs, form):
    path, text = manifest(*pairs, form)
    assert read_all(text) == "read"
    whole, generator = path.read_bytes(), np.random.default_rng(1)
    outcomes = set()
    for _ in range(150):
        path.write_bytes(damaged(whole, generator))
        outcomes.add(read_all(text))
    assert "refused" in outcomes


# Layout -> the files that are damaged. OpenEXR and HDF5 read in C, where a changed byte
# may cost the process: their files are cut off, below and in test_data_pairs.
FILES = {
    "diode": ("*_depth.npy", "*_mask.npy", "*.png"),
    "sintel": ("*.dpt", "*.cam", "*.png"),
    "eth3d": ("*.JPG",),
    "blendedmvs": ("*.pfm", "*_cam.txt", "*.jpg"),
    "vkitti2": ("depth_*.png", "intrinsic.txt", "*.jpg"),
    "kitti": ("*.png", "calib_cam_to_cam.txt"),
    "tartanair": ("*_depth.npy", "*.png"),
}


@pytest.mark.parametrize("name", FILES)
def test_damaged_files(tmp_path, name):
    getattr(layouts, f"write_{name}")(tmp_path)
    generator, text = np.random.default_rng(2), f"{name}:{tmp_path}"
    outcomes = set()
    for pattern in FILES[name]:
        for path in sorted(tmp_path.rglob(pattern))[:2]:
            whole = path.read_bytes()
            for _ in range(25):
                path.write_bytes(damaged(whole, generator))
                outcomes.add(read_all(text))
            path.write_bytes(whole)
    assert "skipped" in outcomes and read_all(text) == "read"


@pytest.mark.parametrize(
    ("name", "pattern", "options"),
    [
        ("hypersim", "*.depth_meters.hdf5", "?cameras=standard"),
        ("vkitti2", "depth_*.png", ""),
        ("kitti", "groundtruth/**/*.png", ""),
        ("tartanair", "*_depth.npy", ""),
    ],
)
def test_files_cut_at_any_byte(tmp_path, name, pattern, options):
    arguments = (np.eye(3) * (1, 1, -1),) if name == "hypersim" else ()
    getattr(layouts, f"write_{name}")(tmp_path, *arguments)
    text, path = f"{name}:{tmp_path}{options}", min(tmp_path.rglob(pattern))
    data, whole = path.read_bytes(), [sample.target for sample in open_dataset(text)]
    outcomes = set()
    for length in np.random.default_rng(3).integers(0, len(data) - 1, 12):
        path.write_bytes(data[:length])
        outcomes.add(outcome := read_all(text))
        if outcome == "read":  # all but a checksum at the end was there
            found = [sample.target for sample in open_dataset(text)]
            np.testing.assert_array_equal(found, whole)
    assert "skipped" in outcomes


def test_a_cut_nyu_file_is_refused(tmp_path):
    layouts.write_nyu(tmp_path)
    path = tmp_path / "nyu_depth_v2_labeled.mat"
    data = path.read_bytes()
    for length in np.random.default_rng(3).integers(0, len(data) - 1, 12):
        path.write_bytes(data[:length])
        assert read_all(f"nyu:{tmp_path}?depth=raw&split=all") != "read"


def test_a_wholly_damaged_set_ends_with_a_sentence(pairs):
    root, rows = pairs
    _, text = manifest(root, rows, "jsonl")
    for path in (root / "depth").iterdir():
        path.write_bytes(b"no picture")
    loader = Loader([open_dataset(text)], lambda s, g: {}, batch_size=2, seed=0)
    with pytest.raises(TooManyUnreadable, match=r"20 samples in a row .*cannot be re"):
        loader.batch(0)
    assert len(loader.unreadable) == 3
