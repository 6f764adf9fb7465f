"""Key tables of the published layouts, by prefix.

`original` is what the authors publish, `transformers` what `save_pretrained` writes;
each has a form with a head and one of the bare encoder.
"""

import dataclasses
from collections.abc import Mapping
from typing import Literal

from jax_depth_convert import dinov2, dpt, hf
from jax_depth_convert.rules import Rule, below

Layout = Literal["original", "transformers"]

# Distill-Any-Depth calls the encoder `backbone` in some of its files.
_DISTILLED = tuple(
    dataclasses.replace(rule, written=False)
    for rule in below(dinov2.ENCODER, "backbone.", "encoder/")
)

# (layout, has a head) -> rules
TABLES: Mapping[tuple[Layout, bool], tuple[Rule, ...]] = {
    ("original", True): (
        *below(dinov2.ENCODER, "pretrained.", "encoder/"),
        *_DISTILLED,
        *below(dpt.HEAD, "depth_head.", "head/"),
    ),
    ("original", False): below(dinov2.ENCODER, "", "encoder/"),
    ("transformers", True): (
        *below(hf.ENCODER, "backbone.", "encoder/"),
        *below(hf.HEAD, "", "head/"),
    ),
    ("transformers", False): below(hf.ENCODER, "", "encoder/"),
}

# What a key of that layout alone begins with.
PREFIXES: Mapping[tuple[Layout, bool], tuple[str, ...]] = {
    ("original", True): ("pretrained.", "depth_head."),
    ("original", False): ("blocks.", "patch_embed."),
    ("transformers", True): ("backbone.embeddings.", "backbone.encoder.", "neck."),
    ("transformers", False): ("encoder.layer.", "embeddings."),
}
