"""Build the documentation site: a folder that any web server can serve.

    pip install -e '.[docs,export]'
    python scripts/site/build.py SITE

Besides the pages it contains what the front page runs in the reader's browser: `tiny`
as ONNX, which takes a photo and returns its depth, and onnxruntime-web from npm. The
finished site makes no request to another host.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from jax_depth.cli.main import main as jax_depth_command
from jax_depth.outputs.colormap import colormap

ROOT = Path(__file__).parents[2]
RUNTIME = "onnxruntime-web@1.30.0"
RUNTIME_FILES = (
    "dist/ort.wasm.min.mjs",
    "dist/ort-wasm-simd-threaded.mjs",
    "dist/ort-wasm-simd-threaded.wasm",
)
# Width and height in which the page hands a photo over, landscape and portrait.
SIZES = ((640, 480), (480, 640))
EXAMPLES = ("coffee", "cat", "pagoda")


def pages(target: Path) -> None:
    """Build the pages; any warning is an error."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    command += ["--site-dir", str(target.resolve())]
    subprocess.run(command, cwd=ROOT, check=True)


def model(target: Path) -> None:
    """Write the files that the front page's script loads, next to it."""
    folder = target / "assets/try"
    folder.mkdir(parents=True, exist_ok=True)
    for width, height in SIZES:
        size = f"{width}x{height}"
        output = folder / f"tiny-{size}.onnx"
        argv = ["export", "tiny", "-o", str(output), "--preprocess"]
        if status := jax_depth_command([*argv, "--photo-size", size]):
            raise SystemExit(status)
    levels = colormap("Spectral_r").tolist()
    (folder / "colours.json").write_text(json.dumps(levels))
    for name in EXAMPLES:
        shutil.copy(ROOT / "examples" / f"{name}.jpg", folder)
    runtime(folder)


def runtime(folder: Path) -> None:
    """Download onnxruntime-web into a folder."""
    with tempfile.TemporaryDirectory() as work:
        command = ["npm", "pack", "--silent", RUNTIME]
        subprocess.run(command, cwd=work, check=True, stdout=subprocess.DEVNULL)
        (package,) = Path(work).glob("*.tgz")
        with tarfile.open(package) as archive:
            archive.extractall(work, filter="data")
        for name in RUNTIME_FILES:
            shutil.copy(Path(work) / "package" / name, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("site", type=Path, help="folder to write")
    parser.add_argument(
        "--without-model",
        action="store_true",
        help="build only the pages, without what needs npm",
    )
    arguments = parser.parse_args()
    pages(arguments.site)
    if not arguments.without_model:
        model(arguments.site)


if __name__ == "__main__":
    main()
