"""`Estimator.clip`: which frames are seen together, how windows become one film."""

import functools
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from test_temporal import TOY, _toy
from test_windows import _indices, _published

import jax_depth
from jax_depth.inference.clip import short_side
from jax_depth.models.clips import clip_depth_sharded
from jax_depth.models.sharding import everywhere, mesh_of

# Compiling is nearly all they do.
pytestmark = pytest.mark.usefixtures("cheap_programs")

RNG = np.random.default_rng(7)
FRAMES = RNG.integers(0, 256, (60, 24, 40, 3), dtype=np.uint8)


@functools.cache
def estimator():
    return jax_depth.Estimator(_toy(), TOY, size=28, devices=jax.devices()[:1])


def test_no_frames_are_no_maps():
    assert list(estimator().clip([])) == []


@pytest.mark.slow
def test_a_clip_is_its_windows_stitched_at_the_frames_size():
    model = estimator()
    maps = list(model.clip(iter(FRAMES), stitch="exact"))
    assert len(maps) == 60
    assert {(m.values.shape, m.kind, m.unit) for m in maps} == {
        ((24, 40), "inverse_depth", None)
    }
    pixels = np.stack([model.prepare(frame)[0] for frame in FRAMES])
    run = jax.jit(jax_depth.forward, static_argnums=2)
    clips = []
    table = _indices(60)
    for numbers in table:
        raw = np.asarray(run(_toy(), pixels[None, numbers], TOY)[0])
        clips.append([model.depth_map(x, (24, 40)).values for x in raw])
    expected = _published(table, np.array(clips), 60)
    found = np.array([m.values for m in maps])
    assert np.abs(found - expected).max() < 3e-5 * expected.max()


@pytest.mark.slow
def test_eight_devices_share_the_frames_of_a_window():
    model = jax_depth.Estimator(_toy(), TOY, size=28, devices=jax.devices())
    expected = [m.values for m in estimator().clip(FRAMES[:3])]
    found = [m.values for m in model.clip(FRAMES[:3])]
    np.testing.assert_allclose(found, expected, rtol=0, atol=3e-6 * np.max(expected))

    # Frames for positions and back in each module; nothing else is sent.
    mesh = mesh_of(model.params, 32, "data")
    assert mesh is not None and mesh.size == 8
    pixels = np.concatenate([model.prepare(frame) for frame in FRAMES[:32]])
    shared = jax.jit(functools.partial(clip_depth_sharded, config=TOY, mesh=mesh))
    text = shared.lower(everywhere(model.params, mesh), pixels).as_text()
    assert len(re.findall(r"all_to_all", text)) == 8
    assert not re.findall(r"all_gather|all_reduce|collective_permute", text)


@pytest.mark.slow
def test_streaming_is_the_pure_functions():
    model = estimator()
    maps = list(model.clip(FRAMES[:4], streaming=True))
    params, pixels = model.params, [model.prepare(frame) for frame in FRAMES[:4]]
    state = jax_depth.stream_init(params, TOY, pixels[0].shape[1:3])
    step = jax.jit(jax_depth.stream_step, static_argnums=3)
    for x, found in zip(pixels, maps, strict=True):
        state, output = step(params, state, x, TOY)
        expected = model.depth_map(np.asarray(output.depth)[0], (24, 40))
        np.testing.assert_allclose(found.values, expected.values, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_another_size_begins_another_clip():
    small = RNG.integers(0, 256, (3, 40, 24, 3), dtype=np.uint8)
    maps = list(estimator().clip([*FRAMES[:2], *small]))
    assert [m.shape for m in maps] == [(24, 40)] * 2 + [(40, 24)] * 3
    alone = list(estimator().clip(small))
    np.testing.assert_array_equal(maps[2].values, alone[0].values)


@pytest.mark.long
def test_a_photo_is_a_clip_of_one_frame():
    model = estimator()
    depth = model(FRAMES[0])
    raw = jax_depth.forward(_toy(), model.prepare(FRAMES[0])[:, None], TOY)[0, 0]
    expected = model.depth_map(np.asarray(raw), (24, 40))
    np.testing.assert_allclose(depth.values, expected.values, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_frames_of_a_model_of_pictures_are_steadied():
    model = jax_depth.load("tiny", size=32, resample="original")
    bright = [np.clip(FRAMES[0] * g, 0, 255).astype(np.uint8) for g in (1, 0.9, 0.8)]
    maps = list(model.clip(bright))
    np.testing.assert_array_equal(maps[0].values, model(bright[0]).values)
    finer = FRAMES[1].astype(np.float32) / 255 + np.float32(1e-3)  # between two bytes
    (alone,) = model.clip([np.clip(finer, 0, 1)])
    np.testing.assert_array_equal(alone.values, model(np.clip(finer, 0, 1)).values)
    single = model(bright[2]).values
    scale, shift = np.polyfit(single.ravel(), maps[2].values.ravel(), 1)
    np.testing.assert_allclose(maps[2].values, scale * single + shift, atol=1e-4)
    assert abs(scale - 1) > 1e-4


# Width x height of frames -> what the network sees, from the published code.
SEEN = [(1920, 1080, 518), (2560, 1080, 392), (1280, 536, 392), (3840, 1600, 378)]
SEEN += [(1080, 2400, 420), (2000, 300, 140)]


@pytest.mark.parametrize(("width", "height", "short"), SEEN)
def test_wide_frames_are_seen_smaller(width, height, short):
    assert short_side((height, width), 518, 14) == short


def test_what_cannot_be_is_said_at_once(as_installed):
    model = estimator()
    with pytest.raises(ValueError, match="stitch 'loose' is unknown; use steady or"):
        model.clip(FRAMES, stitch="loose")
    for path in ("clip.mp4", Path("clip.mp4")):
        with pytest.raises(ValueError, match=r"jax_depth\.video\.VideoDepth"):
            model.clip(path)
    with pytest.raises(ValueError, match=r"frame 1"):
        list(model.clip([FRAMES[0], np.zeros((4, 4, 5), np.uint8)]))


@pytest.mark.long
def test_memory_does_not_grow_with_the_clip(tmp_path):
    code = """
import resource, sys
sys.path.insert(0, "tests")
import numpy as np
from test_clip import estimator
rng = np.random.default_rng(0)
def frames(n):
    for _ in range(n):
        yield rng.integers(0, 256, (24, 40, 3), dtype=np.uint8)
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
for streaming in (False, True):
    assert sum(1 for _ in estimator().clip(frames(200), streaming=streaming)) == 200
    before = peak()
    assert sum(1 for _ in estimator().clip(frames(2000), streaming=streaming)) == 2000
    print(streaming, before, peak())
    assert peak() < before + 30
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_the_command_writes_what_clip_gives(tmp_path, monkeypatch, capsys):
    pytest.importorskip("av", reason="needs jax_depth[video]")
    from clips import read_clip, write_clip

    from jax_depth import checkpoint
    from jax_depth.cli.main import main

    monkeypatch.chdir(tmp_path)
    checkpoint.save(tmp_path / "model", _toy(), TOY)
    write_clip("a.mp4", FRAMES[:5], crf="1")
    seen, _ = read_clip("a.mp4")
    command = ["video", "a.mp4", "--model", "model", "--size", "28"]
    for words, options in (([], {}), (["--streaming"], {"streaming": True})):
        assert main([*command, "--format", "npz", *words]) == 0
        with np.load("depth_out/a_depth.npz") as arrays:
            found = arrays["values"]
        expected = [m.values for m in estimator().clip(seen, **options)]
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    assert main([*command, "--engine", "openvino"]) == 2
    assert "cannot run video models" in capsys.readouterr().err
    (tmp_path / "a.png").write_bytes(b"never read")
    assert main(["compare", "a.png", "--models", "tiny", "model"]) == 2
    assert "'model' is a video model" in capsys.readouterr().err
    assert main(["video", "a.mp4", "--streaming"]) == 2
    assert "'tiny' sees single pictures" in capsys.readouterr().err
