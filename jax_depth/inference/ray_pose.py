"""Cameras from Depth Anything 3's rays, instead of from its camera head.

The rays of a view are a homography of its pixels: rotation times the inverse of its
intrinsics. The homography is fitted robustly and then decomposed.

Upstream: ByteDance-Seed/Depth-Anything-3 `utils/ray_utils.py`, which draws new samples
at every call. Here they are always the same, and the last fit uses all inliers.
"""

import functools

import numpy as np
from jaxtyping import Float, Float32, Float64, Int

_ROUNDS, _PICKED = 100, 8
# Share of the rays, the most confident ones, of which samples are drawn.
_SHARE = 0.3
# In the plane at distance 1 that rays are compared in.
_INLIER = 0.2
# Rays that run nearer along the image plane than this have no place in that plane.
_LEAST_Z = 1e-4


def cameras_from_rays(
    rays: Float32[np.ndarray, "v h2 w2 6"],
    confidence: Float32[np.ndarray, "v h2 w2"],
    size: tuple[int, int],
    samples: Int[np.ndarray, "k 8"] | None = None,
) -> tuple[Float32[np.ndarray, "v 3 4"], Float32[np.ndarray, "v 3 3"]]:
    """Return extrinsics and intrinsics, as `Output` has them, of every view.

    As upstream, an off-centre principal point is not recovered: the split into a
    rotation and intrinsics assumes it at the centre, and returns it nearly there.

    Args:
        rays: `Output.rays`: direction and origin in the world.
        confidence: `Output.ray_confidence`.
        size: (h, w) of the pixels the network saw.
        samples: indices of the rays to draw, among the most confident; for comparisons.
    """
    n = confidence[0].size
    samples = _samples(max(_PICKED, int(n * _SHARE))) if samples is None else samples
    pixels = _pixels(confidence.shape[1:])
    found = [
        _camera(
            view.reshape(-1, 6).astype(np.float64),
            weight.ravel().astype(np.float64),
            pixels,
            samples,
        )
        for view, weight in zip(rays, confidence, strict=True)
    ]
    extrinsics = np.stack([extrinsic for extrinsic, _ in found])
    intrinsics = np.stack([intrinsic for _, intrinsic in found])
    # From a picture of 2 x 2 to one of pixels.
    intrinsics[:, 0] *= size[1] / 2
    intrinsics[:, 1] *= size[0] / 2
    return extrinsics.astype(np.float32), intrinsics.astype(np.float32)


@functools.cache
def _samples(candidates: int) -> Int[np.ndarray, "k 8"]:
    rng = np.random.default_rng(0)
    draws = [
        rng.choice(candidates, _PICKED, replace=False, shuffle=False)
        for _ in range(_ROUNDS)
    ]
    return np.stack(draws)


def _pixels(shape: tuple[int, ...]) -> Float64[np.ndarray, "n 2"]:
    """Return centres of cells of a picture that spans -1 to 1, x before y."""
    rows, columns = shape
    x = (2 * np.arange(columns) + 1) / columns - 1
    y = (2 * np.arange(rows) + 1) / rows - 1
    return np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)


def _camera(rays, weight, pixels, samples):
    """Return world to camera (3, 4) and intrinsics (3, 3) of a picture of 2 x 2."""
    z = rays[:, 2]
    usable = np.abs(z) > _LEAST_Z
    weight = np.where(usable, weight, 0)
    target = rays[:, :2] / np.where(usable, z, 1)[:, None]

    order = np.argsort(-weight, kind="stable")[samples]
    trials = _homography(pixels[order], target[order], weight[order])
    with np.errstate(divide="ignore", invalid="ignore"):
        ones = np.ones((len(pixels), 1))
        seen = np.concatenate([pixels, ones], 1) @ trials.swapaxes(1, 2)
        distance = np.linalg.norm(seen[..., :2] / seen[..., 2:] - target, axis=-1)
    inlier = distance < _INLIER
    best = inlier[np.argmax(inlier @ weight)]
    (matrix,) = _homography(pixels[None, best], target[None, best], weight[None, best])
    matrix = matrix if np.linalg.det(matrix) >= 0 else -matrix

    rotation, lower = _ql(matrix)  # camera to world, and intrinsics transposed
    lower = lower / lower[2, 2]
    intrinsics = np.eye(3)
    intrinsics[0, 0], intrinsics[1, 1] = 1 / lower[0, 0], 1 / lower[1, 1]
    intrinsics[:2, 2] = lower[2, :2] + 1
    place = weight @ rays[:, 3:] / weight.sum()
    return np.column_stack([rotation.T, -rotation.T @ place]), intrinsics


def _homography(
    source: Float[np.ndarray, "b n 2"],
    target: Float[np.ndarray, "b n 2"],
    weight: Float[np.ndarray, "b n"],
) -> Float64[np.ndarray, "b 3 3"]:
    """Return the weighted direct linear transform of each sample.

    Its vector is the last eigenvector of a matrix of 9 x 9, which has all that the
    singular value decomposition of two rows a ray has.
    """
    ones = np.ones((*source.shape[:2], 1))
    x = np.concatenate([source, ones], -1)
    zero = np.zeros_like(x)
    rows = [
        np.concatenate([-x, zero, x * target[..., :1]], -1),
        np.concatenate([zero, -x, x * target[..., 1:]], -1),
    ]
    normal = sum((r * weight[..., None]).swapaxes(1, 2) @ r for r in rows)
    matrix = np.linalg.eigh(normal)[1][..., 0].reshape(-1, 3, 3)
    return matrix / matrix[:, 2:, 2:]


def _ql(matrix: Float64[np.ndarray, "3 3"]):
    """Return an orthogonal and a lower triangular factor, its diagonal positive."""
    q, r = np.linalg.qr(matrix[:, ::-1])
    q, lower = q[:, ::-1], r[::-1, ::-1]
    sign = np.sign(np.diag(lower))
    return q * sign, lower * sign[:, None]
