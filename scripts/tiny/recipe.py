"""What `tiny` is: the network its scripts train, judge and export."""

from jax_depth.config import HeadConfig, HybridConfig, ModelConfig

CONFIG = ModelConfig(
    name="tiny",
    encoder=HybridConfig(),
    head=HeadConfig(
        features=32,
        channels=(32, 32, 64, 128),
        resize=("keep", "keep", "keep", "down2"),
        output_channels=16,
    ),
    kind="inverse_depth",
    image_size=176,
    # Photos are many times larger: averaging, not every n-th pixel.
    resample="transformers",
    # What EfficientNet-Lite0 was trained with.
    mean=(127 / 255,) * 3,
    std=(128 / 255,) * 3,
)
