"""Every model that loads by name: what it is, where its weights are, their licence.

`MODELS` maps a name to its `Entry`. An entry is pure data; to add a checkpoint of a
known architecture, add an entry here and a row in `convert/README.md`.
"""

from collections.abc import Mapping
from types import MappingProxyType

from jax_depth.catalog_depth_anything_3 import depth_anything_3
from jax_depth.catalog_entry import (
    APACHE,
    HEADS,
    NC,
    SHAPES,
    SIZES,
    TAPS_V2,
    UNSTATED,
    Entry,
    encoder,
)
from jax_depth.config import (
    HeadConfig,
    HybridConfig,
    ModelConfig,
    PromptHeadConfig,
    VideoHeadConfig,
)

_DISPUTED = (
    "MIT according to its authors (Westlake-AGI-Lab/Distill-Any-Depth#32). It started "
    "from Depth Anything V2, whose base and large weights are CC-BY-NC-4.0, and users "
    "dispute that these can be relicensed (Westlake-AGI-Lab/Distill-Any-Depth#40)"
)

_LETTERS = {"small": "s", "base": "b", "large": "l", "giant": "g"}
# V1 tapped the last four blocks by accident (get_intermediate_layers(n=4)); V2's
# lists are upstream's own, and the large one is not an even split.
_TAPS_V1 = {
    "small": (8, 9, 10, 11),
    "base": (8, 9, 10, 11),
    "large": (20, 21, 22, 23),
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


def _v1(size: str) -> Entry:
    return Entry(
        config=ModelConfig(
            f"depth-anything-{size}",
            encoder(size, _TAPS_V1[size]),
            HEADS[size],
            restore="half_pixel",
        ),
        parameters=_PARAMETERS[size],
        licence=APACHE,
        repository=f"LiheYoung/depth-anything-{size}-hf",
        original=f"LiheYoung/depth_anything_vit{_LETTERS[size]}14/pytorch_model.bin",
        note="licence as tagged on the model card; a question about it, "
        "LiheYoung/Depth-Anything#252, is unanswered",
    )


def _v2(size: str) -> Entry:
    config = ModelConfig(
        f"depth-anything-v2-{size}", encoder(size, TAPS_V2[size]), HEADS[size]
    )
    if size == "giant":
        note = "never released by its authors"
        return Entry(config, _PARAMETERS[size], NC, note=note)
    repository = f"depth-anything/Depth-Anything-V2-{size.title()}"
    return Entry(
        config=config,
        parameters=_PARAMETERS[size],
        licence=APACHE if size == "small" else NC,
        repository=f"{repository}-hf",
        original=f"{repository}/depth_anything_v2_vit{_LETTERS[size]}.pth",
    )


def _metric(scene: str, size: str) -> Entry:
    dataset, max_depth = {
        "indoor": ("Hypersim", 20.0),
        "outdoor": ("VKITTI", 80.0),
    }[scene]
    stem = "depth-anything/Depth-Anything-V2-Metric"
    file = f"depth_anything_v2_metric_{dataset.lower()}_vit{_LETTERS[size]}.pth"
    return Entry(
        config=ModelConfig(
            f"depth-anything-v2-metric-{scene}-{size}",
            encoder(size, TAPS_V2[size]),
            HEADS[size],
            kind="metric_depth",
            max_depth=max_depth,
        ),
        parameters=_PARAMETERS[size],
        licence=UNSTATED,
        repository=f"{stem}-{scene.title()}-{size.title()}-hf",
        original=f"{stem}-{dataset}-{size.title()}/{file}",
        note="neither of its two repositories has a licence tag, and a question about "
        "it, DepthAnything/Depth-Anything-V2#245, is unanswered",
    )


def _distilled(size: str) -> Entry:
    # The base port is not by the authors, who published it in their own layout only.
    owner = "lc700x" if size == "base" else "xingyang1"
    return Entry(
        config=ModelConfig(
            f"distill-any-depth-{size}", encoder(size, TAPS_V2[size]), HEADS[size]
        ),
        parameters=_PARAMETERS[size],
        licence="MIT",
        repository=f"{owner}/Distill-Any-Depth-{size.title()}-hf",
        original=f"xingyang1/Distill-Any-Depth/{size}/model.safetensors",
        note="" if size == "small" else _DISPUTED,
    )


def _dinov2(size: str, registers: int) -> Entry:
    stem = f"dinov2_vit{_LETTERS[size]}14"
    file = f"{stem}_reg4_pretrain.pth" if registers else f"{stem}_pretrain.pth"
    suffix, infix = ("-registers", "with-registers-") if registers else ("", "")
    return Entry(
        config=ModelConfig(
            f"dinov2-{size}{suffix}",
            encoder(size, (), registers=registers),
            None,
            kind="features",
        ),
        parameters=_ENCODER_PARAMETERS[size] + registers * SHAPES[size][0],
        licence=APACHE,
        repository=f"facebook/dinov2-{infix}{size}",
        original=f"https://dl.fbaipublicfiles.com/dinov2/{stem}/{file}",
    )


def _prompted(name: str, size: str, note: str = "") -> Entry:
    head = HEADS[size]
    repository = f"depth-anything/prompt-depth-anything-vit{_LETTERS[size]}"
    if name != size:
        repository += name.removeprefix(size)
    return Entry(
        config=ModelConfig(
            f"prompt-depth-anything-{name}",
            encoder(size, TAPS_V2[size]),
            PromptHeadConfig(head.features, head.channels),
            kind="metric_depth",
            image_size=1008,
            resample="shrink_area",
            restore="half_pixel",
        ),
        parameters=_PROMPT_PARAMETERS[size],
        licence=APACHE,
        repository=f"{repository}-hf",
        original=f"{repository}/model.ckpt",
        note=note,
    )


def _video(size: str, metric: bool) -> Entry:
    head = HEADS[size]
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
            encoder(size, TAPS_V2[size]),
            VideoHeadConfig(head.features, head.channels),
            kind="metric_depth" if metric else "inverse_depth",
        ),
        parameters=_VIDEO_PARAMETERS[size],
        licence=APACHE if size == "small" else NC,
        repository=repository,
        file=file,
        original=f"{repository}/{file}",
        note=note,
    )


_TINY = Entry(
    config=ModelConfig(
        "tiny",
        HybridConfig(coarse_size=176),
        HeadConfig(
            32,
            (32, 32, 64, 128),
            resize=("keep", "keep", "keep", "down2"),
            output_channels=16,
        ),
        image_size=224,
        resample="transformers",
        mean=(127 / 255, 127 / 255, 127 / 255),
        std=(128 / 255, 128 / 255, 128 / 255),
    ),
    parameters=3_843_521,
    licence=APACHE,
    bundled=True,
)

_ENTRIES = [
    _TINY,
    *(_v1(size) for size in _TAPS_V1),
    *(_v2(size) for size in SIZES),
    *(
        _metric(scene, size)
        for scene in ("indoor", "outdoor")
        for size in ("small", "base", "large")
    ),
    *(_distilled(size) for size in ("small", "base", "large")),
    Entry(
        config=ModelConfig(
            "distill-any-depth-large-2w",
            encoder("large", TAPS_V2["large"]),
            HEADS["large"],
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
            encoder("small", TAPS_V2["small"]),
            HEADS["small"],
        ),
        parameters=_PARAMETERS["small"],
        licence=NC,
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
        "licence as tagged on the model card, or else that of the code",
    ),
    _prompted(
        "large",
        "large",
        "tagged Apache-2.0, but built on V2-L, which the same organisation tags "
        "CC-BY-NC-4.0",
    ),
    *(_video(size, False) for size in SIZES[:3]),
    *(_video(size, True) for size in SIZES[:3]),
    *depth_anything_3(),
    *(_dinov2(size, 0) for size in SIZES),
    *(_dinov2(size, 4) for size in SIZES),
]

MODELS: Mapping[str, Entry] = MappingProxyType(
    {entry.config.name: entry for entry in _ENTRIES}
)

ALIASES: Mapping[str, str] = MappingProxyType(
    {
        **{f"vit{_LETTERS[size]}": f"depth-anything-v2-{size}" for size in SIZES},
        **{
            f"dinov2_vit{_LETTERS[size]}14{suffix}": f"dinov2-{size}{registers}"
            for size in SIZES
            for suffix, registers in (("", ""), ("_reg", "-registers"))
        },
    }
)
