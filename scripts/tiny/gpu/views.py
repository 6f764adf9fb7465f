"""Random views of frames, made on the device: `training.augment` in JAX.

A bank is the dict of arrays of `frames.stack`, on the device. The draws are those of
`jax_depth.training.augment.Augmentation`; the picture is sampled bilinearly, disparity
by nearest neighbour.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jax_depth.training.augment import Augmentation

Bank = dict[str, jax.Array]
_LUMA = (0.299, 0.587, 0.114)
_YCC = np.array(
    [_LUMA, (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312)], np.float32
)
# The luminance table of JPEG's annex K.1, for all three planes.
_TABLE = np.array(
    [16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24,
     40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77,
     24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95,
     98, 112, 100, 103, 99], np.float32).reshape(8, 8)  # fmt: skip
_BLUR_TAPS = 4


def crop(bank: Bank, index, size: int, settings: Augmentation, key):
    """Return rgb float32 (n, size, size, 3) in 0..1 and disparity (n, size, size)."""

    def one(number, key):
        u = jax.random.uniform(key, (5,), jnp.float32)
        rows, columns = bank["shape"][number].astype(jnp.float32)
        aspect = jnp.exp((2 * u[0] - 1) * settings.stretch)
        low, high = settings.crop
        height = (low + (high - low) * u[1]) * jnp.minimum(rows, columns / aspect)
        width = height * aspect
        place = (jnp.arange(size, dtype=jnp.float32) + 0.5) / size
        y = u[2] * (rows - height) + place * height - 0.5
        x = u[3] * (columns - width) + place * width - 0.5
        x = jnp.where(u[4] < settings.flip_share, x[::-1], x)
        rgb = bank["rgb"][number]
        stride = bank["shape"][number, 1]

        def at(y, x):
            y = jnp.clip(y, 0, rows - 1).astype(jnp.int32)
            x = jnp.clip(x, 0, columns - 1).astype(jnp.int32)
            return y[:, None] * stride + x[None, :]

        top, left = jnp.floor(y), jnp.floor(x)
        down, right = (y - top)[:, None, None], (x - left)[None, :, None]

        def colour(dy: int, dx: int):
            return rgb[at(top + dy, left + dx)].astype(jnp.float32) / 255.0

        upper = colour(0, 0) * (1 - right) + colour(0, 1) * right
        lower = colour(1, 0) * (1 - right) + colour(1, 1) * right
        picture = upper * (1 - down) + lower * down
        nearest = at(jnp.floor(y + 0.5), jnp.floor(x + 0.5))
        disparity = bank["disparity"][number][nearest].astype(jnp.float32)
        return picture, disparity * bank["scale"][number]

    return jax.vmap(one)(index, jax.random.split(key, index.shape[0]))


def develop(rgb, settings: Augmentation, key):
    """Return the pictures recoloured, blurred, noisy and compressed, uint8."""
    n = rgb.shape[0]
    colours, shares, amounts, grain = jax.random.split(key, 4)
    spread = jax.random.uniform(colours, (7, n, 1, 1, 1), jnp.float32, -1.0, 1.0)
    share = jax.random.uniform(shares, (4, n, 1, 1, 1), jnp.float32)
    amount = jax.random.uniform(amounts, (3, n, 1, 1, 1), jnp.float32)
    x = jnp.power(jnp.maximum(rgb, 1e-6), jnp.exp(spread[0] * settings.gamma))
    saturation = 1 + spread[1] * settings.saturation
    saturation = jnp.where(share[0] < settings.grey_share, 0.0, saturation)
    luma = (x * jnp.asarray(_LUMA, jnp.float32)).sum(-1, keepdims=True)
    x = luma + saturation * (x - luma)
    gain = jnp.concatenate(list(spread[4:7]), -1) * settings.channel_gain
    x = x * (1 + gain) * (1 + spread[2] * settings.brightness)
    mean = x.mean((1, 2, 3), keepdims=True)
    x = mean + (x - mean) * (1 + spread[3] * settings.contrast)
    low, high = settings.blur
    radius = low + (high - low) * amount[0]
    x = jnp.where(share[1] < settings.blur_share, _blur(x, radius), x)
    low, high = settings.noise
    noise = jax.random.normal(grain, x.shape, jnp.float32)
    noise = noise * (low + (high - low) * amount[1])
    x = jnp.where(share[2] < settings.noise_share, x + noise, x)
    x = jnp.clip(x, 0.0, 1.0)
    low, high = settings.jpeg
    quality = low + (high - low) * amount[2]
    x = jnp.where(share[3] < settings.jpeg_share, _jpeg(x, quality), x)
    return to_bytes(x)


def to_bytes(x):
    """Return values in 0..1 as uint8."""
    return (jnp.clip(x, 0.0, 1.0) * 255.0 + 0.5).astype(jnp.uint8)


def _blur(x, radius):
    """Gaussian blur, standard deviation `radius` (n, 1, 1, 1) in pixels."""
    taps = jnp.arange(-_BLUR_TAPS, _BLUR_TAPS + 1, dtype=jnp.float32)
    weights = jnp.exp(-0.5 * jnp.square(taps / radius))
    weights = weights / weights.sum(-1, keepdims=True)
    for axis in (1, 2):
        pad = [(0, 0)] * 4
        pad[axis] = (_BLUR_TAPS, _BLUR_TAPS)
        padded, size = jnp.pad(x, pad, mode="edge"), x.shape[axis]
        parts = [
            jax.lax.slice_in_dim(padded, i, i + size, axis=axis)
            * weights[..., i : i + 1]
            for i in range(2 * _BLUR_TAPS + 1)
        ]
        x = functools.reduce(jnp.add, parts)
    return x


def _jpeg(x, quality):
    """Round the cosine transforms of 8 x 8 blocks as JPEG does, chroma included."""
    i = np.arange(8)
    cosine = np.cos((2 * i[None] + 1) * i[:, None] * np.pi / 16) / 2
    cosine[0] /= np.sqrt(2)
    basis = jnp.asarray(cosine, jnp.float32)
    n, h, w, _ = x.shape
    planes = (x * 255.0 - 128.0) @ jnp.asarray(_YCC.T)
    blocks = planes.reshape(n, h // 8, 8, w // 8, 8, 3)
    found = jnp.einsum("ki,nyixjc,lj->nyxckl", basis, blocks, basis)
    # libjpeg's scale of the table.
    scale = jnp.where(quality < 50, 50.0 / quality, 2.0 - quality / 50.0)
    step = jnp.maximum(scale[..., None, None] * jnp.asarray(_TABLE), 1.0)
    found = jnp.round(found / step) * step
    blocks = jnp.einsum("ki,nyxckl,lj->nyixjc", basis, found, basis)
    back = blocks.reshape(n, h, w, 3) @ jnp.asarray(np.linalg.inv(_YCC).T)
    return (back + 128.0) / 255.0
