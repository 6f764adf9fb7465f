"""Layers of the encoder and the head.

Every layer takes and returns float32; `dtype` is what its matrix products and
convolutions compute in. Under bfloat16 the operands are rounded, products
accumulate in float32, and normalisation, softmax, activations, LayerScale and the
residual stream stay float32. Under float32 the highest matrix precision of the
device is asked for, so TPU and TF32 hardware give float32 results.

Parameter names are the upstream ones (facebookresearch/dinov2, dinov2/layers).
"""

import math
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jax_depth._typing import Array, Float, Float32
from jax_depth.models.attention import attend
from jax_depth.models.forms import forms
from jax_depth.models.precision import convolve, einsum
from jax_depth.models.rope import Rope, rotate

# Modules know shapes; `initialize.py` knows distributions. Drawing hundreds of small
# arrays inside modules takes XLA half a minute to compile.
_zeros = nn.initializers.zeros_init()


class Dense(nn.Module):
    """Linear layer; kernel (in, out)."""

    features: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*b c"]) -> Float32[Array, "*b d"]:
        shape = (x.shape[-1], self.features)
        kernel = self.param("kernel", _zeros, shape)
        bias = self.param("bias", _zeros, (self.features,))
        y = einsum("...c,cd->...d", x, kernel, self.dtype, compact=True)
        return y + _broadcast(bias, y)


class Conv(nn.Module):
    """2-D convolution on NHWC maps with symmetric zero padding; kernel HWIO.

    Padding is given as a number, as in torch: "SAME" pads a strided convolution
    differently on even sizes.
    """

    features: int
    kernel_size: int
    stride: int = 1
    padding: int = 0
    use_bias: bool = True
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float32[Array, "b h2 w2 o"]:
        size = (self.kernel_size, self.kernel_size)
        shape = (*size, x.shape[-1], self.features)
        kernel = self.param("kernel", _zeros, shape)
        if self.kernel_size == self.stride == 1:
            # The same product; XLA:CPU differentiates it three times faster.
            flat = kernel[0, 0]
            y = einsum("bhwc,co->bhwo", x, flat, self.dtype, compact=True)
        else:
            y = convolve(x, kernel, self.stride, self.padding, self.dtype)
        if not self.use_bias:
            return y
        return y + _broadcast(self.param("bias", _zeros, (self.features,)), y)


class UpConv(nn.Module):
    """Transposed convolution whose stride equals its kernel; kernel (k, l, in, out).

    Blocks of the output do not overlap, so it is one matrix product and a reshape.
    """

    features: int
    factor: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float32[Array, "b h2 w2 o"]:
        b, h, w, c = x.shape
        shape = (self.factor, self.factor, c, self.features)
        kernel = self.param("kernel", _zeros, shape)
        bias = self.param("bias", _zeros, (self.features,))
        y = einsum("bhwc,klco->bhkwlo", x, kernel, self.dtype, compact=True)
        y = y.reshape(b, h * self.factor, w * self.factor, self.features)
        return y + _broadcast(bias, y)


class LayerNorm(nn.Module):
    """Layer normalisation over the last axis, eps 1e-6, in float32.

    Own code because `flax.linen.LayerNorm` fails under strict dtype promotion
    with bfloat16 inputs.
    """

    epsilon: float = 1e-6

    @nn.compact
    def __call__(self, x: Float[Array, "*b d"]) -> Float32[Array, "*b d"]:
        scale = self.param("scale", _zeros, x.shape[-1:])
        bias = self.param("bias", _zeros, x.shape[-1:])
        y = normalize(x.astype(jnp.float32), self.epsilon)
        return y * _broadcast(scale, y) + _broadcast(bias, y)


class LayerScale(nn.Module):
    """Learned gain per channel on a residual branch (Touvron et al. 2021)."""

    @nn.compact
    def __call__(self, x: Float[Array, "b n d"]) -> Float32[Array, "b n d"]:
        return x * _broadcast(self.param("gamma", _zeros, x.shape[-1:]), x)


class Attention(nn.Module):
    """Multi-head self-attention with a fused qkv projection, softmax in float32.

    With `qk_norm` queries and keys pass a LayerNorm of the head's width, one for all
    heads, before they are rotated.

    Attributes:
        heads: number of heads.
        method: `EncoderConfig.attention`.
        dtype: see the module.
        qk_norm: see above.
        remat: whether a caller recomputes this layer in its backward pass.
        gather: axis of a mesh over whose devices keys and values are gathered.
    """

    heads: int
    method: str = "auto"
    dtype: Any = jnp.float32
    qk_norm: bool = False
    remat: bool = False
    gather: str | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "b n d"], rope: Rope | None = None
    ) -> Float32[Array, "b n d"]:
        b, n, d = x.shape
        c = d // self.heads
        plain = not self.qk_norm and rope is None
        qkv = Dense(3 * d, self.dtype, name="qkv")(x)
        if plain:
            # Queries are scaled and all is rounded before anything moves: rounding
            # commutes with a transposition, and half as many bytes move.
            scale = np.repeat(np.array([c**-0.5, 1, 1], np.float32), d)
            qkv = (qkv * scale[None, None]).astype(self.dtype)
        qkv = qkv.reshape(b, n, 3, self.heads, c)
        # Heads before tokens: products over strided heads take XLA:CPU four times
        # as long.
        q, k, v = (qkv[:, :, i].transpose(0, 2, 1, 3) for i in range(3))
        if self.qk_norm:
            q = LayerNorm(1e-5, name="q_norm")(q)
            k = LayerNorm(1e-5, name="k_norm")(k)
        if rope is not None:
            q, k = rotate(q, rope), rotate(k, rope)
        if not plain:
            q = q * c**-0.5
        if self.gather is not None:
            k, v = jax.lax.all_gather((k, v), self.gather, axis=2, tiled=True)
        keep_little = not (self.remat and forms().checkpointed_once)
        y = attend(q, k, v, self.method, self.dtype, keep_little)
        y = y.transpose(0, 2, 1, 3).reshape(b, n, d)
        return Dense(d, self.dtype, name="proj")(y)


class Mlp(nn.Module):
    """Two linear layers with the exact (erf) GELU between them."""

    hidden: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b n d"]) -> Float32[Array, "b n d"]:
        y = Dense(self.hidden, self.dtype, name="fc1")(x)
        y = gelu(y)
        return Dense(x.shape[-1], self.dtype, name="fc2")(y)


class SwiGlu(nn.Module):
    """Gated MLP of the giant: w3(silu(x1) * x2), [x1, x2] = w12(x)."""

    hidden: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b n d"]) -> Float32[Array, "b n d"]:
        y = Dense(2 * self.hidden, self.dtype, name="w12")(x)
        gate, value = y[..., : self.hidden], y[..., self.hidden :]
        return Dense(x.shape[-1], self.dtype, name="w3")(jax.nn.silu(gate) * value)


class Block(nn.Module):
    """Pre-norm transformer block with LayerScale on both branches.

    `remat` says that the caller recomputes the block in its backward pass.
    """

    heads: int
    mlp: Literal["gelu", "swiglu"]
    mlp_hidden: int
    attention: str = "auto"
    dtype: Any = jnp.float32
    qk_norm: bool = False
    epsilon: float = 1e-6
    remat: bool = False
    gather: str | None = None

    @nn.compact
    def __call__(
        self, x: Float32[Array, "b n d"], rope: Rope | None = None
    ) -> Float32[Array, "b n d"]:
        attention = Attention(
            self.heads,
            self.attention,
            self.dtype,
            self.qk_norm,
            self.remat,
            self.gather,
            name="attn",
        )
        y = attention(LayerNorm(self.epsilon, name="norm1")(x), rope)
        x = x + LayerScale(name="ls1")(y)
        mlp = SwiGlu if self.mlp == "swiglu" else Mlp
        mlp = mlp(self.mlp_hidden, self.dtype, name="mlp")
        y = mlp(LayerNorm(self.epsilon, name="norm2")(x))
        return x + LayerScale(name="ls2")(y)


def _broadcast(vector: Array, like: Array) -> Array:
    """Return a (c,) parameter as float32 with the rank of `like`."""
    return vector.astype(jnp.float32).reshape((1,) * (like.ndim - 1) + (-1,))


# Calls of their own, so that the OpenVINO engine finds them in the graph.
@jax.jit
def normalize(
    x: Float32[Array, "*b d"], epsilon: Float32[Array, ""]
) -> Float32[Array, "*b d"]:
    """Bring the last axis to mean 0 and variance 1."""
    mean = x.mean(-1, keepdims=True)
    variance = jnp.square(x - mean).mean(-1, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(variance + epsilon)


@jax.jit
def gelu(x: Float32[Array, "*b d"]) -> Float32[Array, "*b d"]:
    """Exact (erf) GELU, in the terms of `torch.nn.functional.gelu`.

    `jax.nn.gelu` goes through erfc, for which XLA evaluates two polynomials and an
    exponential: nearly three times as long on a CPU.
    """
    return 0.5 * x * (1.0 + jax.lax.erf(x * math.sqrt(0.5)))
