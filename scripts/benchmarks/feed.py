"""Measure how many photos a second the host can feed to a network.

    python scripts/benchmarks feed
    python scripts/benchmarks feed --photo 640x480 --threads 1,2 --milliseconds 0,5
    python scripts/benchmarks feed --rows finetune,v1-student,tiny --photo 640x480

Decoding, preprocessing and bringing maps back are those of `Estimator.stream`; the
network is replaced by a pretended device that sleeps for some milliseconds per photo.
So a machine without an accelerator shows what it could do beside one: the host must
keep up with the network's own rate. With `--rows`, what a row of training costs
instead: a JPEG and its 16-bit depth are read, cropped, augmented and masked as the
recipe says.
"""

import argparse
import contextlib
import dataclasses
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

MODEL = "depth-anything-v2-small"
_PHOTOS = 24  # of one measurement, at the least


@dataclasses.dataclass(frozen=True)
class Row:
    """One measurement.

    Attributes:
        photo: (height, width) of the photos.
        milliseconds: that the network takes per photo.
        threads: that read, prepare and bring maps back.
        rate: photos per second.
        cpu: processor milliseconds per photo, decoding included.
    """

    photo: tuple[int, int]
    milliseconds: float
    threads: int
    rate: float
    cpu: float


def main(arguments: Sequence[str]) -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        "benchmarks feed", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--photo", type=_sizes, default="1920x1080,640x480")
    parser.add_argument("--milliseconds", type=_numbers, default="0,1,5,20")
    parser.add_argument("--threads", type=_numbers, default="1,2,4,8")
    parser.add_argument("--size", type=int, help="short side at the network")
    parser.add_argument("--photos", type=int, default=_PHOTOS, help="of a measurement")
    parser.add_argument(
        "--rows", type=_words, metavar="A,B", help="time training rows of these recipes"
    )
    args = parser.parse_args(arguments)
    if args.rows:
        _print_rows(args.photo, args.rows, args.photos)
        return
    print("| photo | network, ms | threads | photos a second | CPU ms a photo |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for row in measure(
        args.photo,
        args.milliseconds,
        [int(n) for n in args.threads],
        args.size,
        args.photos,
    ):
        height, width = row.photo
        print(
            f"| {width} x {height} | {row.milliseconds:g} | {row.threads} "
            f"| {row.rate:.1f} | {row.cpu:.1f} |",
            flush=True,
        )


def measure(
    photos: Sequence[tuple[int, int]],
    milliseconds: Sequence[float],
    threads: Sequence[int],
    size: int | None = None,
    count: int = _PHOTOS,
):
    """Yield a `Row` for each photo size, network and number of threads."""
    for height, width in photos:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "photo.jpg"
            _photo(height, width).save(path, quality=90)
            for of_network in milliseconds:
                estimator = sleeping(of_network / 1e3, size)
                for number in threads:
                    yield _row(
                        estimator, path, (height, width), of_network, number, count
                    )


def sleeping(seconds: float, size: int | None = None) -> Any:
    """Return an estimator whose network sleeps for some seconds per photo."""
    import jax_depth
    from jax_depth.models.output import Output

    estimator = jax_depth.Estimator({}, jax_depth.MODELS[MODEL].config, size=size)

    def run(pixels: np.ndarray) -> Output:
        if seconds:
            time.sleep(seconds * len(pixels))
        return Output(np.zeros(pixels.shape[:3], np.float32))

    estimator.run = run
    return estimator


def _row(estimator, path: Path, photo, milliseconds: float, threads: int, count: int):
    def go(number: int) -> None:
        with contextlib.closing(
            estimator.stream([path] * number, threads=threads)
        ) as results:
            for _, result in results:
                if isinstance(result, Exception):
                    raise result

    go(threads)  # matrices are built and memory is mapped
    start, cpu = time.perf_counter(), time.process_time()
    go(count)
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    return Row(photo, milliseconds, threads, count / wall, 1e3 * cpu / count)


def _print_rows(photos, recipes: Sequence[str], count: int) -> None:
    """Print a table of what rows of some recipes cost one thread of the host."""
    print("| recipe | photo | reading, CPU ms | the rest of a row, CPU ms |")
    print("| --- | --- | ---: | ---: |")
    for name in recipes:
        for photo in photos:
            read, rest = row_cost(name, photo, count)
            height, width = photo
            print(
                f"| {name} | {width} x {height} | {read:.1f} | {rest:.1f} |", flush=True
            )


def row_cost(
    recipe: str, photo: tuple[int, int], count: int = _PHOTOS
) -> tuple[float, float]:
    """Return CPU milliseconds a row of training costs: reading its files, and the rest.

    Args:
        recipe: by name. Where it learns from pseudo-labels too, rows are of those in
            its share.
        photo: (height, width).
        count: rows in each of three rounds, of which the best counts.
    """
    import jax_depth.data
    from jax_depth.training.feed import PseudoSample, TrainingRows
    from jax_depth.training.recipes import RECIPES

    settings = RECIPES[recipe]
    rows = TrainingRows(settings)
    pseudo = round(count * settings.data.pseudo_share)
    best = [float("inf")] * 2
    with tempfile.TemporaryDirectory() as folder:
        dataset = jax_depth.data.open_dataset(f"pairs:{_pair(Path(folder), *photo)}")
        for turn in range(4):  # the first warms up
            start = time.process_time()
            samples = [dataset[0] for _ in range(count)]
            read = time.process_time()
            for i, sample in enumerate(samples):
                if i < pseudo:
                    sample = PseudoSample(**vars(sample))
                rows(sample, np.random.default_rng((turn, i)))
            times = read - start, time.process_time() - read
            best = [min(pair) for pair in zip(best, times, strict=True)]
    read, rest = (1e3 * seconds / count for seconds in best)
    return read, rest


def _pair(folder: Path, height: int, width: int) -> Path:
    """Write a photo and its depth in millimetres, and return the folder."""
    for name in ("images", "depth"):
        (folder / name).mkdir()
    _photo(height, width).save(folder / "images" / "a.jpg", quality=90)
    y, x = np.mgrid[:height, :width]
    depth = (2000 + 3 * y + 500 * np.sin(x / 40)).astype(np.uint16)
    Image.fromarray(depth).save(folder / "depth" / "a.png")
    (folder / "pairs.json").write_text('{"kind": "metric_depth", "unit": "mm"}')
    return folder


def _photo(height: int, width: int) -> Image.Image:
    """Return a picture that compresses as photos do: smooth, with some noise."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (9, 16, 3), np.uint8)
    smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    noise = rng.normal(0, 6, (height, width, 1))
    return Image.fromarray(np.clip(smooth + noise, 0, 255).astype(np.uint8))


def _words(text: str) -> list[str]:
    return text.split(",")


def _sizes(text: str) -> list[tuple[int, int]]:
    sizes = [tuple(map(int, size.split("x"))) for size in text.split(",")]
    return [(height, width) for width, height in sizes]


def _numbers(text: str) -> list[float]:
    return [float(number) for number in text.split(",")]
