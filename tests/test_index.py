"""What `import jax_depth` reaches: names, packages, and modules under old names."""

import importlib
import subprocess
import sys
import warnings

import pytest

import jax_depth
from jax_depth._moved import MOVED

PACKAGES = (
    "app cli data evaluation export formats inference models outputs study training "
    "video".split()
)


def in_a_fresh_process(code: str) -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_packages_are_attributes_in_a_fresh_process():
    in_a_fresh_process(
        "import jax_depth\n"
        f"for name in {PACKAGES}:\n"
        "    assert getattr(jax_depth, name).__name__ == 'jax_depth.' + name\n"
        "jax_depth.outputs.save, jax_depth.evaluation.evaluate\n"
        "jax_depth.training.losses.silog, jax_depth.data.open_dataset\n"
        "jax_depth.video.VideoDepth"
    )


def test_import_is_light():
    in_a_fresh_process(
        "import sys, jax_depth\n"
        "assert not {'jax', 'numpy'} & set(sys.modules)\n"
        "jax_depth.load\n"
        "heavy = {'torch', 'optax', 'orbax', 'cv2', 'jax_depth.cli'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "assert 'jax_depth.training' not in sys.modules"
    )


@pytest.mark.parametrize("package", ["", *PACKAGES])
def test_an_index_names_what_is_there(package):
    module = importlib.import_module(f"jax_depth.{package}".rstrip("."))
    for name in getattr(module, "__all__", []):
        assert getattr(module, name) is not None
    assert not {"Any", "TYPE_CHECKING", "importlib"} & set(dir(module))


def test_a_name_that_is_not_there_is_answered_with_those_that_are():
    with pytest.raises(AttributeError, match=r"'depht'.*load_params"):
        _ = jax_depth.depht


@pytest.mark.parametrize("old", sorted(MOVED))
def test_an_old_module_is_the_new_one(old):
    # libraries of extras may be missing where a moved module needs them
    new = importlib.import_module(f"jax_depth.{MOVED[old]}")
    sys.modules.pop(f"jax_depth.{old}", None)
    with pytest.warns(DeprecationWarning) as caught:
        found = importlib.import_module(f"jax_depth.{old}")
    assert found is new and found.__spec__.name == f"jax_depth.{MOVED[old]}"
    assert MOVED[old] in str(caught[-1].message)


def test_what_is_below_a_moved_package_is_the_same_module():
    from jax_depth.app import limits

    sys.modules.pop("jax_depth.deploy.app", None)
    with warnings.catch_warnings(action="ignore"):
        assert importlib.import_module("jax_depth.deploy.app.limits") is limits


def test_the_sentence_names_the_line_that_imports():
    code = "import warnings, sys\nwith warnings.catch_warnings(record=True) as seen:\n"
    code += (
        "    warnings.simplefilter('always')\n    import jax_depth.inference.image\n"
    )
    code += "assert seen[0].filename == '<string>' and seen[0].lineno == 4, seen[0]"
    subprocess.run([sys.executable, "-c", code], check=True)
