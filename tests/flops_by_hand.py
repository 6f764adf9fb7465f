"""Operations of Depth Anything's networks by hand, resizes left out."""

from jax_depth.config import EncoderConfig, HeadConfig, HybridConfig, ModelConfig


def by_hand(config: ModelConfig, height: int, width: int) -> int:
    """Return the operations on one picture, without those of resizes."""
    patch = config.encoder.patch_size
    grid = height // patch, width // patch
    encoder = config.encoder
    if isinstance(encoder, HybridConfig):
        total, taps = _hybrid(encoder, height, width)
    else:
        total = _vit(encoder, grid)
        taps = [(grid, encoder.width)] * 4
    if config.head is not None:
        total += _head(config.head, taps, (height, width))
    return total


def _product(rows: int, inner: int, columns: int) -> int:
    return 2 * rows * inner * columns


def _conv(size: tuple[int, int], kernel: int, c_in: int, c_out: int) -> int:
    """Operations of a convolution whose result has `size`."""
    return _product(size[0] * size[1], kernel * kernel * c_in, c_out)


def _vit(encoder: EncoderConfig, grid: tuple[int, int]) -> int:
    patches = grid[0] * grid[1]
    tokens = patches + 1 + encoder.registers
    embed = _product(patches, 3 * encoder.patch_size**2, encoder.width)
    return embed + encoder.depth * _block(
        tokens, encoder.width, encoder.mlp_hidden, encoder.mlp == "swiglu"
    )


def _block(tokens: int, width: int, hidden: int, gated: bool = False) -> int:
    linear = _product(tokens, width, 4 * width + (3 if gated else 2) * hidden)
    return linear + 2 * _product(tokens, width, tokens)


def _hybrid(encoder: HybridConfig, height: int, width: int):
    from jax_depth.models.conv_stem import BLOCKS, OUTPUT_BLOCKS

    seen, limit = (height, width), encoder.coarse_size
    if limit is not None and min(seen) > limit:
        factor, patch = limit / min(seen), encoder.patch_size
        seen = tuple(patch * round(side * factor / patch) for side in seen)
    total, maps = _stem(seen, BLOCKS)
    if seen != (height, width):
        above, maps[:2] = _stem((height, width), BLOCKS[: OUTPUT_BLOCKS[1] + 1])
        total += above
    size, channels = maps[2]
    tokens = size[0] * size[1]
    total += _product(tokens, channels, encoder.width)
    total += encoder.depth * _block(tokens, encoder.width, encoder.mlp_hidden)
    taps = [*maps[:2], *[(size, encoder.width)] * len(encoder.taps)]
    return total, taps


def _stem(size: tuple[int, int], blocks):
    from jax_depth.models.conv_stem import OUTPUT_BLOCKS, STEM_CHANNELS

    size, channels = _shrunk(size, 2), STEM_CHANNELS
    total, maps = _conv(size, 3, 3, channels), []
    for i, spec in enumerate(blocks):
        hidden = channels * spec.expand
        if spec.expand != 1:
            total += _conv(size, 1, channels, hidden)
        size = _shrunk(size, spec.stride)
        # Depthwise convolutions are neither: taps, multiplied and added one by one.
        total += _conv(size, 1, hidden, spec.channels)
        channels = spec.channels
        if i in OUTPUT_BLOCKS:
            maps.append((size, channels))
    return total, maps


def _head(head: HeadConfig, taps, size: tuple[int, int]) -> int:
    total, levels = 0, []
    for (grid, width), channels, resize in zip(
        taps, head.channels, head.resize, strict=True
    ):
        total += _conv(grid, 1, width, channels)
        if resize == "down2":
            grid = _shrunk(grid, 2)
            total += _conv(grid, 3, channels, channels)
        elif resize != "keep":
            factor = {"up2": 2, "up4": 4}[resize]
            # Blocks do not overlap: each result sees one position of the input.
            grid = grid[0] * factor, grid[1] * factor
            total += _conv(grid, 1, channels, channels)
        total += _conv(grid, 3, channels, head.features)
        levels.append(grid)

    features = head.features
    for i, level in enumerate(levels):
        # The coarsest level has nothing to merge with, so one unit of two.
        units = 1 if i == len(levels) - 1 else 2
        total += units * 2 * _conv(level, 3, features, features)
        # A kernel of one pixel commutes with the resize, so it comes before.
        total += _conv(level, 1, features, features)
    finest = 2 * levels[0][0], 2 * levels[0][1]
    total += _conv(finest, 3, features, features // 2)
    total += _conv(size, 3, features // 2, head.output_channels)
    return total + _conv(size, 1, head.output_channels, 1)


def _shrunk(size: tuple[int, int], stride: int) -> tuple[int, int]:
    return -(-size[0] // stride), -(-size[1] // stride)
