"""Every command and every snippet of the README runs as it stands there."""

import csv
import re
import shlex
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image
from training_run import one_device

import jax_depth_convert
from jax_depth import checkpoint
from jax_depth.catalog import MODELS
from jax_depth.cli.main import _parse, main
from jax_depth.models.initialize import init
from jax_depth.training import mesh as meshes
from jax_depth.training.overrides import override
from jax_depth.training.recipes import RECIPES
from jax_depth.training.start import model_config

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
COMMANDS = [
    command.strip()
    for language, text in BLOCKS
    if language == "bash"
    for line in text.splitlines()
    for command in line.split("&&")
    if line and not line.startswith("#")
]
# The CI script installs, this is a test, and tests/test_app_* call the server.
ELSEWHERE = ("pip install", "pytest", "jax-depth app", "curl")

pytestmark = pytest.mark.usefixtures("cheap_programs")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Work where a reader would: photos, and random weights for published ones."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    shutil.copy(ROOT / "examples" / "coffee.jpg", tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAX_DEPTH_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def weights(folder):
    """Put a ViT-S where a download would, and a `.pth` of it beside the photos."""
    name = "depth-anything-v2-small"
    config = MODELS[name].config
    native = folder / "cache" / name
    checkpoint.save(native, init(config, jax.random.key(0)), config)
    file = "depth_anything_v2_vits.pth"
    jax_depth_convert.convert(native, None, folder / file, to="original")


@pytest.fixture
def trainable(folder, monkeypatch):
    """Make the manifest's pair, a teacher, and recipes of two steps of a small net."""
    (table,) = (text for language, text in BLOCKS if language == "csv")
    (folder / "pairs.csv").write_text(table)
    (row,) = csv.DictReader(table.splitlines())
    for key in ("image", "depth"):
        (folder / row[key]).parent.mkdir(exist_ok=True)
    shutil.copy(folder / "photo.jpg", folder / row["image"])
    with Image.open(folder / row["image"]) as photo:
        shape = photo.height, photo.width
    Image.fromarray(np.full(shape, 2500, np.uint16)).save(folder / row["depth"])

    small = ["model.architecture=smoke", "model.init=", "model.init_parts=all"]
    small += ["loss.feature=0", "data.size=28", "data.batch=8", "run.steps=2"]
    small += ["optimizer.warmup=0", "run.evaluate_images=2", "model.remat=false"]
    for name in ("finetune", "v2-student", "smoke"):
        monkeypatch.setitem(RECIPES, name, override(RECIPES[name], small))
    monkeypatch.setattr(meshes, "make_mesh", one_device)
    teacher = model_config(RECIPES["smoke"])
    name = "depth-anything-v2-large"
    checkpoint.save(folder / "cache" / name, init(teacher, jax.random.key(0)), teacher)


@pytest.mark.slow
def test_commands(folder, weights, trainable, as_installed, capsys):
    done = []
    for command in COMMANDS:
        if command.startswith(ELSEWHERE):
            continue
        program, *arguments = shlex.split(command, comments=True)
        assert program == "jax-depth", f"{command}: run by no test"
        assert main(arguments) == 0, (command, capsys.readouterr().err)
        done.append(arguments[0])
    assert {"predict", "models", "convert", "label"} <= set(done)
    assert done.count("train") == 3
    assert (folder / "my-model-hf" / "config.json").is_file()
    assert len(list((folder / "depth_out").rglob("*.png"))) >= 6


# Pages whose snippets stand alone.
PAGES = (
    "three-dimensions",
    pytest.param("ecosystem", marks=pytest.mark.long),
    pytest.param("functions", marks=pytest.mark.long),
)


@pytest.mark.parametrize("page", PAGES)
def test_snippets_of_docs(page, folder):
    text = (ROOT / "docs" / f"{page}.md").read_text()
    snippets = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert snippets
    for code in snippets:
        exec(compile(code, page, "exec"), {})


@pytest.mark.slow
def test_snippets_beside_other_libraries(folder, weights):
    test_snippets_of_docs("coming-from", folder)


@pytest.mark.parametrize(
    "code", [text for language, text in BLOCKS if language == "python"]
)
def test_snippets(code, folder):
    exec(compile(code, "README.md", "exec"), {})


def test_every_model_is_listed():
    for name in MODELS:
        stem = re.sub(r"-(small|base|large|giant)(-registers)?$", "", name)
        assert f"`{stem}" in README, name


@pytest.mark.parametrize(
    "page",
    [
        *("README.md", "CONTRIBUTING.md", "convert/README.md", "examples/README.md"),
        *("jax_depth/assets/tiny/MODEL_CARD.md", "scripts/tiny/README.md"),
        *(str(page.relative_to(ROOT)) for page in sorted((ROOT / "docs").glob("*.md"))),
    ],
)
def test_links_and_options_exist(page):
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)[^)]*\)", text):
        assert ((ROOT / page).parent / target).exists(), target
    for line in re.findall(r"^jax-depth ([^\\|&\"`\n]*)$", text, re.MULTILINE):
        words = shlex.split(line.replace("...", ""), comments=True)
        _parse(words)  # SystemExit: no such option


def test_every_picture_is_made_by_a_command_that_is_named():
    text = (ROOT / "CONTRIBUTING.md").read_text().split("\n## Pictures\n")[1]
    made: dict[str, str] = {}
    for line in re.findall(r"^\| (`.*) \|$", text.split("\n## ")[0], re.M):
        names, commands = line.split(" | ", 1)
        for name in re.findall(r"`([^`]+)`", names):
            made[name] = commands
    images = ROOT / "docs" / "images"
    assert set(made) == {path.name for path in images.iterdir()}
    for name, commands in made.items():
        script = re.search(r"`python (\S+\.py)[ `]", commands)
        assert script and (ROOT / script[1]).is_file(), name
    # All others are photos, and whose they are is said.
    photos = (ROOT / "examples" / "README.md").read_text()
    for folder in ("convert", "docs", "examples", "jax_depth", "scripts"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".jpg", ".png", ".gif", ".webp", ".svg", ".mp4"):
                assert path.parent == images or f"| `{path.name}` |" in photos, path
