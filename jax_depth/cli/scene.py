"""`jax-depth scene`: photos to meshes, point clouds, normals and stereo pairs."""

import argparse
import math
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jax_depth.cli.batch import add_batch_arguments, run_batch
from jax_depth.cli.model_options import (
    add_engine_option,
    add_model_options,
    load_estimator,
)
from jax_depth.cli.photos import Job
from jax_depth.cli.usage import UsageError, names_among, positive

DEFAULT_FORMATS = "glb"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "paths",
        metavar="PATH",
        nargs="+",
        help="a photo, a folder (searched recursively), a glob, or a .txt file with "
        "one of these on each line",
    )
    model = parser.add_argument_group("model")
    add_model_options(model)
    add_engine_option(model)
    _add_camera_arguments(
        parser.add_argument_group(
            "camera",
            "Without these: the focal length in the photo's EXIF data, else 60 degrees "
            "across the longer side, and a note says so.",
        )
    )
    _add_metre_arguments(
        parser.add_argument_group(
            "metres",
            "A metric model gives metres. A relative model gives inverse depth of "
            "unknown scale and shift, which these options set or fit.",
        )
    )
    _add_output_arguments(parser.add_argument_group("output"))


def _add_camera_arguments(group: argparse._ArgumentGroup) -> None:
    camera = group.add_mutually_exclusive_group()
    camera.add_argument(
        "--focal",
        type=_numbers(1),
        metavar="PIXELS",
        help="focal length in pixels of the photo",
    )
    camera.add_argument(
        "--intrinsics",
        type=_numbers(4),
        metavar="FX,FY,CX,CY",
        help="focal lengths and principal point in pixels; 0,0 is the centre of "
        "the first pixel",
    )
    camera.add_argument(
        "--fov",
        type=_numbers(1),
        metavar="DEGREES",
        help="field of view across the photo's longer side",
    )


def _add_metre_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--near",
        type=float,
        metavar="METRES",
        help="distance of the nearest point along the camera's axis; needs --far",
    )
    group.add_argument(
        "--far",
        type=float,
        metavar="METRES",
        help="distance of the farthest point; needs --near",
    )
    group.add_argument(
        "--point",
        type=_numbers(3),
        action="append",
        metavar="X,Y,METRES",
        help="a known distance at column X and row Y, along the camera's axis; for "
        "one photo only; give two or more at different depths",
    )


def _add_output_arguments(group: argparse._ArgumentGroup) -> None:
    from jax_depth.outputs.scene import SCENE_FORMATS
    from jax_depth.outputs.scene.files import TRIANGLES
    from jax_depth.outputs.scene.stereo import PARALLAX
    from jax_depth.outputs.scene.surface import EDGE_ANGLE, MAX_POINTS

    formats = "; ".join(f"{name}: {f.summary}" for name, f in SCENE_FORMATS.items())
    group.add_argument(
        "-o",
        "--outdir",
        type=Path,
        default=Path("scene_out"),
        help="folder for the results, made if missing (default: %(default)s)",
    )
    group.add_argument(
        "--format",
        type=names_among(SCENE_FORMATS),
        default=DEFAULT_FORMATS.split(","),
        metavar="A,B",
        help=f"comma-separated, of {formats} (default: {DEFAULT_FORMATS})",
    )
    group.add_argument(
        "--max-depth",
        type=float,
        metavar="METRES",
        help="leave out points farther than this (default: a metric model's "
        "largest depth)",
    )
    group.add_argument(
        "--edge-angle",
        type=float,
        default=EDGE_ANGLE,
        metavar="DEGREES",
        help="leave out triangles at a smaller angle than this to the line of "
        "sight, which bridge jumps in depth (default: %(default)g; 0 keeps "
        "all)",
    )
    group.add_argument(
        "--max-points",
        type=positive,
        default=MAX_POINTS,
        metavar="N",
        help="at most this many points: of larger photos every n-th row and "
        "column is used (default: %(default)d)",
    )
    group.add_argument(
        "--triangles",
        type=positive,
        metavar="N",
        help="at most this many triangles in a mesh (glb, usdz, obj; default: "
        f"{TRIANGLES}). With jax_depth[mesh] flat parts get few; without it "
        "the grid is made coarser",
    )
    group.add_argument(
        "--fill",
        action="store_true",
        help="continue the background of a mesh behind objects, in colour and "
        "depth, so that turning it opens no holes; needs jax_depth[fill] (the parallax "
        "clip does this wherever OpenCV is installed)",
    )
    group.add_argument(
        "--parallax",
        type=float,
        default=100 * PARALLAX,
        metavar="PERCENT",
        help="strength of the stereo effect: how much farther near points are "
        "shifted than far ones between the two eyes' views, in percent of "
        "the width (default: %(default)g)",
    )
    add_batch_arguments(group)


def run(args: argparse.Namespace) -> int:
    """Compute and write the files of every photo; return the exit code."""
    from jax_depth.outputs.scene import SCENE_FORMATS

    if (args.near is None) != (args.far is None):
        raise UsageError("--near and --far go together")
    if args.near is not None and args.point:
        raise UsageError("give --near and --far or --point, not both")
    _check_numbers(args)
    if args.fill:
        from jax_depth.outputs.scene.fill import cv2_module

        try:
            cv2_module()
        except ValueError as error:
            raise UsageError(str(error)) from None
    needs = [SCENE_FORMATS[name].needs for name in args.format]
    if args.triangles is not None:
        from jax_depth.outputs.scene.decimate import simplification_module

        needs.append(simplification_module)
    for check in filter(None, needs):
        try:
            check()
        except ValueError as error:
            raise UsageError(str(error)) from None
    cameras: dict[str, Any] = {}

    def results_of(stem: Path) -> dict[str, Path]:
        return {
            name: stem.with_name(stem.name + SCENE_FORMATS[name].ending)
            for name in args.format
        }

    def prepare(jobs: Sequence[Job]) -> tuple[Any, Callable[..., None]]:
        if args.point and len(jobs) > 1:
            raise UsageError(
                f"--point gives a distance in one photo, but {len(jobs)} were given; "
                "run it once for each, or use --near and --far"
            )
        estimator = _estimator(args)
        return estimator, lambda job, pixels, depth: _write(
            job, pixels, depth, args, cameras
        )

    return run_batch(args, args.paths, results_of, prepare, {"cameras": cameras})


def _check_numbers(args: argparse.Namespace) -> None:
    """Refuse impossible numbers, before a model is loaded."""
    near, far = (1, 2) if args.near is None else (args.near, args.far)
    focal = [*(args.focal or ()), *(args.intrinsics or ())[:2]]
    fov = 60 if args.fov is None else args.fov[0]
    max_depth = 1 if args.max_depth is None else args.max_depth
    for given, possible, needed in (
        ("--near and --far", 0 < near < far < math.inf, "0 < near < far metres"),
        ("--focal or --intrinsics", all(f > 0 for f in focal), "pixels above 0"),
        ("--fov", 0 < fov < 180, "between 0 and 180 degrees"),
        ("--max-depth", max_depth > 0, "metres above 0"),
        ("--edge-angle", 0 <= args.edge_angle < 90, "from 0 to below 90 degrees"),
        ("--max-points", args.max_points >= 4, "4 or more"),
        ("--parallax", 0 < args.parallax <= 20, "above 0 and at most 20 percent"),
    ):
        if not possible:
            raise UsageError(f"{given} must be {needed}")


def _estimator(args: argparse.Namespace) -> Any:
    from jax_depth.outputs.scene import SCENE_FORMATS

    estimator = load_estimator(args)
    kind, stated = estimator.config.kind, args.near is not None or args.point
    needing = [name for name in args.format if SCENE_FORMATS[name].metric]
    by_focal_length = estimator.config.canonical_focal is not None
    if needing and kind != "metric_depth" and not (stated or by_focal_length):
        raise UsageError(
            f"--format {needing[0]} needs metres, but {estimator.config.name} gives "
            f"{kind} of unknown scale; set it with --near and --far or two or more "
            "--point, or use a metric model"
        )
    if kind == "metric_depth" and args.near is not None:
        raise UsageError(
            f"{estimator.config.name} gives metres itself; leave --near and --far out, "
            "or correct its scale with --point"
        )
    return estimator


def _write(job: Job, pixels, depth, args: argparse.Namespace, cameras: dict) -> None:
    from jax_depth.formats.exif import is_stated
    from jax_depth.formats.image import as_bytes
    from jax_depth.outputs import scene

    needing = any(scene.SCENE_FORMATS[name].metric for name in args.format)
    camera, source = _camera(job.photo, depth.shape, args)
    cameras[str(job.photo)] = {
        "source": source,
        **{name: getattr(camera, name) for name in ("fx", "fy", "cx", "cy")},
    }
    if args.near is not None:
        depth = scene.between(depth, args.near, args.far)
    elif args.point:
        depth = depth.to_metric(args.point)
    elif depth.metres_per_focal is not None and is_stated(source):
        depth = depth.to_metric(camera=camera)
    if needing and depth.unit is None:
        raise ValueError(
            f"{depth.model} needs a focal length for metres, which the file does not "
            "state; give it with --focal, --intrinsics or --fov, or give --near and "
            "--far"
        )
    whole = scene.Scene(
        as_bytes(pixels),
        depth,
        camera,
        job.photo.stem,
        args.max_depth,
        args.edge_angle,
        args.max_points,
        args.parallax / 100,
        args.fill,
        args.triangles,
    )
    for name, path in job.results.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        scene.save(whole, path, name)


def _camera(photo: Path, shape: tuple[int, int], args: argparse.Namespace) -> Any:
    from jax_depth.formats.exif import is_stated
    from jax_depth.outputs import scene

    if args.focal is not None:
        return scene.camera_from_focal(shape, *args.focal), "--focal"
    if args.intrinsics is not None:
        return scene.camera_from_focal(shape, *args.intrinsics), "--intrinsics"
    if args.fov is not None:
        return scene.camera_from_view(shape, *args.fov), "--fov"
    camera, source = scene.find_camera(photo, shape)
    needed = any(scene.SCENE_FORMATS[name].metric for name in args.format)
    if needed and not is_stated(source):
        # The same text is printed once, however many photos it applies to.
        warnings.warn(
            f"field of view {source}; set it with --fov, --focal or --intrinsics",
            stacklevel=2,
        )
    return camera, source


def _numbers(count: int) -> Callable[[str], tuple[float, ...]]:
    """Return an argument type: so many numbers, separated by commas."""

    def parse(text: str) -> tuple[float, ...]:
        try:
            numbers = tuple(float(part) for part in text.split(","))
        except ValueError:
            numbers = ()
        if len(numbers) != count or not all(map(math.isfinite, numbers)):
            what = "a number" if count == 1 else f"{count} numbers with commas between"
            raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
        return numbers

    return parse
