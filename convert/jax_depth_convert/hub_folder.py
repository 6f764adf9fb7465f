"""A native model directory with a model card: a repository for the Hugging Face hub.

Once downloaded, it loads with `jax_depth.load(folder)`. For a folder that
transformers loads, see `transformers_folder.py`.
"""

import os
from pathlib import Path

from jax_depth import checkpoint
from jax_depth._typing import Params
from jax_depth.catalog import MODELS, Entry
from jax_depth.checkpoint import CONFIG, WEIGHTS, StorageDtype, flatten
from jax_depth.config import ModelConfig
from jax_depth.formats.atomic import new_directory

CARD = "README.md"

# Licences of the catalogue as the hub writes them; what it does not know is "other".
_HUB_LICENCES = {
    "Apache-2.0": "apache-2.0",
    "MIT": "mit",
    "CC-BY-NC-4.0": "cc-by-nc-4.0",
}
_MEANING = {
    "inverse_depth": "relative inverse depth: larger is nearer, 0 is infinitely far, "
    "scale and shift are arbitrary",
    "depth": "relative depth: larger is farther, the scale is arbitrary",
    "metric_depth": "depth in metres along the camera's axis",
    "features": "features; the model has no depth head",
}
_TEXT = """\
---
{front}
---

# {name}

{origin}. It predicts {meaning}.

```
pip install jax-depth
```

```python
import huggingface_hub
import jax_depth

folder = huggingface_hub.snapshot_download("USER/REPOSITORY")
{use}
```

| | |
| --- | --- |
| parameters | {parameters:,}, stored as {dtype} |
| input | RGB; {side} side {size} px; multiples of {patch}; resized as {resample} |
| normalisation | mean {mean}, standard deviation {std} |
| licence | {licence} |

`config.json` describes the network; `model.safetensors` holds the weights, each tensor
named by its path in the parameter tree.
"""
_USE = 'depth = jax_depth.load(folder)("photo.jpg")\ndepth.save("depth.png")'
_USE_ENCODER = "params, config = jax_depth.load_params(folder)"


def write_hub_folder(
    params: Params,
    config: ModelConfig,
    directory: str | os.PathLike,
    dtype: StorageDtype | None = None,
    *,
    base: str | None = None,
) -> None:
    """Write `config.json`, `model.safetensors` and `README.md`, the model card.

    Args:
        params: nested dict of arrays.
        config: the `ModelConfig` that `params` belong to. For a catalogue model the
            card states its source and licence; for any other the licence is "unknown".
            Weights cannot tell that they were fine-tuned: give such a config a name of
            its own.
        directory: a new or empty directory, or an older one of this kind to replace.
        dtype: dtype to store weights in; None keeps the dtype of each leaf.
        base: catalogue name of the model that the weights were fine-tuned from; by
            default that of `config` if it has a `max_depth`, kind or head of its own.

    Raises:
        ValueError: `params` do not fit `config`.
        FileExistsError: `directory` is a file or holds something else.
    """
    with new_directory(directory, replaces=(CONFIG, WEIGHTS, CARD)) as temporary:
        native = temporary / "native"
        checkpoint.save(native, params, config, dtype)
        for name in (CONFIG, WEIGHTS):
            os.rename(native / name, temporary / name)
        native.rmdir()
        text = model_card(params, config, dtype, base)
        Path(temporary / CARD).write_text(text, encoding="utf-8")


def model_card(
    params: Params,
    config: ModelConfig,
    dtype: StorageDtype | None = None,
    base: str | None = None,
) -> str:
    """Return the text of the model card: YAML metadata for the Hub, then Markdown."""
    entry = MODELS.get(base or config.name)
    # A name can be reused for another network, whose source is then unknown.
    if entry is not None and entry.config.encoder != config.encoder:
        entry = None
    published = entry is not None and base is None and _trained_alike(entry, config)
    licence = entry.licence if entry and published else "not stated"
    tag = _HUB_LICENCES.get(licence, "other") if published else "unknown"
    source = entry and (entry.repository or entry.original)
    if entry is None:
        origin = "A model for jax_depth"
    elif not published:
        origin = f"Fine-tuned from `{source or entry.config.name}`, for jax_depth"
        licence += f"; `{entry.config.name}`, which it started from: {entry.licence}"
    elif entry.bundled:
        origin = "The model that comes with jax_depth"
    else:
        origin = f"`{source or entry.config.name}`, converted for jax_depth"
    front = [
        "library_name: jax-depth",
        "pipeline_tag: "
        + ("image-feature-extraction" if config.head is None else "depth-estimation"),
        f"license: {tag}",
        *([f"base_model: {entry.repository}"] if entry and entry.repository else []),
        "tags: [jax, flax, depth-anything]",
    ]
    leaves = flatten(params)
    reach = f", up to {config.max_depth:g} m" if config.max_depth else ""
    long = config.resample == "shrink_area" or "upper_bound" in config.resample
    return _TEXT.format(
        front="\n".join(front),
        name=config.name,
        origin=origin,
        meaning=_MEANING[config.kind] + reach,
        use=_USE if config.head is not None else _USE_ENCODER,
        parameters=sum(leaf.size for leaf in leaves.values()),
        dtype=dtype or next(iter(leaves.values())).dtype,
        side="long" if long else "short",
        size=config.image_size,
        patch=config.encoder.patch_size,
        resample="transformers does"
        if config.resample == "transformers"
        else "the original code does",
        mean=", ".join(f"{x:.4g}" for x in config.mean),
        std=", ".join(f"{x:.4g}" for x in config.std),
        licence=licence,
    )


def _trained_alike(entry: Entry, config: ModelConfig) -> bool:
    """Whether a config differs from the published one by nothing that training sets."""
    published = entry.config
    return (published.head, published.kind, published.max_depth) == (
        config.head,
        config.kind,
        config.max_depth,
    )
