"""Which of several forms an operation takes, to be measured one against another.

Each form gives the same numbers up to rounding. The defaults are what won; to measure,
put others in their place for a while:

    with using(dataclasses.replace(DEFAULTS, cudnn_attention=False)):
        program = jax.jit(function).lower(*arguments).compile()
"""

import contextlib
import dataclasses
from collections.abc import Iterator

import jax


@dataclasses.dataclass(frozen=True)
class Forms:
    """One choice for each operation that has several.

    Attributes:
        cudnn_attention: under bfloat16 on a CUDA GPU, cuDNN's fused attention, which
            never writes the logits to memory.
        flash_attention: under bfloat16 on a TPU, Pallas' kernel above 1024 tokens.
        gathered_resize: bilinear resizes on GPUs gather two sources an axis, as on a
            CPU, instead of multiplying by a matrix.
        rounded_results: products of layers under bfloat16 on GPUs write bfloat16,
            summed in float32 and rounded once; what follows reads half as much.
        rounded_cotangents: the backward products of bfloat16 layers round what they
            take to bfloat16 too; gradients of weights are summed in float32.
        checkpointed_once: a block that is recomputed in the backward pass holds no
            checkpoint of its own around attention.
        projected_first: the head's 1x1 convolutions run before the resize they commute
            with, on a quarter of the positions.
    """

    cudnn_attention: bool = True
    flash_attention: bool = True
    gathered_resize: bool = True
    rounded_results: bool = True
    rounded_cotangents: bool = True
    checkpointed_once: bool = True
    projected_first: bool = True


DEFAULTS = Forms()
_current = DEFAULTS


def forms() -> Forms:
    """Return the forms that are traced now."""
    return _current


@contextlib.contextmanager
def using(chosen: Forms) -> Iterator[None]:
    """Trace with other forms in the body; what was compiled before is forgotten."""
    global _current
    before = _current
    # Calls that are jitted inside the network keep their traces.
    jax.clear_caches()
    _current = chosen
    try:
        yield
    finally:
        _current = before
        jax.clear_caches()
