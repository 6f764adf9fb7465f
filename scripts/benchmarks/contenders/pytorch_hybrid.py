"""The bundled model's network in torch, to compare its training step with.

Convolutional stem, transformer and DPT head as `models.hybrid` describes them, on
this library's weights; channels last, which torch's CPU convolutions prefer.
"""

from typing import Any

import numpy as np

from benchmarks.task import Task
from jax_depth import checkpoint
from jax_depth.config import HybridConfig, ModelConfig
from jax_depth.models.conv_stem import BLOCKS, OUTPUT_BLOCKS

_EPSILON = 1e-6


def load_hybrid(task: Task, remat: bool = False) -> Any:
    """Return a torch module from pixels (b, 3, h, w) to the raw map (b, h, w)."""
    import torch

    params, config = checkpoint.load(task.native)

    class Hybrid(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.names = {}
            for path, leaf in checkpoint.flatten(params).items():
                self.names[path] = path.replace("/", "__")
                value = torch.from_numpy(_to_torch(path, np.asarray(leaf, np.float32)))
                self.register_parameter(self.names[path], torch.nn.Parameter(value))

        def forward(self, pixels: Any) -> Any:
            weights = {path: getattr(self, name) for path, name in self.names.items()}
            return _Network(weights, config, remat).run(pixels)

    model: Any = Hybrid()
    return model.to(memory_format=torch.channels_last)


def _to_torch(path: str, leaf: np.ndarray) -> np.ndarray:
    if not path.endswith("/kernel"):
        return leaf.copy()  # of the mapped file, which torch may not write to
    if leaf.ndim == 2:
        return leaf.T.copy()
    # A transposed convolution has its input channels first, any other its output's.
    transposed = path in ("head/resize_0/kernel", "head/resize_1/kernel")
    order = (2, 3, 0, 1) if transposed else (3, 2, 0, 1)
    return leaf.transpose(order).copy()


class _Network:
    """One forward pass over weights by path."""

    def __init__(self, weights: dict[str, Any], config: ModelConfig, remat: bool):
        import torch

        assert isinstance(config.encoder, HybridConfig) and config.head is not None
        self.w, self.encoder, self.head = weights, config.encoder, config.head
        self.remat = remat
        self.f, self.torch = torch.nn.functional, torch

    def run(self, pixels: Any) -> Any:
        pixels = pixels.contiguous(memory_format=self.torch.channels_last)
        shorter, limit = min(pixels.shape[2:]), self.encoder.coarse_size
        if limit is not None and shorter > limit:
            patch = self.encoder.patch_size
            size = [
                int(side * limit / shorter / patch + 0.5) * patch
                for side in pixels.shape[2:]
            ]
            reduced = self.f.interpolate(pixels, size, mode="bicubic", antialias=True)
            *_, coarse = self._stem(reduced)
            fine, middle = self._stem(pixels, 2)
        else:
            fine, middle, coarse = self._stem(pixels)
        return self._dpt([fine, middle, *self._transformer(coarse)], pixels.shape[2:])

    def _conv(self, x, path, stride=1, padding=0, groups=1):
        kernel, bias = self.w[f"{path}/kernel"], self.w.get(f"{path}/bias")
        if kernel.ndim == 2:
            kernel = kernel[:, :, None, None]
        return self.f.conv2d(x, kernel, bias, stride, padding, groups=groups)

    def _dense(self, x, path):
        return self.f.linear(x, self.w[f"{path}/kernel"], self.w[f"{path}/bias"])

    def _norm(self, x, path):
        scale, bias = self.w[f"{path}/scale"], self.w[f"{path}/bias"]
        return self.f.layer_norm(x, x.shape[-1:], scale, bias, _EPSILON)

    def _stem(self, x, count=3):
        x = self._conv(_pad_same(self.f, x, 3, 2), "encoder/stem/conv", 2)
        x, outputs = self.f.relu6(x), []
        for i, spec in enumerate(BLOCKS[: OUTPUT_BLOCKS[count - 1] + 1]):
            path, y = f"encoder/stem/block_{i}", x
            if spec.expand != 1:
                y = self.f.relu6(self._conv(y, f"{path}/expand"))
            padded = _pad_same(self.f, y, spec.kernel_size, spec.stride)
            groups = y.shape[1]
            y = self._conv(padded, f"{path}/depthwise", spec.stride, groups=groups)
            y = self._conv(self.f.relu6(y), f"{path}/project")
            x = x + y if y.shape == x.shape else y
            if i in OUTPUT_BLOCKS:
                outputs.append(x)
        return outputs

    def _transformer(self, coarse):
        b, _, rows, columns = coarse.shape
        side, d = self.encoder.position_grid, self.encoder.width
        position = self.w["encoder/pos_embed"].reshape(1, side, side, d)
        position = self.f.interpolate(
            position.permute(0, 3, 1, 2), (rows, columns), mode="bicubic"
        )
        x = self._dense(coarse.permute(0, 2, 3, 1), "encoder/proj")
        x = (x + position.permute(0, 2, 3, 1)).reshape(b, rows * columns, d)
        taps = []
        for i in range(self.encoder.depth):
            if self.remat:
                x = self.torch.utils.checkpoint.checkpoint(
                    self._block, x, i, use_reentrant=False
                )
            else:
                x = self._block(x, i)
            if i in self.encoder.taps:
                tap = self._norm(x, "encoder/norm").reshape(b, rows, columns, d)
                taps.append(tap.permute(0, 3, 1, 2))
        return taps

    def _block(self, x, i):
        path, heads = f"encoder/block_{i}", self.encoder.heads
        b, n, d = x.shape
        qkv = self._dense(self._norm(x, f"{path}/norm1"), f"{path}/attn/qkv")
        q, k, v = qkv.reshape(b, n, 3, heads, d // heads).permute(2, 0, 3, 1, 4)
        y = self.f.scaled_dot_product_attention(q, k, v)
        y = self._dense(y.transpose(1, 2).reshape(b, n, d), f"{path}/attn/proj")
        x = x + y * self.w[f"{path}/ls1/gamma"]
        y = self._dense(self._norm(x, f"{path}/norm2"), f"{path}/mlp/fc1")
        y = self._dense(self.f.gelu(y), f"{path}/mlp/fc2")
        return x + y * self.w[f"{path}/ls2/gamma"]

    def _dpt(self, maps, size):
        levels = []
        for i, (x, resize) in enumerate(zip(maps, self.head.resize, strict=True)):
            x, path = self._conv(x, f"head/project_{i}"), f"head/resize_{i}"
            if resize in ("up4", "up2"):
                kernel, bias = self.w[f"{path}/kernel"], self.w[f"{path}/bias"]
                x = self.f.conv_transpose2d(x, kernel, bias, stride=int(resize[2]))
            elif resize == "down2":
                x = self._conv(x, path, 2, 1)
            levels.append(self._conv(x, f"head/layer_{i + 1}_rn", padding=1))
        path = None
        for i in (3, 2, 1, 0):
            rows, columns = levels[i].shape[2:]
            target = levels[i - 1].shape[2:] if i else (2 * rows, 2 * columns)
            path = self._fuse(path, levels[i], target, f"head/refinenet_{i + 1}")
        x = self._enlarge(self._conv(path, "head/output_conv1", padding=1), size)
        x = self.f.relu(self._conv(x, "head/output_conv2", padding=1))
        return self._conv(x, "head/output_conv3")[:, 0]

    def _fuse(self, path, level, target, name):
        x = level if path is None else path + self._unit(level, f"{name}/rcu1")
        x = self._enlarge(self._unit(x, f"{name}/rcu2"), target)
        return self._conv(x, f"{name}/out_conv")

    def _unit(self, x, name):
        y = self._conv(self.f.relu(x), f"{name}/conv1", padding=1)
        return x + self._conv(self.f.relu(y), f"{name}/conv2", padding=1)

    def _enlarge(self, x, size):
        return self.f.interpolate(x, size, mode="bilinear", align_corners=True)


def _pad_same(f, x, kernel_size, stride):
    """Zero-pad as TensorFlow's "SAME": the odd row and column go to the end."""
    pads = []
    for size in (x.shape[3], x.shape[2]):
        total = max((-(-size // stride) - 1) * stride + kernel_size - size, 0)
        pads += [total // 2, total - total // 2]
    return f.pad(x, pads)
