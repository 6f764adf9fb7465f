"""The models of a study, as words of a command line name them."""

import glob
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from jax_depth.catalog import ALIASES, MODELS
from jax_depth.inference.estimator import Estimator, load
from jax_depth.inference.prompted import refuse_without_prompt
from jax_depth.models.architectures import sees_clips
from jax_depth.weights import RANDOM


def is_photos(word: str) -> bool:
    """Whether a word means photos, not a model: what exists and holds no weights.

    A folder without `config.json`, a file that is not a weight file, or a pattern. So a
    name that is spelt wrongly stays a model, and gets that sentence.
    """
    path = Path(word)
    if word in MODELS or word in ALIASES or word.startswith(RANDOM) or "=" in word:
        return False
    if path.is_dir():
        try:
            return not (path / "config.json").is_file()
        except PermissionError:  # to be said of a model
            return False
    if path.suffix.lower() in (".safetensors", ".pth", ".pt", ".bin", ".ckpt"):
        return False
    return path.exists() or glob.has_magic(word)


def open_models(words: Sequence[str], **options: Any) -> dict[str, Estimator]:
    """Load every model; return label -> estimator, in order.

    Args:
        words: a name or a folder as `jax_depth.load` takes; NAME=FILE for a bare weight
            file; random:NAME for that architecture with random weights, seed 0.
        options: of `jax_depth.load`: `dtype`, `size`, `resample`, `engine`.

    Raises:
        ValueError, FileNotFoundError, ConnectionError: as `jax_depth.load`.
    """
    found: dict[str, Estimator] = {}
    for word in words:
        label = _label(word)
        if label in found:  # two files of one folder name
            label = f"{label} ({len(found) + 1})"
        found[label] = _open(word, options)
        config = found[label].config
        refuse_without_prompt(config)
        if sees_clips(config):
            raise ValueError(
                f"{word!r} is a video model, and compare looks into networks of "
                "single pictures; leave it out"
            )
    return found


def _open(word: str, options: dict[str, Any]) -> Estimator:
    # One device: each picture is a batch of its own.
    if options.get("engine", "xla") == "xla":
        options = {**options, "devices": jax.local_devices()[:1]}
    name, equals, file = word.partition("=")
    if equals and not os.path.exists(word):
        return load(file, model=name, **options)
    return load(word, **options)


def _label(word: str) -> str:
    if word in MODELS or word.startswith(RANDOM):
        return word
    word = ALIASES.get(word, word)
    name, equals, file = word.partition("=")
    return f"{name} ({Path(file).stem})" if equals else Path(word).stem or word
