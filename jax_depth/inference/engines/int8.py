"""A model folder's int8 form, which `jax-depth quantize` writes and OpenVINO runs.

Beside `config.json` and `model.safetensors`, the model as it was, lie

    int8.safetensors    what quantising changes in its graph, see `openvino_int8`
    int8.json           what it was made from and how far it is from float32
"""

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jax_depth import checkpoint
from jax_depth._typing import Params
from jax_depth.config import ModelConfig
from jax_depth.formats.atomic import new_directory
from jax_depth.formats.json_file import read_json
from jax_depth.formats.printable import printable
from jax_depth.formats.safetensors import read_safetensors, write_safetensors
from jax_depth.weights import means_name

CHANGES = "int8.safetensors"
RECORD = "int8.json"
# How `openvino_int8` numbers operators; other numbers would change other operators.
_NUMBERING = 2
# Of a folder, all of them.
FILES = (checkpoint.CONFIG, checkpoint.WEIGHTS, checkpoint.UNUSED, CHANGES, RECORD)
_FIGURES = ("spearman", "d1", "edges")


@dataclasses.dataclass(frozen=True, eq=False)
class Int8:
    """How a model is computed in int8.

    Attributes:
        changes: arrays by the keys of `openvino_int8`.
        record: "model", "calibrated" and "held_out" (numbers of photos), "size"
            (height and width they were calibrated at), "agreement" with float32 (means
            over the photos held back), "versions".
    """

    changes: Mapping[str, np.ndarray]
    record: Mapping[str, Any]

    def __str__(self) -> str:
        found = self.record["agreement"]
        return (
            f"int8, Spearman {found['spearman']:.4f} with float32 on "
            f"{self.record['held_out']} photos held back"
        )

    @property
    def sentence(self) -> str:
        """What a user is told who loads it."""
        found = self.record["agreement"]
        figures = [f"Spearman {found['spearman']:.4f}", f"δ1 {found['d1']:.4f}"]
        if found.get("edges") is not None:
            figures.append(f"edges {found['edges']:.2f}")
        return printable(
            f"{self.record['model']} runs in int8 by OpenVINO; agreement with float32 "
            f"on {self.record['held_out']} photos held back: {', '.join(figures)}"
        )


def write_int8(
    directory: str | os.PathLike, params: Params, config: ModelConfig, int8: Int8
) -> None:
    """Write a model folder that `jax_depth.load` opens in int8.

    Args:
        directory: a new or empty folder, or an older model folder to replace; it
            appears whole or not at all.
        params: nested dict of float32 arrays, of the model as it was.
        config: the model.
        int8: how it is computed.

    Raises:
        FileExistsError: `directory` is a file or holds something else.
    """
    with new_directory(directory, replaces=FILES) as temporary:
        checkpoint.save(temporary, params, config)
        write_safetensors(temporary / CHANGES, int8.changes)
        record = {"numbering": _NUMBERING, **int8.record}
        text = json.dumps(record, indent=2, ensure_ascii=False)
        (temporary / RECORD).write_text(text + "\n", encoding="utf-8")


def read_int8(source: str | os.PathLike) -> Int8 | None:
    """Return how a model folder is computed in int8; None if it is not.

    Args:
        source: what `jax_depth.load` was given.

    Raises:
        ValueError: the folder's int8 form is incomplete or damaged.
    """
    folder = Path(source)
    if means_name(source) or not (folder / RECORD).is_file():
        return None
    try:
        record = read_json(folder / RECORD)
        found = record["agreement"]
        _ = record["model"], int(record["held_out"])
        if record.get("numbering") != _NUMBERING:
            raise ValueError("another version of jax_depth has made it")
        for name in _FIGURES[:2]:
            float(found[name])
        return Int8(read_safetensors(folder / CHANGES), record)
    except (OSError, KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{folder}: its int8 form is damaged or old ({reason}); make it again with "
            "`jax-depth quantize`"
        ) from None
