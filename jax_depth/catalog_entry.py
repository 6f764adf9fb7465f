"""What every row of the catalogue is made of."""

import dataclasses

from jax_depth.config import EncoderConfig, HeadConfig, ModelConfig


@dataclasses.dataclass(frozen=True)
class Entry:
    """One published model.

    Attributes:
        config: the network and what its output means.
        parameters: number of parameters as published, unused ones included.
        licence: of the weights, as their publisher states it.
        repository: Hugging Face repository whose `file` is loaded; None where there
            is none.
        file: name of the weight file in `repository`, in a layout that
            `jax_depth_convert` recognises.
        original: where the authors' own PyTorch file is: "repository/file" or a URL.
        bundled: whether the weights come with this package.
        note: what a user should know before using the weights.
    """

    config: ModelConfig
    parameters: int
    licence: str
    repository: str | None = None
    file: str = "model.safetensors"
    original: str | None = None
    bundled: bool = False
    note: str = ""

    @property
    def non_commercial(self) -> bool:
        """Whether the licence forbids commercial use."""
        return "-NC-" in self.licence


APACHE = "Apache-2.0"
NC = "CC-BY-NC-4.0"
UNSTATED = "not stated"

SIZES = ("small", "base", "large", "giant")
SHAPES = {  # width, depth, heads, mlp_hidden
    "small": (384, 12, 6, 1536),
    "base": (768, 12, 12, 3072),
    "large": (1024, 24, 16, 4096),
    "giant": (1536, 40, 24, 4096),
}
HEADS = {
    "small": HeadConfig(64, (48, 96, 192, 384)),
    "base": HeadConfig(128, (96, 192, 384, 768)),
    "large": HeadConfig(256, (256, 512, 1024, 1024)),
    "giant": HeadConfig(384, (1536, 1536, 1536, 1536)),
}
TAPS_V2 = {
    "small": (2, 5, 8, 11),
    "base": (2, 5, 8, 11),
    "large": (4, 11, 17, 23),
    "giant": (9, 19, 29, 39),
}


def encoder(size: str, taps: tuple[int, ...], *, registers: int = 0) -> EncoderConfig:
    width, depth, heads, hidden = SHAPES[size]
    return EncoderConfig(
        width=width,
        depth=depth,
        heads=heads,
        taps=taps,
        mlp="swiglu" if size == "giant" else "gelu",
        mlp_hidden=hidden,
        registers=registers,
        # dinov2/hub/backbones.py: the register models antialias, without offset.
        position_offset=0.0 if registers else 0.1,
        position_antialias=bool(registers),
    )
