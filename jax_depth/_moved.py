"""Modules that have moved: their old names still work, with a warning."""

import importlib
import importlib.abc
import importlib.machinery
import sys
import warnings
from collections.abc import Sequence
from types import ModuleType

# Old name -> new name, both below `jax_depth`; what is below the old is below the new.
# To be emptied with the release after the one that moved them.
MOVED = {
    "data.files": "formats.maps",
    "deploy": "export",
    "deploy.ahead_of_time": "inference.engines.ahead_of_time",
    "deploy.app": "app",
    "deploy.executable": "inference.engines.programs",
    "inference.blend": "video.blend",
    "inference.calibration": "outputs.calibration",
    "inference.depth_map": "depth_map",
    "inference.frames": "video.frames",
    "inference.image": "formats.image",
    "inference.metric_fit": "metric_fit",
    "inference.prefetch": "video.prefetch",
    "inference.spool": "video.spool",
    "inference.stabilize": "video.stabilize",
    "inference.video": "video.video_depth",
    "inference.video_file": "video.reading",
    "outputs.arrays": "formats.npy",
    "outputs.atomic": "formats.atomic",
    "outputs.clips": "video.clips",
    "outputs.exr": "formats.exr",
    "outputs.files": "map_files",
    "outputs.metadata": "map_files",
    "outputs.pfm": "formats.pfm",
    "outputs.png16": "formats.png16",
    "outputs.scene.camera": "formats.exif",
    "outputs.scene.colmap": "formats.colmap",
    "outputs.scene.glb": "formats.glb",
    "outputs.scene.ply": "formats.ply",
    "outputs.tiff": "formats.tiff",
    "outputs.video": "video.writing",
    "safetensors_io": "formats.safetensors",
}


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports the module of the new name and puts it in the old one's place."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        package, _, rest = fullname.partition(".")
        if package != "jax_depth" or _new_name(rest) is None:
            return None
        return importlib.machinery.ModuleSpec(fullname, self)

    def exec_module(self, module: ModuleType) -> None:
        old = module.__name__
        new = f"jax_depth.{_new_name(old.partition('.')[2])}"
        found = importlib.import_module(new)
        warnings.warn(
            f"{old} is now {new}; the old name goes with the next release",
            DeprecationWarning,
            stacklevel=2,
        )
        # The import system hands out what stands here, not the module it made.
        sys.modules[old] = found


def _new_name(name: str) -> str | None:
    """Return where a module is now; None if it has not moved."""
    above, below = name, ""
    while above:
        if above in MOVED:
            return MOVED[above] + below
        above, _, last = above.rpartition(".")
        below = f".{last}{below}"
    return None


def install() -> None:
    """Make the old names importable; a second call does nothing."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        # In front, since the parts of a moved package are files below its new name.
        sys.meta_path.insert(0, _Finder())
