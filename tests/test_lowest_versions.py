"""The lowest versions that pyproject.toml allows run what the package is for."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
PHOTO = ROOT / "examples" / "cat.jpg"

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Return a folder to work in and the variables of a fresh environment."""
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("needs uv, which resolves to the lowest versions: pip install uv")
    folder = tmp_path_factory.mktemp("lowest")
    place = folder / "venv"
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, place], check=True)
    python = place / "bin" / "python"
    install = [uv, "pip", "install", "--resolution", "lowest-direct"]
    install += ["--python", python, f"{ROOT}[train,export,video,app]"]
    done = subprocess.run(install, capture_output=True, text=True)
    if done.returncode and "error sending request" in done.stderr.lower():
        pytest.skip("needs an index of packages, and none is reached")
    assert done.returncode == 0, done.stderr[-3000:]
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    path = f"{place / 'bin'}{os.pathsep}{kept['PATH']}"
    offline = {"HF_HUB_OFFLINE": "1", "JAX_PLATFORMS": "cpu"}
    cache = {"XDG_CACHE_HOME": str(folder / "cache")}
    return folder, kept | offline | cache | {"PATH": path}


def command(environment, *words, program="jax-depth"):
    """Run a command in the environment; return what it printed."""
    folder, variables = environment
    done = subprocess.run(
        [program, *map(str, words)],
        capture_output=True,
        text=True,
        cwd=folder,
        env=variables,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    return done.stdout


def test_predict(environment):
    command(environment, "predict", PHOTO, "--size", 96, "-o", "out")
    assert any((environment[0] / "out").iterdir())


def test_convert(environment):
    command(environment, "convert", "tiny", "--to", "native")
    words = ("predict", PHOTO, "--size", 96, "-o", "again", "--model", "native")
    command(environment, *words)
    script = (
        "import jax, jax_depth, jax_depth_convert as c, numpy as np;"
        "config = jax_depth.MODELS['depth-anything-v2-small'].config;"
        "params = jax_depth.init(config, jax.random.key(0));"
        "c.write(params, config, 'model.pth', 'original', None);"
        "state = c.read('model.pth'); back = c.from_torch(state, config);"
        "pairs = zip(jax.tree.leaves(params), jax.tree.leaves(back), strict=True);"
        "assert all(np.array_equal(a, b) for a, b in pairs)"
    )
    command(environment, "-c", script, program="python")


def test_train(environment):
    few = ("--set", "run.steps=2", "--set", "optimizer.warmup=1")
    command(environment, "train", "smoke", "--workdir", "run", *few)
    command(environment, "train", "--resume", "run", "--set", "run.steps=3")


@pytest.mark.parametrize("suffix", ["stablehlo", "onnx"])
def test_export(environment, suffix):
    command(environment, "export", "tiny", "-o", f"tiny.{suffix}", "--size", 96)
    assert (environment[0] / f"tiny.{suffix}").stat().st_size > 1e7


def test_video(environment):
    av = pytest.importorskip("av")
    path = environment[0] / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for k in range(3):
            picture = np.full((64, 96, 3), 60 * k, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = k, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    command(environment, "video", path, "--size", 56, "-o", "film.mp4")
    assert (environment[0] / "film.mp4").stat().st_size > 0


def test_the_app_starts(environment):
    folder, variables = environment
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["jax-depth", "app", "--port", str(port), "--size", "56"]
    with open(folder / "app.log", "w") as log:
        server = subprocess.Popen(words, cwd=folder, env=variables, stderr=log)
    try:
        address = f"http://127.0.0.1:{port}"
        for _ in range(300):
            assert server.poll() is None, (folder / "app.log").read_text()[-3000:]
            try:
                urllib.request.urlopen(f"{address}/health").close()
                break
            except OSError:  # not yet there, or closed while it starts
                time.sleep(1)
        with urllib.request.urlopen(f"{address}/") as page:
            assert b"gradio" in page.read()
        request = urllib.request.Request(f"{address}/depth", PHOTO.read_bytes())
        with urllib.request.urlopen(request) as answer:
            assert answer.read().startswith(b"\x89PNG")
    finally:
        server.terminate()
        server.wait(60)
