"""The authors' Depth Anything 3 at toy width with living weights, stage by stage.

Needs torch and what `tests/oracle-requirements.txt` names. As a program it writes the
golden file that the tests use where these are not installed:

    python tests/depth_anything_3_oracle.py tests/golden/depth_anything_3.npz
"""

import math
import os
import sys
import warnings
import zlib

import numpy as np

from jax_depth.config import (
    AnyViewConfig,
    DualHeadConfig,
    EncoderConfig,
    ModelConfig,
    SkyHeadConfig,
)

_CHANNELS = (8, 12, 16, 20)


def _any_view(name, **encoder):
    return ModelConfig(
        name, AnyViewConfig(**encoder), DualHeadConfig(16, _CHANNELS), kind="depth"
    )


# Toy networks with every feature of the released ones.
ANY_VIEW = _any_view(
    "toy-any-view",
    width=64,
    depth=6,
    heads=4,
    taps=(1, 3, 4, 5),
    mlp_hidden=256,
    position_grid=4,
    start=2,
)
# The giant's odd start and SwiGLU, and a tap on a block of single views.
ODD_START = _any_view(
    "toy-giant",
    width=64,
    depth=6,
    heads=2,
    taps=(2, 3, 4, 5),
    mlp="swiglu",
    mlp_hidden=176,
    position_grid=4,
    start=3,
)
MONO = ModelConfig(
    "toy-mono",
    EncoderConfig(
        width=64,
        depth=4,
        heads=1,
        taps=(0, 1, 2, 3),
        mlp_hidden=256,
        position_grid=4,
        norm_epsilon=1e-5,
        mask_token=False,
    ),
    SkyHeadConfig(16, _CHANNELS),
    kind="depth",
)

# name -> model, scenes, views, height, width, options of the network
CASES = {
    "one-view-odd-grid": (ANY_VIEW, 1, 1, 42, 70, {}),
    "two-views-given-cameras": (ANY_VIEW, 1, 2, 28, 42, {"cameras": True}),
    "four-views-two-scenes": (ANY_VIEW, 2, 4, 28, 42, {}),
    "three-views-middle": (ANY_VIEW, 1, 3, 28, 42, {"reference": "middle"}),
    "five-views-first": (ANY_VIEW, 1, 5, 28, 28, {"reference": "first"}),
    "trained-grid": (ANY_VIEW, 1, 2, 56, 56, {}),
    "odd-start": (ODD_START, 1, 4, 28, 42, {}),
    "mono": (MONO, 2, 1, 42, 70, {}),
}
# Of the pixels, such that two scenes have different references.
SEEDS = {"four-views-two-scenes": 2}


def value(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return the living value of a tensor of a state dict, drawn from its key alone."""
    rng = np.random.default_rng(zlib.crc32(key.encode()))
    noise, leaf = rng.standard_normal(shape), key.rsplit(".", 1)[-1]
    if leaf == "gamma":
        noise = 0.3 + 0.05 * noise
    elif leaf in ("cls_token", "camera_token", "pos_embed"):
        noise = 0.5 * noise
    elif leaf == "bias":
        noise = 0.2 * noise
        if key.endswith("fc_fov.0.bias"):
            noise = noise + 1
        if key.endswith("fc_qvec.bias"):
            noise[3] += 1
    elif len(shape) == 1:
        noise = 1 + 0.2 * noise
    else:
        upsampling = "resize_layers.0" in key or "resize_layers.1" in key
        noise = noise / math.sqrt(shape[0] if upsampling else math.prod(shape[1:]))
    return noise.astype(np.float32)


def pixels_of(case: str) -> np.ndarray:
    """Return normalised pixels (b, v, h, w, 3) of a case; views differ in contrast."""
    _, b, v, h, w, _ = CASES[case]
    rng = np.random.default_rng(SEEDS.get(case, 0))
    noise = rng.standard_normal((b, v, h, w, 3)) * rng.uniform(0.3, 2, (b, v, 1, 1, 1))
    return noise.astype(np.float32)


def cameras_of(case: str) -> tuple[np.ndarray, np.ndarray]:
    """Return `cameras` of a case."""
    _, *shape, _ = CASES[case]
    return cameras(*shape)


def cameras(b: int, v: int, h: int, w: int) -> tuple[np.ndarray, np.ndarray]:
    """Return extrinsics (b, v, 4, 4), world to camera, and intrinsics (b, v, 3, 3)."""
    rng = np.random.default_rng(1)
    extrinsics = np.tile(np.eye(4), (b, v, 1, 1))
    # Any orthogonal matrices of determinant 1.
    turn, _ = np.linalg.qr(np.eye(3) + 0.3 * rng.standard_normal((b, v, 3, 3)))
    turn = turn * np.sign(np.linalg.det(turn))[..., None, None]
    extrinsics[:, :, :3, :3] = turn
    extrinsics[:, :, :3, 3] = rng.standard_normal((b, v, 3))
    intrinsics = np.tile(np.eye(3), (b, v, 1, 1))
    intrinsics[..., 0, 0], intrinsics[..., 1, 1] = 0.8 * w, 0.9 * w
    intrinsics[..., 0, 2], intrinsics[..., 1, 2] = w / 2, h / 2
    return extrinsics.astype(np.float32), intrinsics.astype(np.float32)


def network(config: ModelConfig):
    """Return the authors' network of the architecture of a config, in evaluation."""
    os.environ.setdefault("DA3_LOG_LEVEL", "ERROR")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from depth_anything_3.model.cam_dec import CameraDec
        from depth_anything_3.model.cam_enc import CameraEnc
        from depth_anything_3.model.da3 import DepthAnything3Net
        from depth_anything_3.model.dinov2.dinov2 import DinoV2
        from depth_anything_3.model.dinov2.vision_transformer import (
            DinoVisionTransformer,
        )
        from depth_anything_3.model.dpt import DPT
        from depth_anything_3.model.dualdpt import DualDPT

    encoder, head = config.encoder, config.head
    any_view = isinstance(encoder, AnyViewConfig)
    start = encoder.start if any_view else -1
    backbone = DinoV2(
        "vits",
        list(encoder.taps),
        alt_start=start,
        qknorm_start=start,
        rope_start=start,
        cat_token=any_view,
    )
    backbone.pretrained = DinoVisionTransformer(
        img_size=encoder.position_grid * 14,
        patch_size=14,
        embed_dim=encoder.width,
        depth=encoder.depth,
        num_heads=encoder.heads,
        ffn_layer="swiglufused" if encoder.mlp == "swiglu" else "mlp",
        alt_start=start,
        qknorm_start=start,
        rope_start=start,
        cat_token=any_view,
    )
    options = {"features": head.features, "out_channels": head.channels}
    if not any_view:
        dpt = DPT(encoder.width, output_dim=1, **options)
        return DepthAnything3Net(backbone, dpt).eval()
    return DepthAnything3Net(
        backbone,
        DualDPT(2 * encoder.width, output_dim=2, **options),
        CameraDec(2 * encoder.width),
        CameraEnc(encoder.width),
    ).eval()


def shared_key(key: str) -> str:
    """Return the first of the four names of the LayerNorm of the ray chain."""
    head, found, rest = key.partition("output_conv2_aux.")
    if found and rest[1:4] == ".2.":
        return f"{head}{found}0{rest[1:]}"
    return key


def revive(net) -> None:
    """Fill a network by `value`."""
    import torch

    state = net.state_dict()
    filled = {
        key: torch.from_numpy(value(shared_key(key), tuple(tensor.shape)))
        for key, tensor in state.items()
    }
    net.load_state_dict(filled)


def hub_state(net) -> dict[str, np.ndarray]:
    """Return a state dict as it is published: with `model.`, the shared norm once."""
    return {
        f"model.{key}": tensor.numpy()
        for key, tensor in net.state_dict().items()
        if key == shared_key(key)
    }


def run(net, pixels: np.ndarray, **options) -> dict[str, np.ndarray]:
    """Return named stages of one forward pass, in our layout and by our names."""
    import torch
    from depth_anything_3.model.dinov2 import vision_transformer

    b, v = pixels.shape[:2]
    named, hooks = {}, []
    scratch = net.head.scratch

    def maps(module, name):
        def hook(_module, _inputs, y):
            named[name] = y.movedim(1, -1).reshape(b, v, *y.shape[2:], y.shape[1])

        hooks.append(module.register_forward_hook(hook))

    maps(scratch.layer4_rn, "level_4")
    maps(scratch.refinenet1, "path_1")
    maps(scratch.output_conv1, "output_1")
    maps(scratch.output_conv2, "outputs")
    if hasattr(scratch, "refinenet1_aux"):
        maps(scratch.refinenet1_aux, "path_1_aux")
        maps(scratch.output_conv2_aux[-1], "rays_raw")
    else:
        maps(scratch.sky_output_conv2, "sky_raw")

    def heads(_module, _inputs, y):
        named.update({f"head_{key}": x.clone() for key, x in y.items()})

    def taps(_module, _inputs, y):
        grid = pixels.shape[2] // 14, pixels.shape[3] // 14
        for i, (patches, camera) in enumerate(y[0]):
            named[f"tap_{i}"] = patches.reshape(b, v, *grid, -1)
            named[f"camera_{i}"] = camera

    hooks.append(net.head.register_forward_hook(heads))
    hooks.append(net.backbone.register_forward_hook(taps))
    select = vision_transformer.select_reference_view

    def selected(x, strategy):
        named["reference"] = select(x, strategy=strategy)
        return named["reference"]

    vision_transformer.select_reference_view = selected
    try:
        with torch.no_grad():
            x = torch.from_numpy(pixels).movedim(-1, 2)
            output = net(x, **options)
    finally:
        vision_transformer.select_reference_view = select
        for hook in hooks:
            hook.remove()

    named["raw"] = named.pop("outputs")
    if "rays_raw" in named:
        named["confidence_raw"] = named["raw"][..., 1]
        named["confidence"] = named.pop("head_depth_conf")
        named["rays"] = named.pop("head_ray")
        named["ray_confidence"] = named.pop("head_ray_conf")
        named |= {key: output[key] for key in ("extrinsics", "intrinsics")}
    else:
        named["sky_raw"] = named["sky_raw"][..., 0]
        named["sky"] = named.pop("head_sky")
    named["raw"] = named["raw"][..., 0]
    named["depth"] = named.pop("head_depth")  # before any sky is filled
    return {key: x.numpy() for key, x in named.items()}


def run_case(case: str) -> dict[str, np.ndarray]:
    """Return the stages of a case from the authors' code."""
    import torch

    config, *_, options = CASES[case]
    net = network(config)
    revive(net)
    arguments = {}
    if "reference" in options:
        arguments["ref_view_strategy"] = options["reference"]
    if options.get("cameras"):
        names = ("extrinsics", "intrinsics")
        given = map(torch.from_numpy, cameras_of(case))
        arguments |= dict(zip(names, given, strict=True))
    return run(net, pixels_of(case), **arguments)


def selected(tokens: np.ndarray) -> dict[str, np.ndarray]:
    """Return the views that the authors' strategies choose by class tokens (b, v, d).

    Of "saddle_sim_range" only where similarities of both signs occur: otherwise two
    views tie and rounding decides.
    """
    import torch
    from depth_anything_3.model.reference_view_selector import select_reference_view

    x = torch.from_numpy(tokens)[:, :, None]
    names = ("first", "middle", "saddle_balanced", "saddle_sim_range")
    return {name: select_reference_view(x, name).numpy() for name in names}


if __name__ == "__main__":
    document = {}
    # What follows from another stage by one function is not kept.
    derived = ("depth", "confidence", "sky", "rays", "ray_confidence")
    for name in CASES:
        for stage, array in run_case(name).items():
            if stage in derived:
                continue
            # Wide maps by every fourth channel: half a megabyte instead of two.
            thin = stage.startswith(("tap", "path", "level", "output_1"))
            document[f"{name}/{stage}"] = array[..., ::4] if thin else array
    tokens = np.random.default_rng(0).standard_normal((8, 5, 16)).astype(np.float32)
    document |= {f"selected/{k}": x for k, x in selected(tokens).items()}
    document["selected/tokens"] = tokens
    np.savez_compressed(sys.argv[1], **document)
