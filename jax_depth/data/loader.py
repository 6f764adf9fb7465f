"""Batches for training, each a pure function of (seed, step).

Grain shuffles, repeats, mixes by weight and reads ahead: in threads or, where the
interpreter's lock is the limit, in processes. The order is that of one endless stream
of samples: batch `step` of `batch_size` is its elements step * batch_size and
following, whatever the number of hosts, each of which reads its own rows of every
batch. So the step is all there is to save, and a run may be resumed on other hosts.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from jax_depth.data.dataset import Dataset
from jax_depth.data.sample import DatasetError, Sample, SampleError

# A sample and the generator of its random choices -> arrays of the same shapes and
# keys for every sample.
Transform = Callable[[Sample, np.random.Generator], Mapping[str, np.ndarray]]

# Substitutes to try for one unreadable sample before giving up on its dataset.
_ATTEMPTS = 20
# Keys of independent random streams: (seed, _SUBSTITUTE, ...) and (seed, index).
_SUBSTITUTE = 0x5AB


class Row(NamedTuple):
    """One element of the stream, read.

    Attributes:
        name: "title/name" of the sample.
        arrays: of the transform; None where no substitute could be read either.
        unreadable: (name, sentence) of the samples it stands in for.
    """

    name: str
    arrays: Mapping[str, np.ndarray] | None
    unreadable: tuple[tuple[str, str], ...] = ()


class TooManyUnreadable(DatasetError):
    """More samples were unreadable than allowed; the message names them."""


@dataclasses.dataclass(frozen=True)
class LoadedBatch:
    """What one process sees of one batch.

    Attributes:
        step: number of the batch, from 0.
        arrays: of the transform, stacked: (rows, ...).
        names: of the samples, "title/name", one per row.
    """

    step: int
    arrays: dict[str, np.ndarray]
    names: tuple[str, ...]


class Loader:
    """An endless, shuffled, weighted mixture of datasets.

    Every epoch of each dataset is shuffled differently. Datasets are interleaved in
    fixed proportion, not drawn: with weights 1 and 2 each run of three samples holds
    one of the first and two of the second.

    An unreadable sample is replaced by another of its dataset, drawn from
    (seed, position), reported, and counted in `unreadable`.

    Args:
        datasets: what to mix.
        transform: makes arrays of a sample: augmentation, resizing, the choice of
            target. Its generator depends on (seed, position in the stream) alone.
        batch_size: rows of a batch over all processes.
        seed: of the order and of the transform.
        weights: share of each dataset, any positive scale; in proportion to their
            sizes when None, as if they were one.
        process_index, process_count: which rows of each batch to read: `process_count`
            equal, contiguous parts.
        threads: that read and transform.
        workers: processes that do it instead, each with `threads` of its own; 0 for
            this process alone. Batches are the same. They are started afresh, so
            datasets and the transform must be picklable, and a program that uses them
            needs `if __name__ == "__main__":`.
        ahead: batches to hold ready.
        unreadable_limit: distinct unreadable samples this process tolerates.
        report: called with a sentence at each new unreadable sample.

    Raises:
        DatasetError: no datasets, one is empty, or weights are not positive numbers.
        ValueError: the batch does not divide among the processes, or Grain is not
            installed.
    """

    def __init__(
        self,
        datasets: Sequence[Dataset],
        transform: Transform,
        *,
        batch_size: int,
        seed: int,
        weights: Sequence[float] | None = None,
        process_index: int = 0,
        process_count: int = 1,
        threads: int = 4,
        workers: int = 0,
        ahead: int = 2,
        unreadable_limit: int = 100,
        report: Callable[[str], None] | None = None,
    ):
        self.datasets = tuple(datasets)
        self.transform = transform
        self.batch_size, self.seed = batch_size, seed
        self.unreadable_limit, self.report = unreadable_limit, report
        self._threads, self._workers, self._ahead = threads, workers, ahead
        # Name -> reason, of samples that could not be read.
        self.unreadable: dict[str, str] = {}
        if batch_size < 1 or batch_size % process_count:
            raise ValueError(
                f"batch size {batch_size} does not divide among {process_count} "
                "processes; make it a multiple"
            )
        self.rows = batch_size // process_count
        self._first_row = process_index * self.rows
        self._stream = _mixed(self.datasets, weights, seed)

    def batches(self, first_step: int = 0) -> Iterator[LoadedBatch]:
        """Yield batches `first_step`, `first_step` + 1, ... without end.

        Raises:
            TooManyUnreadable: more than `unreadable_limit` samples were unreadable, or
                no substitute for one could be read.
        """
        grain = _grain()
        options = grain.ReadOptions(
            num_threads=self._threads,
            prefetch_buffer_size=max(self._ahead * self.rows, self._threads),
        )
        source = grain.MapDataset.source(_RowSource(self, first_step))
        stream = source.to_iter_dataset(options)
        if self._workers:
            _settle_flags()
            held = -(-self._ahead * self.rows // self._workers)
            stream = stream.mp_prefetch(
                grain.MultiprocessingOptions(self._workers, per_worker_buffer_size=held)
            )
        rows = iter(stream)
        step = first_step
        try:
            while True:
                yield self._stack(step, [next(rows) for _ in range(self.rows)])
                step += 1
        finally:
            rows.close()

    def batch(self, step: int) -> LoadedBatch:
        """Return one batch, read at once: what `batches` yields for that step."""
        first = step * self.batch_size + self._first_row
        rows = [self.row(position) for position in range(first, first + self.rows)]
        return self._stack(step, rows)

    def row(self, position: int) -> Row:
        """Return one element of the stream.

        A transform may refuse a sample with a SampleError: it is replaced like an
        unreadable one.
        """
        number, index = self._stream[position]
        dataset = self.datasets[number]
        substitutes = np.random.default_rng((self.seed, _SUBSTITUTE, position))
        unreadable: list[tuple[str, str]] = []
        for _ in range(_ATTEMPTS):
            name = f"{dataset.title}/{dataset.names[index]}"
            generator = np.random.default_rng((self.seed, position))
            try:
                arrays = self.transform(dataset[index], generator)
                return Row(name, arrays, tuple(unreadable))
            except SampleError as error:
                unreadable.append((name, str(error)))
            index = int(substitutes.integers(len(dataset)))
        return Row(repr(dataset), None, tuple(unreadable))

    def _count(self, name: str, sentence: str) -> None:
        if name in self.unreadable:
            return
        self.unreadable[name] = sentence
        if self.report is not None:
            self.report(f"{sentence}; skipped ({len(self.unreadable)} so far)")
        self.check_total(len(self.unreadable))

    def check_total(self, count: int) -> None:
        """Check a number of unreadable samples, this process's or all processes'.

        Raises:
            TooManyUnreadable: it is above the limit.
        """
        if count > self.unreadable_limit:
            last = next(reversed(self.unreadable.values()), "on another host")
            raise TooManyUnreadable(
                f"{count} samples could not be read, more than the limit of "
                f"{self.unreadable_limit}; repair the data or raise the limit "
                f"(data.unreadable_limit in a recipe); the last: {last}"
            )

    def _stack(self, step: int, rows: Sequence[Row]) -> LoadedBatch:
        mappings = []
        for row in rows:
            for name, sentence in row.unreadable:
                self._count(name, sentence)
            if row.arrays is None:
                raise TooManyUnreadable(
                    f"{row.name}: {_ATTEMPTS} samples in a row could not be used, the "
                    f"last: {row.unreadable[-1][1]}"
                )
            mappings.append(row.arrays)
        arrays = {key: np.stack([m[key] for m in mappings]) for key in mappings[0]}
        return LoadedBatch(step, arrays, tuple(row.name for row in rows))

    def __getstate__(self) -> dict[str, Any]:
        # To a worker, which reads rows and reports nothing.
        return self.__dict__ | {"report": None, "unreadable": {}}


def _settle_flags() -> None:
    """Let Grain's worker processes read absl's flags, which only absl.app parses."""
    from absl import flags

    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()


class _RowSource:
    """One process's part of the stream, from a step on: what Grain reads."""

    def __init__(self, loader: Loader, first_step: int):
        self._loader, self._first_step = loader, first_step

    def __len__(self) -> int:
        # Grain wants an end; this one is centuries away.
        return 2**48

    def __getitem__(self, index: int) -> Row:
        loader = self._loader
        step, row = divmod(int(index), loader.rows)
        start = (self._first_step + step) * loader.batch_size + loader._first_row
        return loader.row(start + row)

    def __repr__(self) -> str:
        return f"_RowSource({self._loader.datasets!r}, {self._first_step})"


class _Numbers:
    """(number of a dataset, index in it): what is shuffled and mixed."""

    def __init__(self, number: int, length: int):
        self._number, self._length = number, length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> tuple[int, int]:
        return self._number, int(index)

    def __repr__(self) -> str:
        return f"_Numbers({self._number}, {self._length})"


def _mixed(
    datasets: Sequence[Dataset], weights: Sequence[float] | None, seed: int
) -> Any:
    """Return the endless stream as a Grain MapDataset of (dataset, index)."""
    grain = _grain()
    if not datasets:
        raise DatasetError("there is nothing to train on: no dataset was given")
    for dataset in datasets:
        if not len(dataset):
            raise DatasetError(f"{dataset!r}: it is empty")
    sizes = [float(len(dataset)) for dataset in datasets]
    shares = sizes if weights is None else [float(weight) for weight in weights]
    if len(shares) != len(datasets) or not all(0 < s < np.inf for s in shares):
        raise DatasetError(
            f"the weights {list(shares)} must be {len(datasets)} numbers above 0, one "
            "for each dataset"
        )
    legs = [
        # A seed for each: equal sizes must not mean equal orders.
        grain.MapDataset.source(_Numbers(number, len(dataset)))
        .seed(_grain_seed(seed, number))
        .shuffle()
        .repeat()
        for number, dataset in enumerate(datasets)
    ]
    total = sum(shares)
    return grain.MapDataset.mix(legs, [share / total for share in shares])


def _grain_seed(seed: int, number: int) -> int:
    return int(np.random.SeedSequence((seed, number)).generate_state(1)[0] >> 1)


def _grain() -> ModuleType:
    try:
        import grain
    except ImportError:
        raise ValueError(
            "loading batches needs Grain: pip install 'jax_depth[train]'"
        ) from None
    return grain
