"""Independent references for parity: transformers models with living random weights."""

import numpy as np
import torch
import transformers

# transformers announces every model it builds.
transformers.utils.logging.set_verbosity_error()


def depth_anything(config, seed: int = 0):
    """Return a transformers model of the architecture of our `ModelConfig`."""
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
    return revive(transformers.DepthAnythingForDepthEstimation(hf_config), seed)


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
            if name.endswith("head.conv3.bias"):
                noise = noise.abs() * 0.1 + 0.5
            elif "norm" in name and name.endswith("weight"):
                noise = 1 + 0.2 * noise
            elif "lambda1" in name:
                noise = 0.3 + 0.05 * noise
            elif parameter.ndim >= 2 and "embeddings." not in name:
                noise = noise / np.sqrt(parameter[0].numel())
            elif "projection.weight" in name:
                noise = noise / np.sqrt(parameter[0].numel())
            else:
                noise = 0.2 * noise
            parameter.copy_(noise)
    return model.eval()


def state(model) -> dict[str, np.ndarray]:
    """Return a model's state dict as NumPy arrays, as `jax_depth_convert.read` would."""
    return {name: value.numpy() for name, value in model.state_dict().items()}


def run(model, pixels: np.ndarray):
    """Run a transformers model on (b, h, w, 3) pixels with all hidden states."""
    with torch.no_grad():
        return model(
            torch.from_numpy(np.moveaxis(pixels, -1, 1).copy()),
            output_hidden_states=True,
        )
