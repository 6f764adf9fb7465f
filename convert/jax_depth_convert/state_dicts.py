"""State dicts in a published layout to parameter trees, and back."""

import dataclasses
import re
import sys
from collections.abc import Mapping
from typing import Any, Literal

import ml_dtypes
import numpy as np

from jax_depth._typing import Params
from jax_depth.checkpoint import (
    check,
    flatten,
    leaf_shapes,
    refuse_nonfinite,
    unflatten,
)
from jax_depth.config import EncoderConfig, ModelConfig
from jax_depth.models.architectures import published_keys
from jax_depth_convert.depth_anything import Layout
from jax_depth_convert.layouts import PublishedLayout, layout_of, layouts_of
from jax_depth_convert.pickle_values import shown
from jax_depth_convert.prefixes import as_in_tables
from jax_depth_convert.rules import Leaf, invert, match

_BLOCK = re.compile(
    r"(?:.*\.)?(?:blocks(?:\.\d+)?|encoder\.layer|backbone|pretrained)\.(\d{1,4})\..*"
)
_MAX_KEY = 1000  # characters; the patterns above take the square of a key's length
_SWIGLU = re.compile(r".*\.mlp\.(?:w12|weights_in|gate_proj)\..*")

# What messages call the kinds of networks that have no name of their own.
_KINDS = {"depth_anything": "depth model", "dinov2": "encoder"}


@dataclasses.dataclass(frozen=True)
class Recognised:
    """What the names and shapes of a state dict reveal.

    This does not tell V1, V2 and metric models of one size apart: they are identical
    in all of it.

    Attributes:
        layout: "original" or "transformers".
        head: whether there is a depth head as well as the encoder.
        width: token width.
        depth: number of blocks.
        mlp: "gelu" or "swiglu".
        registers: number of register tokens.
        keys: which kind of network, as in `jax_depth.models.architectures`.
    """

    layout: Layout
    head: bool
    width: int
    depth: int
    mlp: Literal["gelu", "swiglu"]
    registers: int
    keys: str = "depth_anything"

    def fits(self, config: ModelConfig) -> bool:
        """Whether a model has this geometry."""
        encoder = config.encoder
        return isinstance(encoder, EncoderConfig) and (
            (published_keys(config), encoder.width, encoder.depth)
            == (self.keys, self.width, self.depth)
            and (encoder.mlp, encoder.registers) == (self.mlp, self.registers)
        )

    def __str__(self) -> str:
        kind = _KINDS.get(self.keys, self.keys.replace("_", " ") + " model")
        extra = f" and {self.registers} registers" if self.registers else ""
        return (
            f"a {kind} of width {self.width} with {self.depth} blocks{extra} in the "
            f"{self.layout} layout"
        )


def recognise(state: Mapping[str, Any]) -> Recognised:
    """Return the layout and the geometry of a state dict.

    Raises:
        ValueError: the keys belong to no layout known here.
    """
    _check_keys(state)
    state = as_in_tables(state)
    layouts = layouts_of(state)
    if len(layouts) != 1:
        first = ", ".join(map(shown, list(state)[:3])) or "none at all"
        raise ValueError(
            f"the keys ({first}, ...) are not those of a supported model (Depth "
            "Anything V1, V2, 3 and models derived from them, DINOv2) in the original "
            "or the transformers layout; if it is one of them, save its "
            "model.state_dict() without adapters"
        )
    keys, layout = layouts[0].keys, layouts[0].layout
    width = _sizes(state, "cls_token", 3, -1)
    if not width:
        raise ValueError(
            "the weights are incomplete: a cls_token of shape (1, 1, width) is "
            "missing; save the whole model.state_dict()"
        )
    blocks = [int(hit[1]) for key in state if (hit := _BLOCK.fullmatch(key))]
    registers = _sizes(state, "register_tokens", 3, 1)
    return Recognised(
        layout=layout,
        head=keys != "dinov2",
        width=width[0],
        depth=1 + max(blocks, default=-1),
        mlp="swiglu" if any(map(_SWIGLU.fullmatch, state)) else "gelu",
        registers=registers[0] if registers else 0,
        keys=keys,
    )


def _check_keys(state: Mapping[str, Any]) -> None:
    for key in state:
        if not isinstance(key, str) or len(key) > _MAX_KEY:
            long = isinstance(key, str)
            what = f"has {len(key)} characters" if long else "is not a string"
            raise ValueError(
                f"a key of the state dict {what} ({shown(key)}); pass the state dict "
                "of a model"
            )


def from_torch(
    state: Mapping[str, Any], config: ModelConfig, *, allow_nonfinite: bool = False
) -> dict[str, Any]:
    """Convert a PyTorch state dict in a published layout to jax_depth parameters.

    The layout is recognised: Depth Anything's own files (`pretrained.*`,
    `depth_head.*`) or transformers' (`backbone.*`, `neck.*`, `head.*`); for a bare
    encoder DINOv2's own files or transformers' `Dinov2Model` and
    `Dinov2WithRegistersModel`.

    Args:
        state: a dict from key to array, as `read` returns, or to torch tensor
            (`model.state_dict()`), including bfloat16 tensors and tensors that require
            grad. Prefixes added by wrappers (`module.`, `model.`) are ignored.
        config: the model that the weights were trained as. Nothing in `state` tells
            V1, V2 and metric models of one size apart. For fine-tuned weights the
            config of the model they started from, with your own `max_depth` if you
            changed it: `dataclasses.replace(config, name="mine", max_depth=10.0)`.
        allow_nonfinite: accept weights that are NaN or infinite.

    Returns:
        A nested dict of NumPy arrays in the stored dtype. Arrays are transposed views
        of `state` where possible, so they may not be C-contiguous.

    Raises:
        ValueError: one message with every unexpected, missing or misshapen key, the
            nearest expected key and both shapes (only the first few for an entirely
            different model); or a tensor, named by its key, that is complex, integer,
            NaN or infinite.
    """
    leaves = match_state(state, config, allow_nonfinite)
    return unflatten({path: np.asarray(leaf) for path, leaf in leaves.items()})


def unused(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tensors of a published file that jax_depth does not use, by key.

    The giant of Depth Anything 3 contains a head for Gaussian splats, 35.6 million
    numbers: `from_torch` leaves them out, and `to_torch` can add them again.
    """
    stripped = as_in_tables(state)
    rows = layouts_of(stripped)
    dead = rows[0].dead if len(rows) == 1 else ()
    prefix = rows[0].prefix if rows else ""
    return {
        prefix + key: value
        for key, value in stripped.items()
        if dead and key.startswith(dead)
    }


def to_torch(
    params: Params,
    config: ModelConfig,
    layout: Layout = "original",
    unused: Mapping[str, Any] | None = None,
) -> dict[str, np.ndarray]:
    """Convert parameters to a state dict of NumPy arrays, the inverse of `from_torch`.

    Args:
        params: nested dict of arrays.
        config: the `ModelConfig` that `params` belong to.
        layout: "original" (Depth Anything's or DINOv2's own) or "transformers".
        unused: the result of `unused`; these tensors are added to the state dict.

    Returns:
        A dict from key to array, C order, each with its own memory; every tensor is
        bit-identical to the one passed to `from_torch`.

    Raises:
        ValueError: `params` do not fit `config`, an unknown layout, or a model that has
            no published layout.
    """
    state = invert_params(params, config, layout) | dict(unused or {})
    return {key: np.array(leaf, order="C") for key, leaf in state.items()}


def match_state(
    state: Mapping[str, Any], config: ModelConfig, allow_nonfinite: bool = False
) -> dict[str, Leaf]:
    """Return `from_torch`'s leaves by path, not yet computed."""
    published_encoder(config)
    _check_keys(state)
    state = {key: _as_array(key, x) for key, x in as_in_tables(state).items()}
    found = recognise(state)
    if found.head != (config.head is not None):
        lacks = "has no depth head" if config.head is None else "has a depth head"
        raise ValueError(
            f"the weights, {found}, do not fit model {config.name!r}, which {lacks}"
        )
    row = layout_of(found.keys, found.layout)
    assert row is not None
    if row.dead:
        state = {k: x for k, x in state.items() if not k.startswith(row.dead)}
    try:
        leaves = match(row.rules, state, leaf_shapes(config))
    except ValueError as error:
        raise ValueError(
            f"the weights, {found}, do not fit model {config.name!r}: {error}"
        ) from None
    if not allow_nonfinite:
        refuse_nonfinite(state)
    return leaves


def invert_params(
    params: Params, config: ModelConfig, layout: Layout
) -> dict[str, Leaf]:
    """Return `to_torch`'s tensors by key, not yet computed."""
    published_encoder(config)
    if layout not in ("original", "transformers"):
        raise ValueError(
            f"layout {layout!r} is unknown; use 'original' or 'transformers'"
        )
    leaves = flatten(params)
    check(leaves, config, "parameters")
    row = _layout_to_write(config, layout)
    return {row.prefix + k: x for k, x in invert(row.rules, leaves).items()}


def _layout_to_write(config: ModelConfig, layout: Layout) -> PublishedLayout:
    row = layout_of(published_keys(config), layout)
    if row is None:
        raise ValueError(
            f"model {config.name!r} has no {layout} layout; use layout='original' "
            "(--layout original)"
        )
    return row


def _sizes(state: Mapping[str, Any], name: str, rank: int, axis: int) -> list[int]:
    """Return the size along `axis` of every tensor of this name and rank."""
    return [
        value.shape[axis]
        for key, value in state.items()
        if key.split(".")[-1] == name and len(value.shape) == rank
    ]


def _as_array(key: str, value: Any) -> Any:
    """Return a tensor as something with a NumPy dtype; torch's share their memory."""
    if isinstance(value, np.ndarray | Leaf):
        return value
    try:
        if not hasattr(value, "detach"):
            return np.asarray(value)
        # A torch tensor, so torch is there; NumPy has no name for some of its dtypes.
        tensor = value.detach().cpu()
        name = str(tensor.dtype).removeprefix("torch.")
        if not hasattr(ml_dtypes, name):
            return tensor.numpy()
        torch = sys.modules["torch"]
        bits = torch.int16 if name == "bfloat16" else torch.uint8
        dtype = np.dtype(getattr(ml_dtypes, name))
        return tensor.contiguous().view(bits).numpy().view(dtype)
    except (TypeError, RuntimeError, ValueError) as error:
        reason = str(error).split("\n")[0][:200]
        raise ValueError(
            f"{shown(key)} cannot be viewed as a NumPy array ({reason}); pass "
            "tensor.detach().cpu().float().numpy()"
        ) from None


def published_encoder(config: ModelConfig) -> EncoderConfig:
    """Return the encoder of a model that has a PyTorch counterpart.

    Raises:
        ValueError: it has none.
    """
    if published_keys(config) and isinstance(config.encoder, EncoderConfig):
        return config.encoder
    raise ValueError(
        f"model {config.name!r} has no PyTorch counterpart; use the native layout"
    )
