"""Change the code at random places and see whether its tests notice.

    pip install cosmic-ray
    python scripts/mutation.py --count 150 --out mutants.json

Cosmic Ray's operators change one place of a copy of the tree at a time (a sign, a
bound, a number, a condition); tests then run there. Which ones, the unchanged code
tells: every file of `TESTS` runs once under a tracer that notes the lines each test
reaches and what it costs. A mutant meets the tests of its line, the cheapest first,
then those that run anything of its file, until one fails.

Places are drawn by a seed, each as likely as any other. A mutant that no test kills is
printed with its line: it wants a test, or a reason why nothing can tell it apart. The
same command goes on where it was ended; with `--again` it tries the survivors anew.
Linux only: tests run in forks of a process that has imported what they all need, which
spares seconds each.
"""

import argparse
import hashlib
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
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent

NETWORKS = "prompted hybrid parity depth_anything_3 temporal"
WEIGHTS = (
    "convert_state_dicts convert_sound hub_folder prompted temporal depth_anything_3"
)
PICTURES = "bounds odd_pictures ways_in image"
FILES = "convert_pth convert_readers convert_sound"
# The tests that may speak for a file. A folder's row is for the files that have none of
# their own.
TESTS = {
    "jax_depth/alignment.py": "evaluation_alignment evaluation metric_fit",
    "jax_depth/formats/": "bounds outputs_files data_formats depth_map odd_pictures",
    "jax_depth/formats/address.py": "model_options training_folder names_and_tables",
    "jax_depth/formats/atomic.py": "names_and_tables outputs_files checkpoint",
    "jax_depth/formats/cache.py": "products weights",
    "jax_depth/formats/colmap.py": "bounds scene views scene_meshes",
    "jax_depth/formats/cut_jpeg.py": "bounds odd_pictures",
    "jax_depth/formats/exif.py": "scene_camera image",
    "jax_depth/formats/folders.py": "odd_pictures cli_predict",
    "jax_depth/formats/glb.py": "bounds scene views scene_meshes",
    "jax_depth/formats/image.py": PICTURES,
    "jax_depth/formats/json_file.py": "bounds model_folder_hostile checkpoint",
    "jax_depth/formats/obj.py": "scene_meshes",
    "jax_depth/formats/opening.py": PICTURES,
    "jax_depth/formats/ply.py": "bounds scene views scene_meshes",
    "jax_depth/formats/reduced.py": "draft",
    "jax_depth/formats/safetensors.py": "safetensors_io checkpoint convert_readers",
    "jax_depth/formats/stored.py": "bounds data_formats outputs_files odd_pictures",
    "jax_depth/formats/tiff_pictures.py": PICTURES,
    "jax_depth/formats/unread.py": PICTURES,
    "jax_depth/formats/usdz.py": "scene_meshes",
    "jax_depth/models/": f"layers parameters float32_layers {NETWORKS}",
    "jax_depth/models/any_view.py": "depth_anything_3 sharded_views",
    "jax_depth/models/attention.py": "layers flash_attention accelerator_programs",
    "jax_depth/models/camera_head.py": "depth_anything_3",
    "jax_depth/models/clips.py": "temporal clip",
    "jax_depth/models/conv_stem.py": "conv_stem hybrid parameters",
    "jax_depth/models/dual_dpt.py": "depth_anything_3",
    "jax_depth/models/flash_attention.py": "flash_attention accelerator_programs",
    "jax_depth/models/flops.py": "flops",
    "jax_depth/models/forms.py": "products layers",
    "jax_depth/models/host.py": "products",
    "jax_depth/models/layers.py": f"layers {NETWORKS}",
    "jax_depth/models/precision.py": "layers float32_layers",
    "jax_depth/models/products.py": "products layers",
    "jax_depth/models/prompted.py": "prompted",
    "jax_depth/models/reference_view.py": "depth_anything_3",
    "jax_depth/models/resize.py": f"resize {NETWORKS}",
    "jax_depth/models/rope.py": "depth_anything_3",
    "jax_depth/models/sharded_views.py": "sharded_views depth_anything_3",
    "jax_depth/models/sharding.py": "sharded_views temporal",
    "jax_depth/models/sky_dpt.py": "depth_anything_3",
    "jax_depth/models/symbolic.py": "resize export",
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


class Watch:
    """Notes which of the project's lines each test runs, and for how long."""

    def __init__(self, tree: Path):
        self.roots = tuple(f"{tree / name}/" for name in ("jax_depth", "convert"))
        self.start = len(str(tree)) + 1
        self.ran: dict[str, dict[str, Any]] = {}

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Begin a test, its fixtures included."""
        lines: dict[str, set[int]] = {}
        self.ran[nodeid] = {"seconds": -time.process_time(), "lines": lines}

        def enter(frame, event, argument):
            name = frame.f_code.co_filename
            if not name.startswith(self.roots):
                return None
            note = lines.setdefault(name[self.start :], set()).add

            def line(frame, event, argument):
                note(frame.f_lineno)
                return line

            return line

        threading.settrace(enter)
        sys.settrace(enter)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """End it."""
        sys.settrace(None)
        threading.settrace(None)  # type: ignore[arg-type]
        self.ran[nodeid]["seconds"] += time.process_time()

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Leave out what skips, or fails without any change."""
        if not report.passed:
            self.ran[report.nodeid]["lines"] = {}

    def write(self, path: Path) -> None:
        """Write {test: {"seconds": CPU time, "lines": {file: numbers}}}."""
        for one in self.ran.values():
            one["lines"] = {file: sorted(rows) for file, rows in one["lines"].items()}
        path.write_text(json.dumps(self.ran))


class Only:
    """Leaves those tests, in their order."""

    def __init__(self, tests: list[str]):
        self.tests = tests

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Sort, and leave out the rest."""
        found = {item.nodeid: item for item in items}
        items[:] = [found[test] for test in self.tests if test in found]


def outcome(tree: Path, tests: list[str], seconds: int, watch: Path | None = None):
    """Run tests in a fork, in their order; "killed", "timeout" or "survived".

    `seconds` are of CPU time: on a busy machine a clock's would kill what is sound.
    With `watch`, `tests` are whole files, no test ends the others, and that file holds
    afterwards what `Watch` noted.
    """
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        os.chdir(tree)
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        sys.path[:0] = [str(tree), str(tree / "convert"), str(tree / "tests")]
        import pytest

        watching = Watch(tree)
        plugin = watching if watch else Only(tests)
        files = list(dict.fromkeys(test.partition("::")[0] for test in tests))
        status = pytest.main([*_OPTIONS, *([] if watch else ["-x"]), *files], [plugin])
        if watch:
            watching.write(watch)
        os._exit(int(status))
    end = time.monotonic() + 60 + 2 * seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done and os.WIFSIGNALED(status):
            out = os.WTERMSIG(status) == signal.SIGXCPU
            return "timeout" if out else "killed"
        if done:  # 4: pytest was called wrongly; 5: it found none of the tests
            what = os.WEXITSTATUS(status)
            return {0: "survived", 4: "untested", 5: "untested"}.get(what, "killed")
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "timeout"


_OPTIONS = [
    *("-q", "-n", "0", "-p", "no:cacheprovider", "-p", "no:warnings"),
    *("-o", "filterwarnings="),
]


def put(path: Path, code: str) -> None:
    """Write a file, at a time that none of its versions had: bytecode goes by it."""
    path.write_text(code)
    seconds = next(_TIMES)
    os.utime(path, (seconds, seconds))


_TIMES = itertools.count(10**9)


def change(old: str, new: str) -> tuple[int, str]:
    """Return the number of the first line that differs, and "old -> new"."""
    pairs = zip(old.splitlines(), new.splitlines(), strict=False)
    for number, (a, b) in enumerate(pairs, 1):
        if a != b:
            return number, f"{a.strip()}  ->  {b.strip()}"
    return 0, "?"


def telling(ran: dict[str, Any], file: str, line: int, seconds: float):
    """Return the tests that can tell, in the order to run them, and their CPU time.

    Those of the line, then those of the file, then the rest, for what is computed at
    import. Of each, what one file of tests shares is made once, and the file with the
    cheapest of them comes first. As many as take `seconds`, but one at least.
    """
    ranked: list[dict[str, list[str]]] = [{}, {}, {}]
    sound = [test for test, one in ran.items() if one["lines"]]
    for test in sorted(sound, key=lambda test: ran[test]["seconds"]):
        lines = ran[test]["lines"].get(file)
        files = ranked[2 if not lines else 0 if line in lines else 1]
        files.setdefault(test.partition("::")[0], []).append(test)
    cost, tests = 0.0, []
    for test in (
        test for files in ranked for names in files.values() for test in names
    ):
        if tests and cost + ran[test]["seconds"] > seconds:
            break
        cost += ran[test]["seconds"]
        tests.append(test)
    return tests, cost


def place(row: dict[str, Any]) -> tuple[str, str, int]:
    """Return which change an outcome is of."""
    return row["file"], row["operator"], row["occurrence"]


_NOTICED = ("killed", "timeout")


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
    parser.add_argument(
        "--seconds", type=int, default=300, help="of CPU time for the tests of a mutant"
    )
    parser.add_argument("--out", type=Path, help="a JSON file of all outcomes")
    parser.add_argument("--again", action="store_true", help="what survived as well")
    parser.add_argument("--slow", action="store_true", help="by slow tests too")
    arguments = parser.parse_args()
    if arguments.slow:
        _OPTIONS.extend(["-m", "not long"])
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    wanted = arguments.only or [""]
    found = [p for p in places() if any(part in p[0] for part in wanted)]
    random.Random(arguments.seed).shuffle(found)
    first, step = map(int, arguments.part.split("/"))
    drawn = found[: arguments.count][first - 1 :: step]
    print(f"{len(drawn)} of {len(found)} places", flush=True)
    # By the bytes of each file of tests: what its tests ran.
    ran: dict[str, dict[str, Any]] = {}
    results: dict[tuple[str, str, int], dict[str, Any]] = {}
    if arguments.out and arguments.out.exists():
        ran, rows = json.loads(arguments.out.read_text())
        results = {place(row): row for row in rows}
    survivors = [k for k, row in results.items() if row["outcome"] not in _NOTICED]
    drawn = survivors if arguments.again else [p for p in drawn if p not in results]
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
        for file, name, occurrence in drawn:
            if time.monotonic() > end:
                break
            code = (ROOT / file).read_text()
            try:
                mutant = mutate_code(code, get_operator(name)(), occurrence)
            except AttributeError:  # Cosmic Ray's, at exceptions with a module's name
                continue
            known: dict[str, Any] = {}
            for test in tests_of(file):
                key = hashlib.sha256((tree / test).read_bytes()).hexdigest()
                key += " with slow" if arguments.slow else ""
                if key not in ran:
                    notes = Path(folder) / "ran.json"
                    outcome(tree, [test], 3600, notes)
                    ran[key] = json.loads(notes.read_text())
                    print(
                        f"{test}: {sum(t['seconds'] for t in ran[key].values()):.0f} s"
                    )
                known |= ran[key]
            number, line = change(code, mutant)
            tests, cost = telling(known, file, number, arguments.seconds)
            what = "untested"
            if tests:
                put(tree / file, mutant)
                what = outcome(tree, tests, int(60 + 4 * cost))
                put(tree / file, code)
            results[file, name, occurrence] = {
                "file": file,
                "operator": name,
                "occurrence": occurrence,
                "line": f"{number}: {line}",
                "outcome": what,
            }
            print(f"{what:9} {file}:{number}: {line}", flush=True)
            if arguments.out:
                arguments.out.write_text(json.dumps([ran, [*results.values()]]))
    killed = sum(one["outcome"] in _NOTICED for one in results.values())
    print(f"{killed} of {len(results)} killed")
    return int(killed < 0.9 * len(results))


if __name__ == "__main__":
    sys.exit(main())
