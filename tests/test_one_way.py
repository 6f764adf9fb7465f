"""One picture, one map: whatever shows a network pictures shows it the same ones."""

import dataclasses
import json

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from PIL import Image
from small_models import RELATIVE
from torch.nn.functional import interpolate
from transformers.models.dpt.image_processing_pil_dpt import DPTImageProcessorPil

import jax_depth
from jax_depth import checkpoint
from jax_depth.cli.main import main
from jax_depth.config import IMAGENET_MEAN, IMAGENET_STD
from jax_depth.data.dataset import Dataset
from jax_depth.data.sample import labelled_sample
from jax_depth.evaluation.benchmark import DepthBenchmark, default_alignment
from jax_depth.evaluation.protocols import PROTOCOLS
from jax_depth.evaluation.records import Records
from jax_depth.evaluation.run import run
from jax_depth.inference.preprocess import resized_crop, served, to_network
from jax_depth.models.depth_anything import forward
from jax_depth.models.initialize import init
from jax_depth.training.augment import Augmentation, augment
from jax_depth.training.held_out_steps import Steps
from jax_depth.training.step import normalize_rgb

# Compiling is nearly all they do.
pytestmark = pytest.mark.usefixtures("cheap_programs")
CONFIG = dataclasses.replace(RELATIVE, name="depth-anything-small", image_size=56)
PARAMS = init(CONFIG, jax.random.key(0))
ONE = jax.devices()[:1]
SIZES = [(60, 80), (45, 100), (133, 57)]
WAYS = {
    "v1": ("original", "half_pixel"),
    "v2": ("original", "aligned"),
    "tiny": ("transformers", "aligned"),
    "transformers": ("transformers", "bicubic"),
}


def _photo(size, seed=0):
    noise = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), np.uint8)
    return cv2.resize(noise, size[::-1], interpolation=cv2.INTER_CUBIC)


def _config(way):
    resample, restore = WAYS[way]
    return dataclasses.replace(CONFIG, resample=resample, restore=restore)


def _network(pixels):
    return torch.from_numpy(np.array(forward(PARAMS, jnp.asarray(pixels), CONFIG)))


def _authors_chain(photo, aligned):
    """`run.py` of V1 and `infer_image` of V2 around the network."""
    h, w = photo.shape[:2]
    scale = 56 / min(h, w)
    rows, columns = (max(int(np.round(x * scale / 14)) * 14, 56) for x in (h, w))
    image = cv2.resize(photo / 255.0, (columns, rows), interpolation=cv2.INTER_CUBIC)
    image = (image - IMAGENET_MEAN) / IMAGENET_STD
    depth = _network(image.astype(np.float32)[None])
    return interpolate(depth[None], (h, w), mode="bilinear", align_corners=aligned)[
        0, 0
    ].numpy()


def _pipeline(photo):
    """transformers' processor and `post_process_depth_estimation`."""
    processor = DPTImageProcessorPil(
        size={"height": 56, "width": 56},
        keep_aspect_ratio=True,
        ensure_multiple_of=14,
        image_mean=list(IMAGENET_MEAN),
        image_std=list(IMAGENET_STD),
    )
    pixels = processor(photo, return_tensors="np", input_data_format="channels_last")
    depth = _network(np.moveaxis(pixels["pixel_values"], 1, -1))
    output = type("Output", (), {"predicted_depth": depth})
    (found,) = processor.post_process_depth_estimation(output, [photo.shape[:2]])
    return found["predicted_depth"].numpy()


@pytest.mark.parametrize(
    "size", [*SIZES[:2], pytest.param(SIZES[2], marks=pytest.mark.slow)]
)
def test_each_family_is_exact_from_photo_to_map(size):
    photo = _photo(size)
    for expected, estimator in (
        (_authors_chain(photo, False), _estimator("v1")),
        (_authors_chain(photo, True), _estimator("v2")),
        (_pipeline(photo), _estimator("v2", resample="transformers")),
    ):
        values = estimator(photo).values
        assert expected.std() > 0 and values.shape == size
        np.testing.assert_allclose(values, expected, rtol=0, atol=1e-5 * expected.std())


def _estimator(way, **options):
    return jax_depth.Estimator(PARAMS, _config(way), devices=ONE, **options)


@pytest.mark.parametrize("way", WAYS)
def test_predict_eval_the_judge_and_a_row_of_training_agree(way, tmp_path, monkeypatch):
    config, photo = _config(way), _photo((70, 70))
    expected = _estimator(way)(photo).values
    scale = expected.std()

    checkpoint.save(tmp_path / "model", PARAMS, config)
    Image.fromarray(photo).save(tmp_path / "photo.png")
    monkeypatch.chdir(tmp_path)
    argv = ["predict", "photo.png", "--model", "model", "--format", "npy", "-o", "out"]
    assert main([*argv, "--quiet"]) == 0
    (file,) = (tmp_path / "out").glob("*.npy")
    np.testing.assert_allclose(np.load(file), expected, atol=1e-6 * scale)

    judge = Steps(PARAMS, config, config.image_size, ONE)
    judged = np.asarray(judge.run(judge.prepare(photo)))[0]
    judged = judge.finish(judged, photo.shape[:2])
    np.testing.assert_allclose(judged, expected, rtol=0, atol=2e-6 * scale)

    seen = []
    _evaluate(config, photo, tmp_path / "eval", seen)
    np.testing.assert_allclose(seen[0].values, expected, rtol=0, atol=1e-6 * scale)

    plain = dataclasses.replace(Augmentation.flip_only(), flip_share=0.0)
    truth = np.ones(photo.shape[:2], np.float32)
    rng = np.random.default_rng(0)
    view, _ = augment(photo, truth, (56, 56), plain, rng, config.resample)
    pixels = normalize_rgb(jnp.asarray(view[None]), config)
    np.testing.assert_allclose(
        pixels, jax_depth.preprocess(photo, config), rtol=0, atol=2e-6
    )
    # A size that the judge stretches to, too.
    row = resized_crop(photo, (42, 70), config.resample)
    np.testing.assert_allclose(
        to_network(photo, config, size=(42, 70)),
        normalize_rgb(jnp.asarray(row[None]), config),
        rtol=0,
        atol=2e-6,
    )


def _evaluate(config, photo, folder, seen):
    class Samples(Dataset):
        names = ("a",)

        def __init__(self):
            pass

        def _read(self, index):
            depth = np.linspace(1, 5, photo[..., 0].size, dtype=np.float32)
            depth = depth.reshape(photo.shape[:2])
            return labelled_sample(photo, depth, "metric_depth", "m", "a")

    protocol = dataclasses.replace(PROTOCOLS["diode"], images=0)
    alignment = default_alignment("inverse_depth", protocol)
    benchmark = DepthBenchmark(Samples(), protocol, alignment)
    judge = benchmark.judge
    benchmark.judge = lambda depth, truth: seen.append(depth) or judge(depth, truth)
    folder.mkdir()
    estimator = jax_depth.Estimator(PARAMS, config, devices=ONE)
    assert list(run(benchmark, estimator, Records(folder, {}))) == [("a", None)]


def test_a_crop_is_resized_as_a_picture_of_its_size():
    photo, rng = _photo((100, 90)), np.random.default_rng(0)
    settings = dataclasses.replace(
        Augmentation.flip_only(), flip_share=0.0, crop=(0.5, 0.5)
    )
    where = np.arange(9000, dtype=np.float32).reshape(100, 90)
    view, at = augment(photo, where, (28, 28), settings, rng, "original")
    first, last = (divmod(int(at[i, i]), 90) for i in (0, -1))
    top, left = first
    crop = None
    for t in range(max(top - 2, 0), top + 1):
        for l in range(max(left - 2, 0), left + 1):
            part = photo[t : t + 45, l : l + 45]
            wanted = cv2.resize(part / 255.0, (28, 28), interpolation=cv2.INTER_CUBIC)
            if np.abs(wanted - view).max() < 1e-6:
                crop = t, l
    assert crop is not None and last[0] < crop[0] + 45
    assert view.dtype == np.float32


def test_the_catalogue_says_how_each_model_comes_back():
    for name, entry in jax_depth.MODELS.items():
        v1 = name in ("depth-anything-small", "depth-anything-base") or (
            name == "depth-anything-large"
        )
        if name.startswith(("depth-anything-v2", "tiny", "distill")):
            assert entry.config.restore == "aligned", name
        if v1 or name.startswith(("depth-anything-3", "prompt")):
            assert entry.config.restore == "half_pixel", name
        if entry.config.metric is not None:
            assert entry.config.metric.restore == "half_pixel", name


def test_a_protocol_given_by_hand_sets_both_ways():
    v1 = _config("v1")
    assert served(v1).restore == "half_pixel"
    assert served(v1, 70, "original") == dataclasses.replace(v1, image_size=70)
    theirs = served(v1, resample="transformers")
    assert (theirs.resample, theirs.restore) == ("transformers", "bicubic")
    assert _estimator("v1", resample="transformers").restore == "bicubic"
    assert served(_config("v2"), resample="lower_bound_crop").restore == "half_pixel"


@pytest.mark.parametrize(
    ("name", "restore"),
    [
        ("depth-anything-base", "half_pixel"),
        ("depth-anything-3-mono-large", "half_pixel"),
        ("mine", "aligned"),
    ],
)
def test_a_description_without_the_field_takes_its_model_s(name, restore, tmp_path):
    config = dataclasses.replace(CONFIG, name=name, restore="bicubic")
    checkpoint.save(tmp_path / "model", PARAMS, config)
    file = tmp_path / "model" / "config.json"
    assert jax_depth.load_params(tmp_path / "model")[1].restore == "bicubic"
    document = json.loads(file.read_text())
    del document["restore"]
    file.write_text(json.dumps(document))
    assert jax_depth.load_params(tmp_path / "model")[1].restore == restore


def test_an_unknown_way_back_is_refused(as_installed):
    with pytest.raises(ValueError, match="'cubic' is not one of aligned"):
        dataclasses.replace(CONFIG, restore="cubic")
