"""Every model that loads by name: what it is, where its weights are, what they permit.

`MODELS` maps a name to its `Entry`. A row is data alone; adding a checkpoint of a
known architecture is adding a row here and one in `convert/README.md`.
"""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType

from jax_depth.config import (
    EncoderConfig,
    HeadConfig,
    HybridConfig,
    ModelConfig,
    PromptHeadConfig,
    VideoHeadConfig,
)

Slice = tuple[tuple[float, float, float], ...]


@dataclasses.dataclass(frozen=True)
class Entry:
    """One published model.

    Attributes:
        config: the network and what its output means.
        parameters: number of parameters as published, unused ones included.
        licence: of the weights, as their publisher states it.
        repository: Hugging Face repository whose `file` is loaded; None where there
            is none.
        file: the weights in it, in a layout that `jax_depth_convert` recognises.
        original: where the authors' own PyTorch file is: "repository/file" or an
            address.
        golden: published depth of the top-left 3x3 pixels of COCO val2017
            000000039769 at 518x686 through transformers' preprocessing, to 1e-4
            (transformers, `convert_depth_anything_to_hf.py`).
        bundled: whether the weights come with this package.
        note: what a user should know before using the weights.
    """

    config: ModelConfig
    parameters: int
    licence: str
    repository: str | None = None
    file: str = "model.safetensors"
    original: str | None = None
    golden: Slice | None = None
    bundled: bool = False
    note: str = ""

    @property
    def non_commercial(self) -> bool:
        """Whether the licence forbids commercial use."""
        return "-NC-" in self.licence


_APACHE = "Apache-2.0"
_NC = "CC-BY-NC-4.0"
_UNSTATED = "not stated"
_DISPUTED = (
    "MIT as its authors state (Westlake-AGI-Lab/Distill-Any-Depth#32); it begins with "
    "weights of Depth Anything V2, whose base and large ones are CC-BY-NC-4.0, and "
    "users dispute that MIT can be given to those (#40)"
)

_SIZES = ("small", "base", "large", "giant")
_LETTERS = {"small": "s", "base": "b", "large": "l", "giant": "g"}
_SHAPES = {  # width, depth, heads, mlp_hidden
    "small": (384, 12, 6, 1536),
    "base": (768, 12, 12, 3072),
    "large": (1024, 24, 16, 4096),
    "giant": (1536, 40, 24, 4096),
}
_HEADS = {
    "small": HeadConfig(64, (48, 96, 192, 384)),
    "base": HeadConfig(128, (96, 192, 384, 768)),
    "large": HeadConfig(256, (256, 512, 1024, 1024)),
    "giant": HeadConfig(384, (1536, 1536, 1536, 1536)),
}
# V1 tapped the last four blocks by accident (get_intermediate_layers(n=4)); V2's
# lists are upstream's own, and the large one is not an even split.
_TAPS_V1 = {
    "small": (8, 9, 10, 11),
    "base": (8, 9, 10, 11),
    "large": (20, 21, 22, 23),
}
_TAPS_V2 = {
    "small": (2, 5, 8, 11),
    "base": (2, 5, 8, 11),
    "large": (4, 11, 17, 23),
    "giant": (9, 19, 29, 39),
}
_PARAMETERS = {
    "small": 24_785_089,
    "base": 97_470_785,
    "large": 335_315_649,
    "giant": 1_258_132_225,
}
_PROMPT_PARAMETERS = {"small": 25_083_073, "large": 340_046_529}
_VIDEO_PARAMETERS = {
    "small": 29_035_137,
    "base": 114_441_409,
    "large": 384_390_337,
}
_ENCODER_PARAMETERS = {
    "small": 22_056_576,
    "base": 86_580_480,
    "large": 304_368_640,
    "giant": 1_136_480_768,
}


def _encoder(size: str, taps: tuple[int, ...], *, registers: int = 0) -> EncoderConfig:
    width, depth, heads, hidden = _SHAPES[size]
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


def _v1(size: str, golden: Slice) -> Entry:
    return Entry(
        config=ModelConfig(
            f"depth-anything-{size}", _encoder(size, _TAPS_V1[size]), _HEADS[size]
        ),
        parameters=_PARAMETERS[size],
        licence=_APACHE,
        repository=f"LiheYoung/depth-anything-{size}-hf",
        original=f"LiheYoung/depth_anything_vit{_LETTERS[size]}14/pytorch_model.bin",
        golden=golden,
        note="licence as tagged on the model card; the question in "
        "LiheYoung/Depth-Anything#252 has no answer",
    )


def _v2(size: str, golden: Slice | None) -> Entry:
    config = ModelConfig(
        f"depth-anything-v2-{size}", _encoder(size, _TAPS_V2[size]), _HEADS[size]
    )
    if size == "giant":
        note = "never released by its authors"
        return Entry(config, _PARAMETERS[size], _NC, note=note)
    repository = f"depth-anything/Depth-Anything-V2-{size.title()}"
    return Entry(
        config=config,
        parameters=_PARAMETERS[size],
        licence=_APACHE if size == "small" else _NC,
        repository=f"{repository}-hf",
        original=f"{repository}/depth_anything_v2_vit{_LETTERS[size]}.pth",
        golden=golden,
    )


def _metric(scene: str, size: str, golden: Slice) -> Entry:
    dataset, max_depth = {
        "indoor": ("Hypersim", 20.0),
        "outdoor": ("VKITTI", 80.0),
    }[scene]
    stem = "depth-anything/Depth-Anything-V2-Metric"
    file = f"depth_anything_v2_metric_{dataset.lower()}_vit{_LETTERS[size]}.pth"
    return Entry(
        config=ModelConfig(
            f"depth-anything-v2-metric-{scene}-{size}",
            _encoder(size, _TAPS_V2[size]),
            _HEADS[size],
            kind="metric_depth",
            max_depth=max_depth,
        ),
        parameters=_PARAMETERS[size],
        licence=_UNSTATED,
        repository=f"{stem}-{scene.title()}-{size.title()}-hf",
        original=f"{stem}-{dataset}-{size.title()}/{file}",
        golden=golden,
        note="neither of its two repositories carries a licence tag, and the question "
        "has no answer (DepthAnything/Depth-Anything-V2#245)",
    )


def _distilled(size: str, golden: Slice) -> Entry:
    # The base port is not by the authors, who published it in their own layout only.
    owner = "lc700x" if size == "base" else "xingyang1"
    return Entry(
        config=ModelConfig(
            f"distill-any-depth-{size}", _encoder(size, _TAPS_V2[size]), _HEADS[size]
        ),
        parameters=_PARAMETERS[size],
        licence="MIT",
        repository=f"{owner}/Distill-Any-Depth-{size.title()}-hf",
        original=f"xingyang1/Distill-Any-Depth/{size}/model.safetensors",
        golden=golden,
        note="" if size == "small" else _DISPUTED,
    )


def _dinov2(size: str, registers: int) -> Entry:
    stem = f"dinov2_vit{_LETTERS[size]}14"
    file = f"{stem}_reg4_pretrain.pth" if registers else f"{stem}_pretrain.pth"
    suffix, infix = ("-registers", "with-registers-") if registers else ("", "")
    return Entry(
        config=ModelConfig(
            f"dinov2-{size}{suffix}",
            _encoder(size, (), registers=registers),
            None,
            kind="features",
        ),
        parameters=_ENCODER_PARAMETERS[size] + registers * _SHAPES[size][0],
        licence=_APACHE,
        repository=f"facebook/dinov2-{infix}{size}",
        original=f"https://dl.fbaipublicfiles.com/dinov2/{stem}/{file}",
    )


def _prompted(name: str, size: str, note: str = "") -> Entry:
    head = _HEADS[size]
    repository = f"depth-anything/prompt-depth-anything-vit{_LETTERS[size]}"
    if name != size:
        repository += name.removeprefix(size)
    return Entry(
        config=ModelConfig(
            f"prompt-depth-anything-{name}",
            _encoder(size, _TAPS_V2[size]),
            PromptHeadConfig(head.features, head.channels),
            kind="metric_depth",
            image_size=756,
        ),
        parameters=_PROMPT_PARAMETERS[size],
        licence=_APACHE,
        repository=f"{repository}-hf",
        original=f"{repository}/model.ckpt",
        note=note,
    )


def _video(size: str, metric: bool) -> Entry:
    head = _HEADS[size]
    infix = "metric-" if metric else ""
    title = f"Video-Depth-Anything-{size.title()}"
    repository = f"depth-anything/{'Metric-' if metric else ''}{title}"
    prefix = "metric_" if metric else ""
    file = f"{prefix}video_depth_anything_vit{_LETTERS[size]}.pth"
    note = ""
    if metric and size != "small":
        note = "licence as the code's README states it for base and large"
    return Entry(
        config=ModelConfig(
            f"video-depth-anything-{infix}{size}",
            _encoder(size, _TAPS_V2[size]),
            VideoHeadConfig(head.features, head.channels),
            kind="metric_depth" if metric else "inverse_depth",
        ),
        parameters=_VIDEO_PARAMETERS[size],
        licence=_APACHE if size == "small" else _NC,
        repository=repository,
        file=file,
        original=f"{repository}/{file}",
        note=note,
    )


_TINY = Entry(
    config=ModelConfig(
        "tiny",
        HybridConfig(),
        HeadConfig(
            32,
            (32, 32, 64, 128),
            resize=("keep", "keep", "keep", "down2"),
            output_channels=16,
        ),
        image_size=176,
        resample="transformers",
        mean=(127 / 255, 127 / 255, 127 / 255),
        std=(128 / 255, 128 / 255, 128 / 255),
    ),
    parameters=3_843_521,
    licence=_APACHE,
    bundled=True,
)

_ENTRIES = [
    _TINY,
    _v1(
        "small",
        ((8.8204, 8.6468, 8.6195), (8.3313, 8.6027, 8.7526), (8.6526, 8.6866, 8.7453)),
    ),
    _v1(
        "base",
        (
            (26.3997, 26.3004, 26.3928),
            (26.2260, 26.2092, 26.3427),
            (26.0719, 26.0483, 26.1254),
        ),
    ),
    _v1(
        "large",
        (
            (87.9968, 87.7493, 88.2704),
            (87.1927, 87.6611, 87.3640),
            (86.7789, 86.9469, 86.7991),
        ),
    ),
    _v2(
        "small",
        ((2.6751, 2.6211, 2.6571), (2.5820, 2.6138, 2.6271), (2.6160, 2.6141, 2.6306)),
    ),
    _v2(
        "base",
        ((4.3576, 4.3723, 4.3908), (4.3231, 4.3146, 4.3611), (4.3016, 4.3170, 4.3121)),
    ),
    _v2(
        "large",
        (
            (162.2751, 161.8504, 162.8788),
            (160.3138, 160.8050, 161.9835),
            (159.3812, 159.9884, 160.0768),
        ),
    ),
    _v2("giant", None),
    _metric(
        "indoor",
        "small",
        ((1.3349, 1.2946, 1.2801), (1.2793, 1.2337, 1.2899), (1.2629, 1.2218, 1.2476)),
    ),
    _metric(
        "indoor",
        "base",
        ((1.4601, 1.3824, 1.4904), (1.5031, 1.4349, 1.4274), (1.4570, 1.4578, 1.4200)),
    ),
    _metric(
        "indoor",
        "large",
        ((1.5040, 1.5019, 1.5218), (1.5087, 1.5195, 1.5149), (1.5437, 1.5128, 1.5252)),
    ),
    _metric(
        "outdoor",
        "small",
        ((9.5804, 8.0339, 7.7386), (7.9890, 7.2464, 7.7149), (7.7021, 7.2330, 7.3304)),
    ),
    _metric(
        "outdoor",
        "base",
        ((10.2916, 9.0933, 8.8622), (9.1964, 9.3393, 9.0644), (8.9618, 9.4201, 9.2262)),
    ),
    _metric(
        "outdoor",
        "large",
        (
            (14.0137, 13.3627, 13.1080),
            (13.2522, 13.3943, 13.3705),
            (13.0581, 13.4505, 13.3925),
        ),
    ),
    _distilled(
        "small",
        ((2.5653, 2.5249, 2.5570), (2.4897, 2.5235, 2.5355), (2.5255, 2.5261, 2.5422)),
    ),
    _distilled(
        "base",
        ((4.8976, 4.9075, 4.9403), (4.8872, 4.8906, 4.9448), (4.8712, 4.8898, 4.8838)),
    ),
    _distilled(
        "large",
        (
            (55.1067, 51.1828, 51.6803),
            (51.9098, 50.7529, 51.4494),
            (50.1745, 50.5491, 50.8818),
        ),
    ),
    Entry(
        config=ModelConfig(
            "distill-any-depth-large-2w",
            _encoder("large", _TAPS_V2["large"]),
            _HEADS["large"],
        ),
        parameters=_PARAMETERS["large"],
        licence="MIT",
        repository="xingyang1/Distill-Any-Depth",
        file="Distill-Any-Depth-Dav2-Teacher-Large-2w-iter/model.safetensors",
        original="xingyang1/Distill-Any-Depth/"
        "Distill-Any-Depth-Dav2-Teacher-Large-2w-iter/model.safetensors",
        # One teacher, twenty thousand ("2w") steps, from V2's encoder.
        note=_DISPUTED,
    ),
    Entry(
        config=ModelConfig(
            "depth-anything-ac-small",
            _encoder("small", _TAPS_V2["small"]),
            _HEADS["small"],
        ),
        parameters=_PARAMETERS["small"],
        licence=_NC,
        repository="ghost233lism/DepthAnything-AC",
        file="checkpoints/depth_anything_AC_vits.pth",
        original="ghost233lism/DepthAnything-AC/checkpoints/depth_anything_AC_vits.pth",
        note="licence as tagged on the hub; the code's repository states none. Trained "
        "for night, fog, rain and blur",
    ),
    _prompted("small", "small"),
    _prompted(
        "small-transparent",
        "small",
        "licence as tagged on the model card where there is one, the code's otherwise",
    ),
    _prompted(
        "large",
        "large",
        "tagged Apache-2.0 by the organisation that tags the V2-L it is built on "
        "CC-BY-NC-4.0",
    ),
    *(_video(size, False) for size in _SIZES[:3]),
    *(_video(size, True) for size in _SIZES[:3]),
    *(_dinov2(size, 0) for size in _SIZES),
    *(_dinov2(size, 4) for size in _SIZES),
]

MODELS: Mapping[str, Entry] = MappingProxyType(
    {entry.config.name: entry for entry in _ENTRIES}
)

ALIASES: Mapping[str, str] = MappingProxyType(
    {
        **{f"vit{_LETTERS[size]}": f"depth-anything-v2-{size}" for size in _SIZES},
        **{
            f"dinov2_vit{_LETTERS[size]}14{suffix}": f"dinov2-{size}{registers}"
            for size in _SIZES
            for suffix, registers in (("", ""), ("_reg", "-registers"))
        },
    }
)
