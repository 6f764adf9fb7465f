"""The house: who may import whom, what the README promises, what a wheel contains."""

import ast
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted(
    path
    for folder in ("jax_depth", "convert", "scripts", "tests")
    for path in (ROOT / folder).rglob("*.py")
)

# A room may import those of lower rank and its own.
RANKS = {
    "config": 0,
    "_typing": 0,
    "_lazy": 0,
    "camera": 0,
    "alignment": 0,
    "models": 1,
    "catalog_entry": 2,
    "catalog_depth_anything_3": 2,
    "catalog": 2,
    "formats": 2,
    "checkpoint": 2,
    "weights": 3,
    "data": 3,
    "depth_map": 4,
    "metric_fit": 4,
    "map_files": 4,
    "views": 4,
    "inference": 4,
    "training": 6,
    "evaluation": 4,
    "outputs": 5,
    "video": 5,
    "study": 6,
    "export": 6,
    "app": 6,
    "cli": 7,
}
# Late imports inside a function, each with its reason beside it.
EXCEPTIONS = {
    ("map_files.py", "outputs"),  # pictures, which are made of depth maps
    ("__main__.py", "cli"),  # `python -m jax_depth_convert` is `jax-depth convert`
}


def _imports(path: Path) -> set[str]:
    """Return the modules a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _room(parts: tuple[str, ...]) -> str:
    return parts[0].removesuffix(".py")


@pytest.mark.parametrize(
    "path",
    [p for p in SOURCES if p.is_relative_to(ROOT / "jax_depth")],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_rooms_import_downwards(path):
    relative = path.relative_to(ROOT / "jax_depth")
    room = _room(relative.parts)
    if room in ("__init__", "__main__"):
        return
    for module in _imports(path):
        if module == "jax_depth_convert" or module.startswith("jax_depth_convert."):
            assert room in ("weights", "cli"), f"{relative} imports {module}"
        parts = tuple(module.split("."))
        if parts[0] != "jax_depth" or len(parts) == 1 or parts[1] not in RANKS:
            continue
        if (str(relative), parts[1]) in EXCEPTIONS:
            continue
        assert RANKS[parts[1]] <= RANKS[room], f"{relative} imports {module}"


@pytest.mark.parametrize(
    "path",
    [p for p in SOURCES if p.is_relative_to(ROOT / "convert")],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_converter_imports_little(path):
    for module in _imports(path):
        parts = module.split(".")
        known = parts[0] == "jax_depth" and len(parts) > 1 and parts[1] in RANKS
        if known and (path.name, parts[1]) not in EXCEPTIONS:
            assert RANKS[parts[1]] <= 2, f"{path.name} imports {module}"
        if parts[0] in ("torch", "transformers"):
            assert path.name == "verify.py", f"{path.name} imports {module}"


def test_torch_stays_out_of_the_library():
    for path in SOURCES:
        if path.is_relative_to(ROOT / "jax_depth"):
            assert not {"torch", "transformers"} & _imports(path), path


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_are_small(path):
    assert len(path.read_text().splitlines()) <= 430, "find the second subject in it"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build the wheel from a copy, since a build leaves folders behind."""
    copy = tmp_path_factory.mktemp("source") / "jax_depth"
    files = subprocess.run(
        ["git", "ls-files"], capture_output=True, text=True, cwd=ROOT
    ).stdout.split("\n")
    if files == [""]:
        pytest.skip("not a git checkout")
    for name in filter(None, files):
        if (ROOT / name).exists():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-q"]
    # Without isolation: the build requirement is here, and a test needs no network.
    command += ["--no-build-isolation", "-w", str(out), str(copy)]
    subprocess.run(command, check=True)
    return zipfile.ZipFile(next(out.glob("*.whl")))


def test_wheel_holds_the_two_packages_and_nothing_else(wheel):
    names = wheel.namelist()
    top = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert top == {"jax_depth", "jax_depth_convert"}
    assert "jax_depth/py.typed" in names
    shipped = {name for name in names if name.endswith(".py")}
    tracked = {
        str(path.relative_to(ROOT / folder))
        for folder in (".", "convert")
        for package in ("jax_depth", "jax_depth_convert")
        for path in (ROOT / folder / package).rglob("*.py")
    }
    assert shipped == tracked


def test_wheel_carries_the_bundled_model_below_its_limit(wheel):
    sizes = {i.filename: i.file_size for i in wheel.infolist()}
    tiny = {name for name in sizes if name.startswith("jax_depth/assets/tiny/")}
    assert {Path(name).name for name in tiny} == {
        "config.json",
        "model.safetensors",
        "MODEL_CARD.md",
        "training_log.csv",
    }
    assert sum(sizes[name] for name in tiny) <= 16 * 2**20
