"""The loader: batches are a function of (seed, step), whoever reads them, however."""

import collections
import itertools

import numpy as np
import pytest

from jax_depth.data import DatasetError, Loader, SampleError, open_mixture
from jax_depth.data.dataset import Dataset
from jax_depth.data.loader import TooManyUnreadable
from jax_depth.data.sample import labelled_sample


class Numbered(Dataset):
    """Sample i is a picture of the number i; some cannot be read."""

    def __init__(self, title, length, damaged=()):
        self.title, self.root = title, "/nowhere"
        self.names = [f"{index:03d}" for index in range(length)]
        self.damaged = set(damaged)

    def _read(self, index):
        if index in self.damaged:
            raise OSError("broken data stream")
        rgb = np.full((4, 6, 3), index, np.uint8)
        depth = np.full((4, 6), index + 1.0)
        return labelled_sample(rgb, depth, "metric_depth", "m", self.names[index])


def transform(sample, generator):
    return {"rgb": sample.rgb, "noise": generator.standard_normal(2)}


def loader(*datasets, **options):
    datasets = datasets or (Numbered("a", 20), Numbered("b", 50, {7, 8}))
    options = {"batch_size": 12, "seed": 3, **options}
    return Loader(datasets, options.pop("transform", transform), **options)


def take(batches, count):
    taken = list(itertools.islice(batches, count))
    batches.close()
    return taken


def same(one, other):
    assert one.step == other.step and one.names == other.names
    assert one.arrays.keys() == other.arrays.keys()
    for key, array in one.arrays.items():
        np.testing.assert_array_equal(array, other.arrays[key])


def test_a_batch_is_the_same_read_in_threads_alone_or_after_resuming():
    whole = take(loader(threads=5).batches(), 12)
    for step in (0, 5, 11):
        same(whole[step], loader().batch(step))
    for resumed, batch in zip(take(loader().batches(7), 3), whole[7:10], strict=True):
        same(resumed, batch)


@pytest.mark.slow
def test_processes_read_the_same_batches_and_tell_what_they_could_not():
    told = []
    alone, apart = loader(), loader(workers=2, threads=1, report=told.append)
    for one, other in zip(take(apart.batches(2), 6), range(2, 8), strict=True):
        same(one, alone.batch(other))
    assert apart.unreadable == alone.unreadable and len(told) == 2
    broken = loader(Numbered("a", 30, range(30)), workers=1)
    with pytest.raises(TooManyUnreadable, match="20 samples in a row could not"):
        take(broken.batches(), 1)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_processes_read_consecutive_rows_of_the_same_batch(count):
    alone = take(loader().batches(), 4)
    parts = [
        take(loader(process_index=index, process_count=count).batches(), 4)
        for index in range(count)
    ]
    for step, batch in enumerate(alone):
        read = [part[step] for part in parts]
        assert sum((part.names for part in read), ()) == batch.names
        for key, array in batch.arrays.items():
            joined = np.concatenate([part.arrays[key] for part in read])
            np.testing.assert_array_equal(joined, array)


def test_each_epoch_shows_every_sample_once_in_an_order_of_its_own():
    batches = take(loader(Numbered("a", 24)).batches(), 6)
    names = [name for batch in batches for name in batch.names]
    epochs = [names[:24], names[24:48], names[48:]]
    assert all(len(set(epoch)) == 24 for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    other = take(loader(Numbered("a", 24), seed=4).batches(), 2)
    assert [n for b in other for n in b.names] not in epochs


def test_equal_datasets_are_shuffled_differently():
    batches = take(loader(Numbered("a", 24), Numbered("b", 24)).batches(), 4)
    order = collections.defaultdict(list)
    for name in itertools.chain(*(batch.names for batch in batches)):
        order[name[0]].append(name[1:])
    assert sorted(order["a"]) == sorted(order["b"]) and order["a"] != order["b"]


@pytest.mark.parametrize(
    ("weights", "shares"), [([1, 2], (4, 8)), (None, (4, 8)), ([0.75, 0.25], (9, 3))]
)
def test_weights_hold_in_every_batch(weights, shares):
    # Sizes 20 and 40: as one dataset, their shares are 1 and 2.
    mixed = loader(Numbered("a", 20), Numbered("b", 40), weights=weights)
    for batch in take(mixed.batches(), 10):
        counts = collections.Counter(name[0] for name in batch.names)
        assert (counts["a"], counts["b"]) == shares


def test_unreadable_samples_are_named_counted_and_replaced_the_same_way():
    said = []
    first = loader(Numbered("a", 30, {7, 8}), report=said.append)
    batches = take(first.batches(), 5)
    assert set(first.unreadable) == {"a/007", "a/008"}
    assert len(said) == 2
    assert "a sample 00" in said[0] and "broken data stream" in said[0]
    assert said[1].endswith("skipped (2 so far)")
    names = [name for batch in batches for name in batch.names]
    assert "a/007" not in names and len(names) == 60
    for batch in batches:
        same(batch, loader(Numbered("a", 30, {7, 8})).batch(batch.step))
    # All but the damaged ones are where they would have been.
    sound = take(loader(Numbered("a", 30)).batches(), 5)
    expected = [name for batch in sound for name in batch.names]
    moved = {e for e, n in zip(expected, names, strict=True) if e != n}
    assert moved == {"a/007", "a/008"}


def test_too_many_unreadable_samples_stop_the_run():
    few = loader(Numbered("a", 30, range(12)), unreadable_limit=4)
    # Five, or a few more that other threads met at the same moment.
    with pytest.raises(TooManyUnreadable, match=r"\d+ samples .* the limit of 4"):
        take(few.batches(), 20)
    none = loader(Numbered("a", 30, range(30)))
    with pytest.raises(TooManyUnreadable, match=r"20 samples in a row .*broken data"):
        none.batch(0)


def test_a_transform_may_refuse_a_sample():
    def picky(sample, generator):
        if sample.rgb[0, 0, 0] == 5:
            raise SampleError("its crop holds no depth")
        return transform(sample, generator)

    picking = loader(Numbered("a", 12), transform=picky)
    assert "a/005" not in picking.batch(0).names
    assert picking.unreadable == {"a/005": "its crop holds no depth"}


def test_a_fault_of_the_transform_is_not_swallowed():
    def wrong(sample, generator):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        take(loader(transform=wrong).batches(), 1)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"weights": [1.0]}, "must be 2 numbers above 0"),
        ({"weights": [1.0, 0.0]}, "must be 2 numbers above 0"),
        ({"weights": [1.0, np.nan]}, "must be 2 numbers above 0"),
        ({"process_count": 5}, "batch size 12 does not divide among 5"),
    ],
)
def test_wrong_options_are_sentences(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        loader(**options)


def test_nothing_to_read_is_a_sentence():
    with pytest.raises(DatasetError, match="no dataset was given"):
        Loader([], transform, batch_size=2, seed=0)
    with pytest.raises(DatasetError, match=r"a:/nowhere \(0 samples\): it is empty"):
        loader(Numbered("a", 0))


def test_a_mixture_has_weights_for_all_or_none(tmp_path):
    import data_layouts as layouts

    layouts.write_diode(tmp_path / "d")
    layouts.write_eth3d(tmp_path / "e")
    texts = [f"diode:{tmp_path}/d?weight=1&domain=indoors", f"eth3d:{tmp_path}/e"]
    with pytest.raises(DatasetError, match="1 of the 2 datasets have a weight"):
        open_mixture(texts)
    datasets, weights = open_mixture([texts[0], texts[1] + "?weight=.5"])
    assert weights == [1.0, 0.5] and [len(d) for d in datasets] == [2, 3]
    assert open_mixture([texts[1]])[1] is None
