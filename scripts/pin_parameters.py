"""Write tests/golden/parameters.json: every parameter path and shape of every model.

Run it after a deliberate change of a tree, and say in the changelog that files
written before no longer load: `python scripts/pin_parameters.py`.
"""

import json
import re
from pathlib import Path

import jax

from jax_depth.catalog import MODELS
from jax_depth.models.depth_anything import param_shapes

GOLDEN = Path(__file__).parent.parent / "tests" / "golden" / "parameters.json"


def tree(config) -> dict[str, list[int]]:
    """Return path -> shape; blocks, all alike, under `block_*` with their number."""
    shapes: dict[str, list[int]] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(param_shapes(config)):
        name = "/".join(key.key for key in path)
        name = re.sub(r"^encoder/block_\d+", _blocks(config), name)
        shape = list(leaf.shape)
        if shapes.setdefault(name, shape) != shape:
            raise AssertionError(f"{name}: blocks of different shapes")
    return dict(sorted(shapes.items()))


def _blocks(config) -> str:
    return f"encoder/block_*{config.encoder.depth}"


def main() -> None:
    """Write the file, one parameter a line."""
    trees = {name: tree(entry.config) for name, entry in MODELS.items()}
    # Models that share a tree share an entry.
    groups: dict[str, list[str]] = {}
    for name, shapes in trees.items():
        groups.setdefault(json.dumps(shapes), []).append(name)
    document = [{"models": names, "tree": trees[names[0]]} for names in groups.values()]
    text = json.dumps(document, indent=1)
    text = re.sub(r"\[\s+([\d,\s]+?)\s+\]", lambda m: _one_line(m[1]), text)
    GOLDEN.write_text(text + "\n")


def _one_line(numbers: str) -> str:
    return "[" + ", ".join(number.strip() for number in numbers.split(",")) + "]"


if __name__ == "__main__":
    main()
