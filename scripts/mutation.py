"""Change the code at random places and see whether its tests notice.

    pip install cosmic-ray
    python scripts/mutation.py --count 150 --out mutants.json

Cosmic Ray's operators change one place of a copy of the tree at a time (a sign, a
bound, a number, a condition); the tests named in `TESTS` then run there. Places are
drawn by a seed, each of a file's as likely as any other's. A mutant that no test kills
is printed with its line: it wants a test, or a reason why nothing can tell it apart.
Linux only: tests run in forks of a process that has imported what they all need, which
spares seconds each.
"""

import argparse
import itertools
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent

NETWORKS = "depth_anything_3 temporal prompted hybrid"
WEIGHTS = "convert_state_dicts convert_sound prompted temporal hub_folder"
PICTURES = "bounds odd_pictures image"
FILES = "convert_pth convert_readers convert_sound"
# What tests each file, the likeliest first; what is slow or long stays out. A folder's
# row is for the files that have none of their own.
TESTS = {
    "jax_depth/alignment.py": "evaluation_alignment evaluation metric_fit",
    "jax_depth/formats/": "bounds outputs_files data_formats depth_map odd_pictures",
    "jax_depth/formats/address.py": "model_options training_folder names_and_tables",
    "jax_depth/formats/atomic.py": "names_and_tables outputs_files",
    "jax_depth/formats/cache.py": "products",
    "jax_depth/formats/colmap.py": "bounds scene views",
    "jax_depth/formats/cut_jpeg.py": "bounds odd_pictures",
    "jax_depth/formats/exif.py": "scene_camera image",
    "jax_depth/formats/folders.py": "odd_pictures cli_predict",
    "jax_depth/formats/glb.py": "bounds scene views",
    "jax_depth/formats/image.py": PICTURES,
    "jax_depth/formats/json_file.py": "bounds model_folder_hostile checkpoint",
    "jax_depth/formats/opening.py": PICTURES,
    "jax_depth/formats/ply.py": "scene views",
    "jax_depth/formats/reduced.py": "draft",
    "jax_depth/formats/safetensors.py": "safetensors_io checkpoint convert_readers",
    "jax_depth/formats/stored.py": "bounds data_formats outputs_files odd_pictures",
    "jax_depth/formats/tiff_pictures.py": PICTURES,
    "jax_depth/formats/unread.py": PICTURES,
    "jax_depth/models/": f"layers parameters float32_layers {NETWORKS}",
    "jax_depth/models/any_view.py": "depth_anything_3",
    "jax_depth/models/attention.py": "layers flash_attention",
    "jax_depth/models/camera_head.py": "depth_anything_3",
    "jax_depth/models/conv_stem.py": "conv_stem hybrid",
    "jax_depth/models/dual_dpt.py": "depth_anything_3",
    "jax_depth/models/flash_attention.py": "flash_attention",
    "jax_depth/models/flops.py": "flops",
    "jax_depth/models/layers.py": f"layers {NETWORKS}",
    "jax_depth/models/precision.py": "layers float32_layers",
    "jax_depth/models/prompted.py": "prompted",
    "jax_depth/models/reference_view.py": "depth_anything_3",
    "jax_depth/models/resize.py": f"resize {NETWORKS}",
    "jax_depth/models/rope.py": "depth_anything_3",
    "jax_depth/models/sky_dpt.py": "depth_anything_3",
    "jax_depth/models/symbolic.py": "export",
    "jax_depth/models/temporal.py": "temporal",
    "jax_depth/training/losses/output_gauge.py": "losses training_step",
    "jax_depth/training/losses/": "losses losses_distillation training_objectives "
    "losses_torch",
    "convert/jax_depth_convert/": WEIGHTS,
    "convert/jax_depth_convert/conversion.py": f"convert_command {WEIGHTS}",
    "convert/jax_depth_convert/hub_folder.py": "hub_folder",
    "convert/jax_depth_convert/nests.py": FILES,
    "convert/jax_depth_convert/pickle_names.py": FILES,
    "convert/jax_depth_convert/pickle_reader.py": FILES,
    "convert/jax_depth_convert/pickle_values.py": FILES,
    "convert/jax_depth_convert/pth_reader.py": FILES,
    "convert/jax_depth_convert/pth_writer.py": f"convert_command {FILES}",
    "convert/jax_depth_convert/readers.py": FILES,
    "convert/jax_depth_convert/transformers_folder.py": "convert_transformers_folder",
    "convert/jax_depth_convert/verify.py": "convert_verify",
}
# Changes that a test could see. Left out: other operators in place of `|`, which here
# is a union of types or of dictionaries, and `is` for `==`, which small values share.
OPERATORS = (
    *("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "FloorDiv_Mul", "Mod_Mul", "Pow_Mul"),
    *("Eq_NotEq", "NotEq_Eq", "Lt_LtE", "LtE_Lt", "Gt_GtE", "GtE_Gt", "Lt_Gt"),
    *("Is_IsNot", "IsNot_Is", "USub_UAdd", "Delete_Not", "AddNot"),
    *("ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "NumberReplacer"),
    *("ReplaceAndWithOr", "ReplaceOrWithAnd", "ReplaceBreakWithContinue"),
    *("ReplaceContinueWithBreak", "ExceptionReplacer", "ZeroIterationForLoop"),
)
MEMORY = 12 << 30  # bytes of data that the tests of a mutant may take


def places() -> Iterator[tuple[str, str, int]]:
    """Yield (file, operator, occurrence) of every change that can be made."""
    from cosmic_ray.ast import Visitor, get_ast
    from cosmic_ray.plugins import get_operator, operator_names

    names = [
        name
        for name in sorted(operator_names())
        if name.removeprefix("core/").split("Operator_")[-1] in OPERATORS
    ]

    class Count(Visitor):
        def __init__(self, operator):
            self.operator, self.found = operator, 0

        def visit(self, node):
            self.found += len(list(self.operator.mutation_positions(node)))
            return node

    for target in TESTS:
        folder = target.endswith("/")
        for path in sorted(ROOT.glob(f"{target}*.py") if folder else [ROOT / target]):
            file = str(path.relative_to(ROOT))
            if (folder and file in TESTS) or path.stem.startswith("__"):
                continue
            tree = get_ast(path.read_text())
            for name in names:
                count = Count(get_operator(name)())
                count.walk(tree)
                yield from ((file, name, i) for i in range(count.found))


def tests_of(file: str) -> list[str]:
    """Return the files of tests that speak for a file."""
    names = TESTS.get(file) or TESTS[file.rpartition("/")[0] + "/"]
    return [f"tests/test_{name}.py" for name in names.split()]


def import_what_tests_need() -> None:
    """Import what is not this project's, once for all forks."""
    for name in (
        *("jax", "flax.linen", "jaxtyping", "beartype", "numpy", "PIL.Image", "torch"),
        *("cv2", "transformers", "pytest", "optax", "jax.export"),
    ):
        __import__(name)


def outcome(tree: Path, test: str, seconds: float) -> str:
    """Run a file of tests in a fork; "killed", "timeout" or "survived"."""
    child = os.fork()
    if child == 0:
        os.setsid()
        os.chdir(tree)
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        sys.path[:0] = [str(tree), str(tree / "convert"), str(tree / "tests")]
        import pytest

        os._exit(int(pytest.main(["-q", "-x", "-n", "0", *_PLAIN, test])))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return "survived" if status == 0 else "killed"
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "timeout"


_PLAIN = ("-p", "no:cacheprovider", "-p", "no:warnings", "-o", "filterwarnings=")


def put(path: Path, code: str) -> None:
    """Write a file, at a time that none of its versions had: bytecode goes by it."""
    path.write_text(code)
    seconds = next(_TIMES)
    os.utime(path, (seconds, seconds))


_TIMES = itertools.count(10**9)


def line_of(old: str, new: str) -> str:
    """Return "number: old -> new" of the first line that differs."""
    pairs = zip(old.splitlines(), new.splitlines(), strict=False)
    for number, (a, b) in enumerate(pairs, 1):
        if a != b:
            return f"{number}: {a.strip()}  ->  {b.strip()}"
    return "?"


def main() -> int:
    """Draw, mutate, test, report; 1 if fewer than nine in ten are killed."""
    parser = argparse.ArgumentParser(
        description="change the code at random places and see whether tests notice"
    )
    parser.add_argument("--count", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", help="files whose path holds one of these")
    parser.add_argument("--minutes", type=float, help="end at the next mutant after")
    parser.add_argument("--part", default="1/1", help="I/N: every N-th of them, from I")
    parser.add_argument("--seconds", type=float, default=600, help="for one mutant")
    parser.add_argument("--out", type=Path, help="a JSON file of all outcomes")
    arguments = parser.parse_args()
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    wanted = arguments.only or [""]
    found = [p for p in places() if any(part in p[0] for part in wanted)]
    random.Random(arguments.seed).shuffle(found)
    first, step = map(int, arguments.part.split("/"))
    drawn = found[: arguments.count][first - 1 :: step]
    print(f"{len(drawn)} of {len(found)} places", flush=True)
    results = []
    end = time.monotonic() + 60 * (arguments.minutes or float("inf"))
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        listed = subprocess.run(
            ["git", "ls-files", "-coz", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            check=True,
        ).stdout.decode()
        for name in filter(None, listed.split("\0")):
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tree / name)
        # What a mutant does not touch is compiled once.
        os.environ |= {
            "JAX_COMPILATION_CACHE_DIR": str(Path(folder) / "compiled"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PLATFORMS": "cpu",
            "HF_HUB_OFFLINE": "1",
            "XDG_CACHE_HOME": str(Path(folder) / "cache"),
        }
        sys.path[:] = [p for p in sys.path if Path(p or ".").resolve() != ROOT]
        import_what_tests_need()
        sound: dict[str, str] = {}
        for file, name, occurrence in drawn:
            if time.monotonic() > end:
                break
            code = (ROOT / file).read_text()
            try:
                mutant = mutate_code(code, get_operator(name)(), occurrence)
            except AttributeError:  # Cosmic Ray's, at exceptions with a module's name
                continue
            tests = tests_of(file)
            for test in tests:  # whatever fails unchanged would kill everything
                if test not in sound:
                    sound[test] = outcome(tree, test, 1800)
                    if sound[test] != "survived":
                        print(f"{test} fails without any change; left out", flush=True)
            tests = [test for test in tests if sound[test] == "survived"]
            put(tree / file, mutant)
            what = "untested"
            for test in tests:
                what = outcome(tree, test, arguments.seconds)
                if what != "survived":
                    break
            put(tree / file, code)
            line = line_of(code, mutant)
            results.append({"file": file, "line": line, "outcome": what})
            print(f"{what:9} {file}:{line}", flush=True)
            if arguments.out:
                arguments.out.write_text(json.dumps(results, indent=1))
    killed = sum(result["outcome"] in ("killed", "timeout") for result in results)
    print(f"{killed} of {len(results)} killed")
    return int(killed < 0.9 * len(results))


if __name__ == "__main__":
    sys.exit(main())
