"""The house: who may import whom, what the README promises, what a wheel contains."""

import ast
import contextlib
import importlib.util
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted(
    path
    for folder in ("jax_depth", "convert", "scripts", "tests")
    for path in (ROOT / folder).rglob("*.py")
)

# A room may import those of lower lines and, inside its own line, those of `BESIDE`.
LINES = (
    "_typing config _lazy _forked",
    "camera alignment formats sky",
    "models",
    "depth_map map_files metric_fit views",
    "catalog catalog_entry catalog_depth_anything_3 checkpoint",
    "weights",
    "inference",
    "video outputs data evaluation",
    "training",
    "study export app",
    "cli",
)
RANKS = {room: rank for rank, line in enumerate(LINES) for room in line.split()}
# (room, other room of its line), each with its reason.
BESIDE = {
    # A description of version 0.1 takes what it does not say from its model's row.
    ("checkpoint.py", "catalog"),
    ("formats", "camera"),  # scenes hold cameras
    ("depth_map", "map_files"),  # a map's methods are made of these two
    ("depth_map", "metric_fit"),
    ("views", "depth_map"),
    ("catalog", "catalog_entry"),
    ("catalog", "catalog_depth_anything_3"),
    ("catalog_depth_anything_3", "catalog_entry"),
    ("evaluation", "data"),  # benchmarks are datasets with a protocol
    ("video", "outputs"),  # films are coloured as pictures are
}
# (file, room above it), each with its reason.
UPWARDS = {
    ("metric_fit.py", "depth_map"),  # for its type alone
    ("map_files.py", "outputs"),  # late: `depth.save(path, format="color")`
    ("outputs/scene/stereo.py", "video"),  # late: the swaying view is a film
    ("inference/clip.py", "video"),  # late: single pictures are steadied as films are
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


def _arrows(package: Path) -> Iterator[tuple[str, str, str]]:
    """Yield (file, its room, room it imports) for what crosses a border."""
    for path in sorted(package.rglob("*.py")):
        relative = path.relative_to(package)
        room = relative.parts[0].removesuffix(".py")
        for module in _imports(path):
            parts = module.split(".")
            if parts[0] == "jax_depth" and len(parts) > 1 and parts[1] in RANKS:
                if parts[1] != room:
                    yield str(relative), room, parts[1]


def test_rooms_import_downwards():
    used = set()
    for file, room, other in set(_arrows(ROOT / "jax_depth")):
        if room in ("__init__", "__main__", "_moved"):
            continue
        assert room in RANKS, f"{file}: give the room {room!r} its line in LINES"
        if RANKS[other] < RANKS[room]:
            continue
        listed = {(room, other), (file, other)} & {*BESIDE, *UPWARDS}
        assert listed, f"{file} imports {other}, which is not below {room}"
        used |= listed
    assert used == {*BESIDE, *UPWARDS}, "an exception that nothing uses any more"


def test_the_library_reaches_the_converter_in_one_place():
    for path in (ROOT / "jax_depth").rglob("*.py"):
        if any(m.split(".")[0] == "jax_depth_convert" for m in _imports(path)):
            room = path.relative_to(ROOT / "jax_depth").parts[0]
            assert room in ("weights.py", "cli"), path


def test_the_converter_imports_little():
    package = ROOT / "convert" / "jax_depth_convert"
    for file, _, other in _arrows(package):
        # `python -m jax_depth_convert` is `jax-depth convert`.
        known = RANKS[other] <= RANKS["checkpoint"] or file == "__main__.py"
        assert known, f"{file} imports {other}"
    for path in package.rglob("*.py"):
        if path.name != "verify.py":
            assert not {"torch", "transformers"} & _imports(path), path


def test_torch_stays_out_of_the_library():
    for path in SOURCES:
        if path.is_relative_to(ROOT / "jax_depth"):
            assert not {"torch", "transformers"} & _imports(path), path


def test_scripts_import_what_there_is():
    # No type checker reads them, and most are run by hand.
    paths = [*(ROOT / "scripts").rglob("*.py"), *(ROOT / "examples").glob("*.py")]
    missing = [
        f"{path.relative_to(ROOT)}: {node.module}.{name.name}"
        for path in paths
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "")[:9] == "jax_depth"
        for name in node.names
        if not _exists(node.module, name.name)
    ]
    assert len(paths) > 50 and not missing


def _exists(module: str | None, name: str) -> bool:
    assert module is not None
    if hasattr(importlib.import_module(module), name):
        return True
    with contextlib.suppress(ModuleNotFoundError):  # of a module that is no package
        return importlib.util.find_spec(f"{module}.{name}") is not None
    return False


def test_files_are_small():
    for path in SOURCES:
        lines = len(path.read_text().splitlines())
        assert lines <= 430, f"{path} has {lines} lines: find the second subject in it"


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
