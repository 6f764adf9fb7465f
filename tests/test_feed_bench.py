"""`python scripts/benchmarks feed`: a host beside a network that only sleeps."""

from benchmarks import feed


def test_a_slow_network_is_the_limit_and_threads_hide_the_host(capsys):
    words = "--photo 64x48 --milliseconds 0,20 --threads 1,2 --size 28 --photos 6"
    feed.main(words.split())
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + 4
    rates = [float(line.split("|")[4]) for line in lines[2:]]
    # 20 ms of sleep a photo are 50 photos a second at most.
    assert all(rate <= 50 for rate in rates[2:]) and min(rates) > 0


def test_what_is_measured_is_the_estimators_own_stream():
    import numpy as np

    estimator = feed.sleeping(0.0, 28)
    photo = np.zeros((48, 64, 3), np.uint8)
    ((_, depth),) = estimator.stream([photo])
    assert depth.values.shape == (48, 64)


def test_a_row_is_read_and_augmented_as_the_recipe_says(capsys):
    feed.main("--rows smoke --photo 64x48 --photos 3".split())
    name, photo, read, rest = capsys.readouterr().out.splitlines()[2].split("|")[1:5]
    assert (name.strip(), photo.strip()) == ("smoke", "64 x 48")
    assert float(read) > 0 and float(rest) > 0
