"""The commands and the Python of docs/prompted-depth.md, run from top to bottom."""

import re
import shlex
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image
from training_run import one_device

import jax_depth
from jax_depth import checkpoint
from jax_depth.cli.main import main
from jax_depth.models.initialize import init
from jax_depth.training import mesh as meshes
from jax_depth.training.overrides import override
from jax_depth.training.recipes import RECIPES
from jax_depth.training.start import model_config

PAGE = Path(__file__).parent.parent / "docs" / "prompted-depth.md"
SMALL = (
    "model.architecture=smoke-prompt",
    "model.init=",
    "data.size=28",
    "data.batch=8",
    "data.threads=1",
    "run.evaluate_images=2",
    "optimizer.warmup=0",
)


@pytest.mark.long
def test_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(meshes, "make_mesh", one_device)
    monkeypatch.setenv("JAX_DEPTH_CACHE", str(tmp_path / "cache"))
    recipe = override(RECIPES["prompt-finetune"], SMALL)
    monkeypatch.setitem(RECIPES, "prompt-finetune", recipe)
    config = model_config(recipe)
    name = "prompt-depth-anything-small"
    checkpoint.save(tmp_path / "cache" / name, init(config, jax.random.key(0)), config)
    rng = np.random.default_rng(0)
    lidar = rng.uniform(1, 4, (12, 16)).astype(np.float32)
    for photo, prompt in (
        ("photo.jpg", "lidar.png"),
        ("photos/a/1.jpg", "lidar/a/1.png"),
    ):
        for path in (photo, prompt):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (42, 56, 3), np.uint8)
        Image.fromarray(pixels).save(photo)
        Image.fromarray((lidar * 1000).astype(np.uint16)).save(prompt)
    np.save("lidar.npy", lidar)
    for folder in ("pairs/images", "pairs/depth"):
        Path(folder).mkdir(parents=True)
    Image.open("photo.jpg").save("pairs/images/a.jpg")
    np.save("pairs/depth/a.npy", rng.uniform(1, 4, (42, 56)))
    Path("pairs/pairs.json").write_text('{"kind": "metric_depth", "unit": "m"}')

    text = PAGE.read_text()
    blocks = re.findall(r"^```bash\n(.*?)^```$", text, re.M | re.S)
    commands = [line for block in blocks for line in block.splitlines()]
    assert len(commands) == 3
    for command in commands:
        assert main(shlex.split(command)[1:]) == 0, command
    assert list(Path("depth").glob("photo*")) and list(Path("depths/a").glob("1*"))
    (code,) = re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S)
    names: dict = {}
    exec(code, names)
    assert jax_depth.DepthMap.load("metres.npz").shape == (42, 56)
    assert [depth.unit for depth in names["maps"]] == ["m", "m"]
    assert jax_depth.load("runs/prompt").config.name.startswith("prompt-finetune")
