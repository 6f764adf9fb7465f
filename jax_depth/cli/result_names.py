"""What the results of each photo are called, so that no two share a name."""

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from jax_depth.cli.photos import Photo
from jax_depth.outputs import FORMATS

# Appended to a photo's stem. Fixed, and different for every picture, so that asking
# for one more format never renames the others.
_ENDINGS = {"png8": "gray", "color": "color", "side-by-side": "side_by_side"}

# File systems take names of 255 bytes; the rest is for endings: `_side_by_side.png`.
_LONGEST = 220


def result_paths(stem: Path, formats: Iterable[str]) -> dict[str, Path]:
    """Return format -> file, such as `photo_depth.png`, `photo_color.png`."""
    return {
        name: stem.with_name(
            f"{stem.name}_{_ENDINGS.get(name, 'depth')}{FORMATS[name].suffixes[0]}"
        )
        for name in formats
    }


def result_stems(photos: Sequence[Photo]) -> list[Path]:
    """Return for each photo a relative path without suffix, unique among them.

    A photo keeps its place below the folder that was given, and its stem. Where two
    would share that, all of them get longer names: first the suffix joins the stem
    (`photo_jpg`), then come the folders above, nearest first, and at last a hash. So
    a name depends on the set of photos, not on their order nor on what is on disk.
    """
    candidates = [_candidates(photo) for photo in photos]
    level = [0] * len(photos)
    while True:
        names = [c[i] for c, i in zip(candidates, level, strict=True)]
        names = [fitting(name) for name in names]
        counts = Counter(map(_folded, names))
        clashing = [k for k, name in enumerate(names) if counts[_folded(name)] > 1]
        if not clashing:
            return names
        for k in clashing:
            level[k] = min(level[k] + 1, len(candidates[k]) - 1)


def fitting(path: Path) -> Path:
    """Return `path`, its name cut and marked by a hash where no ending would fit."""
    name = os.fsencode(path.name)
    if len(name) <= _LONGEST:
        return path
    digest = hashlib.sha256(name).hexdigest()[:16]
    # Cut between characters, not in one.
    kept = name[: _LONGEST - 17].decode(errors="ignore")
    return path.with_name(f"{kept}_{digest}")


def _candidates(photo: Photo) -> list[Path]:
    """Return ever longer names for one photo; the last is like no other's."""
    relative = Path(os.path.relpath(photo.path, photo.root))
    full = relative.with_name(
        f"{relative.stem}_{relative.suffix[1:]}" if relative.suffix else relative.name
    )
    above = Path(os.path.abspath(photo.root)).parts[1:]
    deeper = [Path(*above[k:], full) for k in reversed(range(len(above)))]
    digest = hashlib.sha256(os.fsencode(os.path.abspath(photo.path))).hexdigest()
    last = full.with_name(f"{full.name}_{digest[:16]}")
    return [relative.with_suffix(""), full, *deeper, last]


def _folded(name: Path) -> str:
    """Return what two names share on a file system that ignores case."""
    return unicodedata.normalize("NFC", str(name)).casefold()
