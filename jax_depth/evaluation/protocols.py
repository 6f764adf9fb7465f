"""The published evaluation protocols, as data."""

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool

from jax_depth.config import Resample
from jax_depth.evaluation.alignment import Alignment


@dataclasses.dataclass(frozen=True)
class Crop:
    """The part of a picture that counts, as fractions of its size or in pixels.

    Attributes:
        rows, columns: start and end; fractions where `size` is None, else pixels of
            a picture of that size.
        size: (height, width) the pixels belong to.
    """

    rows: tuple[float, float]
    columns: tuple[float, float]
    size: tuple[int, int] | None = None

    def mask(self, shape: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
        """Return where the crop is in a picture of `shape`.

        Raises:
            ValueError: the crop is in pixels of another size.
        """
        if self.size is not None and shape != self.size:
            raise ValueError(
                f"it is {shape[1]}x{shape[0]}, but this protocol's crop is defined at "
                f"{self.size[1]}x{self.size[0]}"
            )
        # Rounded down, as ZoeDepth (zoedepth/utils/misc.py) and Marigold do.
        edges = [
            [math.floor(f * n) if self.size is None else int(f) for f in span]
            for span, n in zip((self.rows, self.columns), shape, strict=True)
        ]
        inside = np.zeros(shape, bool)
        inside[slice(*edges[0]), slice(*edges[1])] = True
        return inside


# Eigen et al. 2014 on NYU; Garg et al. 2016 (arXiv:1603.04992) on KITTI.
EIGEN = Crop((45.0, 471.0), (41.0, 601.0), size=(480, 640))
GARG = Crop((0.40810811, 0.99189189), (0.03594771, 0.96405229))


_RELATIVE = Alignment("scale_shift", "disparity")


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How a benchmark is scored.

    Attributes:
        name: as on the command line.
        reader: the format, as `jax_depth.data` names it.
        options: of the reader.
        alignment: for relative models; metric ones are compared as they are.
        min_depth, max_depth: metres, both exclusive for the truth; predictions are
            clipped to them.
        crop: the part of the pictures that counts; None for all.
        images: how many there are in the published benchmark.
        boundaries: whether the truth is dense enough for the boundary F1.
        resample: whose preprocessing; None for the model's own. "transformers" also
            brings the prediction to the picture's size as transformers does,
            bicubically, not bilinearly as the original code.
        source: where the choices come from.
        reproduces: what is known to come out, and what is not.
    """

    name: str
    reader: str
    source: str
    reproduces: str
    min_depth: float
    max_depth: float
    images: int
    options: Mapping[str, str] = dataclasses.field(default_factory=dict)
    alignment: Alignment = _RELATIVE
    crop: Crop | None = None
    boundaries: bool = False
    resample: Resample | None = None


_AUTHORS = (
    "least squares of scale and shift in disparity, per image: the authors' answers in "
    "Depth-Anything-V2 issue 157 and Depth-Anything issue 43"
)
_NYU = Protocol(
    name="nyu",
    reader="nyu",
    options={"depth": "raw", "split": "test"},
    min_depth=1e-3,
    max_depth=10.0,
    crop=EIGEN,
    images=654,
    source=f"{_AUTHORS}; raw depth and the Eigen crop: the reproduction of github.com/"
    "kmatzen/plumbline",
    reproduces="AbsRel of V2 small, base, large .051, .046, .043 there, .053, .049, "
    ".045 in the paper; with the filled depth small gives .062",
)
_KITTI = Protocol(
    name="kitti",
    reader="kitti",
    min_depth=1e-3,
    max_depth=80.0,
    crop=GARG,
    images=652,
    source=f"{_AUTHORS}; the 652 of Eigen's test frames with improved truth, Garg crop "
    "of the full picture: github.com/kmatzen/plumbline",
    reproduces="AbsRel of V2 small, base, large .077, .076, .071 there, .078, .078, "
    ".074 in the paper",
)
_ETH3D = Protocol(
    name="eth3d",
    reader="eth3d",
    min_depth=1e-3,
    max_depth=80.0,
    images=454,
    source=f"{_AUTHORS}; cap of 80 m: github.com/kmatzen/plumbline",
    reproduces="not the paper: V2 small, base, large .101, .094, .089 there, .142, "
    ".137, .131 in the paper, whose harness is unpublished",
)
_SINTEL = Protocol(
    name="sintel",
    reader="sintel",
    options={"rendering": "final"},
    min_depth=1e-3,
    max_depth=70.0,
    images=1064,
    boundaries=True,
    source=f"{_AUTHORS}; cap of 70 m against the sky: Video-Depth-Anything "
    "benchmark/eval",
    reproduces="not the paper: V2 large .232 by github.com/kmatzen/plumbline, .487 in "
    "the paper, whose harness is unpublished",
)
_DIODE = Protocol(
    name="diode",
    reader="diode",
    options={"split": "val"},
    min_depth=1e-3,
    max_depth=50.0,
    images=771,
    source=f"{_AUTHORS}; the dataset's mask, cap of 50 m: github.com/kmatzen/plumbline",
    reproduces="indoors only: V2 small .072 on the 325 indoor pictures there, .073 in "
    "the paper; .220 on all 771",
)


def _as_transformers(protocol: Protocol) -> Protocol:
    return dataclasses.replace(
        protocol,
        name=f"{protocol.name}-transformers",
        resample="transformers",
        source=f"{protocol.source}; pictures and maps resized as by transformers' "
        "DPTImageProcessor",
        reproduces="about .002 of AbsRel from the original preprocessing on NYU "
        "(github.com/kmatzen/plumbline); nothing is published",
    )


PROTOCOLS: Mapping[str, Protocol] = {
    protocol.name: protocol
    for base in (_NYU, _KITTI, _ETH3D, _SINTEL, _DIODE)
    for protocol in (base, _as_transformers(base))
}

# DA-2K has pairs, not maps, so no alignment and no metres; see `evaluation.da2k`.
DA2K_SOURCE = (
    "Depth-Anything-V2 DA-2K.md and arXiv:2406.09414, section 6: share of pairs whose "
    "nearer point is predicted nearer, ties wrong, at the picture's own size"
)
DA2K_REPRODUCES = (
    "no official script exists; 95.3, 97.0, 97.1 % for V2 small, base, large in the "
    "paper"
)
