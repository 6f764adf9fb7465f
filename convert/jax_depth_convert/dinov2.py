"""Keys of DINOv2's own files and of the `pretrained.` half of Depth Anything's.

Upstream: facebookresearch/dinov2 `dinov2/models/vision_transformer.py`.
"""

import dataclasses

from jax_depth_convert.rules import Rule, layer, norm

BLOCK = (
    *norm("blocks.{n}.norm1", "block_{n}/norm1"),
    *layer("blocks.{n}.attn.qkv", "block_{n}/attn/qkv", "linear"),
    *layer("blocks.{n}.attn.proj", "block_{n}/attn/proj", "linear"),
    Rule("blocks.{n}.ls1.gamma", "block_{n}/ls1/gamma"),
    *norm("blocks.{n}.norm2", "block_{n}/norm2"),
    *layer("blocks.{n}.mlp.fc1", "block_{n}/mlp/fc1", "linear"),
    *layer("blocks.{n}.mlp.fc2", "block_{n}/mlp/fc2", "linear"),
    *layer("blocks.{n}.mlp.w12", "block_{n}/mlp/w12", "linear"),
    *layer("blocks.{n}.mlp.w3", "block_{n}/mlp/w3", "linear"),
    Rule("blocks.{n}.ls2.gamma", "block_{n}/ls2/gamma"),
)

# Trained in chunks (FSDP), the key also says which chunk; {n} still counts over all,
# because `BlockChunk` pads each chunk with identities in front. Files of
# Distill-Any-Depth have either that or no "blocks" at all.
_OTHER_BLOCKS = tuple(
    dataclasses.replace(
        rule, pattern=rule.pattern.replace("blocks.", prefix), written=False
    )
    for prefix in ("blocks.{chunk}.", "")
    for rule in BLOCK
)

ENCODER = (
    Rule("cls_token", "cls_token"),
    Rule("pos_embed", "pos_embed"),
    Rule("mask_token", "mask_token"),
    Rule("register_tokens", "register_tokens"),
    *layer("patch_embed.proj", "patch_embed", "conv"),
    *BLOCK,
    *_OTHER_BLOCKS,
    *norm("norm", "norm"),
)
