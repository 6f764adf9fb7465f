"""Several pictures of one place, seen by an any-view model: `Estimator.views`.

Upstream: ByteDance-Seed/Depth-Anything-3 `api.py` (sizes, given cameras, alignment to
them) and `model/da3.py` (`NestedDepthAnything3Net`: metres by a second network).
"""

import dataclasses
import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32

from jax_depth._forked import check_process
from jax_depth.camera import Intrinsics, Pose
from jax_depth.config import ModelConfig
from jax_depth.depth_map import DepthMap
from jax_depth.formats.image import as_bytes, label_of, read_image
from jax_depth.inference import bounded
from jax_depth.inference.ray_pose import cameras_from_rays
from jax_depth.models import architectures
from jax_depth.models.output import Output
from jax_depth.models.reference_view import Reference, check_reference
from jax_depth.models.sharding import everywhere, mesh_of
from jax_depth.sky import SKY
from jax_depth.views import Views

Fit = Literal["refuse", "crop"]
PoseFrom = Literal["camera_head", "rays"]

# Upstream's: below this a translation's unit is taken as it is.
_LEAST_DISTANCE = 0.1


@functools.cache
def _compiled() -> Any:
    # Late: a process that loads its programs from files does without Flax.
    from jax_depth.models.depth_anything import apply

    return jax.jit(apply, static_argnames=("config", "reference"))


def _run(*arguments: Any, **options: Any) -> Any:
    return _compiled()(*arguments, **options)


def views(
    self: Any,
    images: Sequence[Any],
    *,
    cameras: Sequence[Any] | None = None,
    poses: Sequence[Any] | None = None,
    reference: Reference = "saddle_balanced",
    metric: Any = None,
    fit: Fit = "refuse",
    pose_from: PoseFrom = "camera_head",
) -> Views:
    """Predict depth, cameras and poses of several pictures of one place.

    The time of attention across views grows with the square of the number of views.

    Args:
        images: pictures of one place, RGB, each as the estimator takes one; one is
            enough.
        cameras: of each picture, `Intrinsics` in its own pixels or a matrix (3, 3);
            with `poses`, an input of the network.
        poses: of each camera, `Pose` or world to camera as (3, 4) or (4, 4), in any
            unit; depth is then in the same unit.
        reference: which view defines the world frame, where poses are not given:
            "first", "middle", or one chosen by the views' class tokens: by default
            "saddle_balanced", the most average one, or "saddle_sim_range", the one
            whose similarities to the others differ most.
        metric: "depth-anything-3-metric-large", or an estimator of it: scales depth and
            poses to metres. Nested models do so themselves.
        fit: "crop" crops pictures whose sizes at the network differ to the size they
            share; "refuse" raises an error that names them.
        pose_from: "rays" computes cameras and poses from the rays that the network
            predicts, instead of taking them from its camera head.

    Raises:
        FileNotFoundError, ValueError, OSError: a picture cannot be read, the model does
            not take several views, or arguments contradict each other.
    """
    check_process()
    config = self.config
    if not architectures.sees_views(config):
        raise ValueError(
            f"model {config.name!r} sees single pictures; views need an any-view "
            "model, such as depth-anything-3-small"
        )
    if isinstance(images, str | os.PathLike) or not isinstance(images, Sequence):
        raise ValueError("views takes a list of pictures of one place; pass [picture]")
    if not images:
        raise ValueError("views needs one picture or more, got an empty list")
    check_reference(reference)
    if fit not in ("refuse", "crop"):
        raise ValueError(f"fit {fit!r} is unknown; use 'refuse' or 'crop'")
    if pose_from not in get_args(PoseFrom):
        raise ValueError(
            f"pose_from {pose_from!r} is unknown; use 'camera_head' or 'rays'"
        )
    labels = [label_of(image, None) for image in images]
    photos = [as_bytes(read_image(image)) for image in images]
    inputs = [_to_network(photo, self) for photo in photos]
    inputs = _of_one_size(inputs, photos, labels, fit)
    pixels = np.stack([pixels for pixels, _ in inputs])[None]
    windows = [window for _, window in inputs]

    given = _known_cameras(cameras, poses, photos)
    if given is not None and (metric is not None or config.metric is not None):
        raise ValueError(
            "with poses, depth is in their unit; leave out `poses`, or `metric`, which "
            "a nested model implies"
        )
    conditions = {} if given is None else _conditions(*given, windows)
    params = self.params
    bare = dataclasses.replace(config, metric=None)
    own = {name: x for name, x in params.items() if name != "metric"}
    output = _run_views(own, pixels, bare, reference, conditions)
    output = jax.tree.map(lambda leaf: np.asarray(leaf[0]), output)
    if pose_from == "rays":
        size = pixels.shape[2:4]
        found = cameras_from_rays(output.rays, output.ray_confidence, size)
        output = dataclasses.replace(output, extrinsics=found[0], intrinsics=found[1])

    sky = None
    if given is not None:
        output = _in_given_unit(output, given[1])
    else:
        second = _metric_network(self, params, metric)
        if second is not None:
            seen = _run(second[0], pixels[0], config=second[1])
            seen = jax.tree.map(np.asarray, seen)
            output, sky = in_metres(output, seen, second[1])
    return _views(output, sky, given, photos, windows, _names(images), config)


def _run_views(params, pixels, config: ModelConfig, reference, conditions) -> Output:
    """Run the any-view network on as many devices as divide the views evenly."""
    mesh = mesh_of(params, pixels.shape[1], "views")
    if mesh is not None:
        # Late, as above.
        from jax_depth.models.sharded_views import apply_sharded

        params = everywhere(params, mesh)
        return apply_sharded(
            params, pixels, config, mesh, reference=reference, **conditions
        )
    params = on_one_device(params)
    return _run(params, pixels, config=config, reference=reference, **conditions)


def _to_network(photo, estimator) -> tuple[np.ndarray, bounded.Window]:
    pixels = estimator.prepare(photo)[0]
    patch = estimator.config.encoder.patch_size
    shape, size = photo.shape[:2], pixels.shape[:2]
    return pixels, bounded.window(
        shape, size, estimator.size, patch, estimator.resample
    )


def _of_one_size(inputs, photos, labels, fit: Fit):
    """Crop every picture to the smallest height and width, or refuse."""
    sizes = [window.size for _, window in inputs]
    if len(set(sizes)) == 1:
        return inputs
    if fit == "refuse":
        found = "; ".join(
            f"{label}, {photo.shape[1]} x {photo.shape[0]}, as {w} x {h}"
            for label, photo, (h, w) in zip(labels, photos, sizes, strict=True)
        )
        raise ValueError(
            "pictures of one place must reach the network at one size, and these "
            f"differ: {found}; crop them, or let fit='crop' crop them to the size they "
            "share"
        )
    rows, columns = (min(size[axis] for size in sizes) for axis in (0, 1))
    result = []
    for pixels, window in inputs:
        top, left = (
            (a - b) // 2 for a, b in zip(window.size, (rows, columns), strict=True)
        )
        offset = window.offset[0] + top, window.offset[1] + left
        cut = pixels[top : top + rows, left : left + columns]
        result.append((cut, bounded.Window(window.scale, offset, (rows, columns))))
    return result


def _known_cameras(cameras, poses, photos) -> tuple[list, list] | None:
    """Return the cameras and poses given, one for each photo, or None."""
    if cameras is None and poses is None:
        return None
    count = len(photos)
    if poses is None and count == 1:
        poses = [Pose.identity()]
    if cameras is None or poses is None:
        missing, there = (
            ("cameras", "poses") if cameras is None else ("poses", "cameras")
        )
        raise ValueError(f"{there} are given without {missing}; give both or neither")
    for name, things in (("cameras", cameras), ("poses", poses)):
        if len(things) != count:
            raise ValueError(
                f"{count} pictures and {len(things)} {name} do not match; give one per "
                "picture"
            )
    return (
        [_intrinsics(i, camera) for i, camera in enumerate(cameras)],
        [pose if isinstance(pose, Pose) else Pose(pose) for pose in poses],
    )


def _intrinsics(index: int, camera: Any) -> Intrinsics:
    if isinstance(camera, Intrinsics):
        return camera
    matrix = np.asarray(camera, np.float64)
    if matrix.shape != (3, 3):
        raise ValueError(
            f"camera {index} is an array of shape {matrix.shape}; give Intrinsics(fx, "
            "fy, cx, cy) or its matrix (3, 3)"
        )
    return Intrinsics(matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2])


def _conditions(cameras, poses, windows) -> dict[str, np.ndarray]:
    """Return known cameras as the network takes them.

    The first view is the world, and the median distance of all from it is 1.
    """
    matrices = np.stack([_square(pose) for pose in poses])
    relative = matrices @ np.linalg.inv(matrices[0])
    centres = np.stack([Pose(matrix).centre for matrix in relative])
    distances = np.sort(np.linalg.norm(centres, axis=1))
    # The lower median, the first view's own 0 included, as torch's.
    unit = max(float(distances[(len(distances) - 1) // 2]), _LEAST_DISTANCE)
    relative[:, :3, 3] /= unit
    intrinsics = np.tile(np.eye(3), (len(cameras), 1, 1))
    for matrix, camera, window in zip(intrinsics, cameras, windows, strict=True):
        (down, across), (top, left) = window.scale, window.offset
        matrix[0, 0], matrix[1, 1] = camera.fx * across, camera.fy * down
        matrix[0, 2] = (camera.cx + 0.5) * across - left
        matrix[1, 2] = (camera.cy + 0.5) * down - top
    return {
        "extrinsics": relative[None].astype(np.float32),
        "intrinsics": intrinsics[None].astype(np.float32),
    }


def _square(pose: Pose) -> np.ndarray:
    return np.concatenate([pose.world_to_camera, [[0, 0, 0, 1]]])


def _in_given_unit(output: Output, poses: Sequence[Pose]) -> Output:
    """Return the output with its depth in the unit of the poses given.

    The scale is that of the similarity between the centres predicted and given
    (Umeyama 1991), which of two views is the ratio of their baselines. One view has no
    baseline: its depth keeps the network's unit.
    """
    assert output.extrinsics is not None
    given = np.stack([pose.centre for pose in poses])
    found = np.stack([_pose(e).centre for e in output.extrinsics])
    given, found = given - given.mean(0), found - found.mean(0)
    spread = np.square(given).sum()
    if spread == 0:
        return output
    u, d, vt = np.linalg.svd(found.T @ given)
    sign = np.sign(np.linalg.det(u) * np.linalg.det(vt))
    scale = float((d * [1, 1, sign]).sum() / spread)
    if not scale > 0:
        return output
    return dataclasses.replace(output, depth=output.depth / np.float32(scale))


def _pose(extrinsics: np.ndarray) -> Pose:
    """Return a predicted pose, its rotation made exact."""
    matrix = np.asarray(extrinsics, np.float64).copy()
    u, _, vt = np.linalg.svd(matrix[:, :3])
    matrix[:, :3] = u @ vt
    return Pose(matrix)


def _metric_network(estimator, params, metric):
    """Return (params, config) of the network that gives metres, or None."""
    if metric is None:
        config = estimator.config.metric
        if config is None:
            return None
        return on_one_device(params["metric"]), config
    if isinstance(metric, str | os.PathLike):
        from jax_depth.inference.estimator import load

        metric = load(metric, dtype=estimator.config.dtype)
    if metric.config.canonical_focal is None:
        raise ValueError(
            f"metric={metric.config.name!r} does not give metres from a focal length; "
            "give 'depth-anything-3-metric-large' or an estimator of it"
        )
    return on_one_device(metric.params), metric.config


def in_metres(
    output: Output, metric: Output, config: ModelConfig
) -> tuple[Output, Float32[np.ndarray, "v h w"]]:
    """Bring depth and poses to metres by a metric model's view of the same pictures.

    One scale for all: least squares between both depths over the more confident half
    of what is not sky. Unlike upstream, nothing is drawn at random and sky is not
    filled.

    Args:
        output: of the any-view model, arrays (v, ...).
        metric: of the metric model for the same pixels.
        config: of the metric model.

    Returns:
        The output in metres, and the metric model's sky map.

    Raises:
        ValueError: nearly all is sky.

    Source: upstream `NestedDepthAnything3Net._apply_depth_alignment`.
    """
    assert config.canonical_focal is not None
    assert output.intrinsics is not None and output.confidence is not None
    focal = (output.intrinsics[:, 0, 0] + output.intrinsics[:, 1, 1]) / 2
    metres = metric.depth * (focal / config.canonical_focal)[:, None, None]
    sky = np.asarray(metric.sky)
    ground = sky < SKY
    if ground.sum() <= 10:
        raise ValueError(
            "nearly every pixel is sky, so the scale cannot be determined; leave "
            "`metric` out"
        )
    sure = output.confidence >= np.median(output.confidence[ground])
    mask = sure & ground & (metres > 1e-2) & (output.depth > 1e-3)
    a, b = (np.asarray(x)[mask].astype(np.float64) for x in (metres, output.depth))
    scale = float(a @ b / max(b @ b, 1e-12))
    if not scale > 0:
        raise ValueError("no pixel has depth in both models; leave metric out")
    extrinsics = np.array(output.extrinsics)
    extrinsics[:, :, 3] *= scale
    depth = output.depth * np.float32(scale)
    return dataclasses.replace(output, depth=depth, extrinsics=extrinsics), sky


def _views(output, sky, given, photos, windows, names, config) -> Views:
    depths, cameras, poses = [], [], []
    for i, (photo, window) in enumerate(zip(photos, windows, strict=True)):
        size = photo.shape[:2]
        grow = functools.partial(bounded.to_photo, place=window, size=size)
        depths.append(
            DepthMap(
                grow(output.depth[i]),
                "depth" if sky is None else "metric_depth",
                None if sky is None else "m",
                config.name,
                confidence=grow(output.confidence[i]),
                sky=None if sky is None else grow(sky[i]),
            )
        )
        if given is not None:
            cameras.append(given[0][i])
            poses.append(given[1][i])
            continue
        matrix = np.asarray(output.intrinsics[i], np.float64)
        (down, across), (top, left) = window.scale, window.offset
        cameras.append(
            Intrinsics(
                float(matrix[0, 0] / across),
                float(matrix[1, 1] / down),
                float((matrix[0, 2] + left) / across - 0.5),
                float((matrix[1, 2] + top) / down - 0.5),
            )
        )
        poses.append(_pose(output.extrinsics[i]))
    return Views(depths, cameras, poses, int(output.reference), photos, names)


def _names(images) -> tuple[str, ...]:
    if all(isinstance(image, str | os.PathLike) for image in images):
        return tuple(Path(image).stem for image in images)
    return ()


def on_one_device(params):
    """Return parameters as the first device holds them."""

    def first(leaf):
        if isinstance(leaf, jax.Array) and len(leaf.sharding.device_set) > 1:
            return leaf.addressable_data(0)
        return jnp.asarray(leaf)

    return jax.tree.map(first, params)
