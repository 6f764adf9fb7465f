"""Independent references for parity: transformers models with living random weights."""

import numpy as np
import torch
import transformers

from jax_depth.config import PromptHeadConfig

# transformers announces every model it builds.
transformers.utils.logging.set_verbosity_error()


def depth_anything(config, seed: int = 0):
    """Return a transformers model of the architecture of our `ModelConfig`."""
    if isinstance(config.head, PromptHeadConfig):
        return prompt_depth_anything(config, seed)
    encoder, head = config.encoder, config.head
    backbone = _dinov2_config(
        encoder,
        out_indices=[tap + 1 for tap in encoder.taps],
        apply_layernorm=True,
        reshape_hidden_states=False,
    )
    metric = config.kind == "metric_depth"
    hf_config = transformers.DepthAnythingConfig(
        backbone_config=backbone,
        reassemble_hidden_size=encoder.width,
        patch_size=encoder.patch_size,
        neck_hidden_sizes=list(head.channels),
        fusion_hidden_size=head.features,
        head_hidden_size=head.output_channels,
        depth_estimation_type="metric" if metric else "relative",
        max_depth=int(config.max_depth) if metric else 1,
    )
    model = revive(transformers.DepthAnythingForDepthEstimation(hf_config), seed)
    _centre_output(model, mean=0.0 if metric else 2.0)
    return model


def dinov2(config, seed: int = 0):
    """Return a bare transformers encoder of the architecture of our `ModelConfig`."""
    hf_config = _dinov2_config(config.encoder)
    if config.encoder.registers:
        return revive(transformers.Dinov2WithRegistersModel(hf_config), seed)
    return revive(transformers.Dinov2Model(hf_config), seed)


def _dinov2_config(encoder, **kwargs):
    registers = {"num_register_tokens": encoder.registers} if encoder.registers else {}
    cls = (
        transformers.Dinov2WithRegistersConfig
        if registers
        else transformers.Dinov2Config
    )
    return cls(
        hidden_size=encoder.width,
        num_hidden_layers=encoder.depth,
        num_attention_heads=encoder.heads,
        mlp_ratio=4,
        use_swiglu_ffn=encoder.mlp == "swiglu",
        image_size=encoder.patch_size * encoder.position_grid,
        patch_size=encoder.patch_size,
        **registers,
        **kwargs,
    )


def revive(model, seed: int):
    """Give every parameter a random value that keeps activations of order one.

    The default initialisation leaves a dead network behind (tiny LayerScale, zero
    biases, a final ReLU that outputs zeros), against which any port is exact.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if "norm" in name and name.endswith("weight"):
                noise = 1 + 0.2 * noise
            elif "lambda1" in name:
                noise = 0.3 + 0.05 * noise
            elif name.endswith("weight") and parameter.ndim >= 2:
                noise = noise / np.sqrt(parameter[0].numel())
            else:
                noise = 0.2 * noise
            parameter.copy_(noise)
    return model.eval()


def _centre_output(model, mean: float) -> None:
    """Rescale the last convolution so that its output has this mean, deviation 1."""
    outputs = []
    last = model.head.conv3
    hook = last.register_forward_hook(lambda _m, _i, y: outputs.append(y))
    side = 10 * model.config.patch_size
    rng = np.random.default_rng(0)
    run(model, rng.normal(size=(1, side, side, 3)).astype(np.float32))
    hook.remove()
    with torch.no_grad():
        last.weight /= outputs[0].std()
        last.bias.copy_(last.bias / outputs[0].std())
        last.bias += mean - outputs[0].mean() / outputs[0].std()


def state(model) -> dict[str, np.ndarray]:
    """Return a state dict as NumPy arrays, as `jax_depth_convert.read` does."""
    return {name: value.numpy() for name, value in model.state_dict().items()}


def run(model, pixels: np.ndarray):
    """Run a transformers model on (b, h, w, 3) pixels with all hidden states."""
    with torch.no_grad():
        return model(
            torch.from_numpy(np.moveaxis(pixels, -1, 1).copy()),
            output_hidden_states=True,
        )


def prompt_depth_anything(config, seed: int = 0):
    """Return transformers' Prompt Depth Anything of our `ModelConfig`."""
    encoder, head = config.encoder, config.head
    backbone = _dinov2_config(
        encoder,
        out_indices=[tap + 1 for tap in encoder.taps],
        apply_layernorm=True,
        reshape_hidden_states=False,
    )
    hf_config = transformers.PromptDepthAnythingConfig(
        backbone_config=backbone,
        reassemble_hidden_size=encoder.width,
        patch_size=encoder.patch_size,
        neck_hidden_sizes=list(head.channels),
        fusion_hidden_size=head.features,
        head_hidden_size=head.output_channels,
        depth_estimation_type="metric",
        max_depth=None,
    )
    return revive(transformers.PromptDepthAnythingForDepthEstimation(hf_config), seed)


def run_prompted(model, pixels: np.ndarray, prompt: np.ndarray):
    """Run it on (b, h, w, 3) pixels and (b, h2, w2) prompts -> (b, h, w)."""
    with torch.no_grad():
        return model(
            torch.from_numpy(np.moveaxis(pixels, -1, 1).copy()),
            prompt_depth=torch.from_numpy(prompt[:, None]),
        ).predicted_depth.numpy()
