"""Write tests/golden/parameters.json: every parameter path and shape of every model.

Run `python scripts/pin_parameters.py` after changing a tree on purpose, and say in the
changelog that files written before the change no longer load.
"""

import json
import re
from pathlib import Path

import jax

from jax_depth.catalog import MODELS
from jax_depth.models.depth_anything import param_shapes

GOLDEN = Path(__file__).parent.parent / "tests" / "golden" / "parameters.json"


def tree(config) -> dict[str, list[int]]:
    """Return path -> shape; identical blocks share one name.

    `block_*12` stands for blocks 0 to 11, `block_*4-12` for blocks 4 to 11.
    """
    shapes: dict[str, list[int]] = {}
    blocks: dict[tuple[str, str], list[int]] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(param_shapes(config)):
        name, shape = "/".join(key.key for key in path), list(leaf.shape)
        match = re.match(r"encoder/block_(\d+)(/.*)", name)
        if match is None:
            shapes[name] = shape
            continue
        blocks.setdefault((match[2], json.dumps(shape)), []).append(int(match[1]))
    for (rest, shape), numbers in blocks.items():
        first, end = min(numbers), max(numbers) + 1
        if sorted(numbers) != list(range(first, end)):
            raise AssertionError(
                f"{rest}: in blocks {numbers}, which are not consecutive"
            )
        which = f"{first}-{end}" if first else f"{end}"
        shapes[f"encoder/block_*{which}{rest}"] = json.loads(shape)
    return dict(sorted(shapes.items()))


def main() -> None:
    """Write the file, one parameter per line."""
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
