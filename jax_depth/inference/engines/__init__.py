"""What computes a batch of pixels: XLA, or a runtime that is faster on some machines.

An engine is made from the parameters and the config, and has

    params          the parameters as it holds them
    batch_size      the batch it works best with
    compilations    how many programs are compiled and kept
    run(pixels)     (b, h, w, 3) float32 -> (b, h, w), as `jax_depth.forward`; XLA's
                    also takes a prompt (b, h2, w2) after the pixels
"""

from typing import Any, Literal, Protocol, get_args

from jax_depth._typing import Params

Engine = Literal["xla", "openvino"]
# Or what was measured to be fastest, see `inference.recommended`.
EngineChoice = Literal["xla", "openvino", "auto"]


class Runs(Protocol):
    """What `Estimator` needs from an engine."""

    params: Params
    batch_size: int

    @property
    def compilations(self) -> int: ...
    def run(self, pixels: Any, *prompt: Any) -> Any: ...


def check_engine(engine: str) -> None:
    """Raise ValueError if no engine has this name."""
    if engine not in get_args(EngineChoice):
        names = ", ".join(map(repr, get_args(EngineChoice)))
        raise ValueError(f"engine {engine!r} is unknown; use one of {names}")
