"""Photos with estimated distances: what is committed, and what comes of it."""

import json

import numpy as np
import pytest
from project_scripts import SCRIPTS, load_script


def test_annotated_pictures_are_whole():
    entries = json.loads((SCRIPTS / "tiny/annotated.json").read_text())
    names = [entry["name"] for entry in entries]
    assert len(set(names)) == len(names) > 200
    assert {"train", "heldout"} == {
        "heldout" if entry.get("held_out") else "train" for entry in entries
    }
    for entry in entries:
        x, y, distance = zip(*entry["points"], strict=True)
        width, height = entry["size"]
        assert 0 <= min(x) <= max(x) < width and 0 <= min(y) <= max(y) < height
        known = [d for d in distance if d is not None]
        assert len(distance) == 48 and len(known) > 4 and min(known) > 0


def test_points_become_sparse_inverse_depth():
    sparse = load_script("tiny/photos").sparse
    points = [[10, 10, 1.0], [30, 10, 2.0], [10, 30, 4.0], [30, 30, None]]
    values = sparse({"size": [40, 48], "points": points})
    assert values.shape == (48, 40)
    assert np.isfinite(values).sum() == 4 * 21  # discs of radius 2.5
    found = [values[y, x] for x, y, _ in points]
    np.testing.assert_allclose(found, [2, 1, 0.5, 0])


def test_a_panorama_is_seen_straight_ahead():
    view = load_script("tiny/photos").view
    rgb = np.zeros((90, 180, 3))
    rgb[:, 85:95] = 1  # ten degrees around 180, which is `yaw` 180
    entry = {"size": [64, 48], "yaw": 180, "pitch": 0, "view": 60}
    row = np.asarray(view(rgb, entry))[24, :, 0] > 127
    assert row[30:34].all() and not row[:20].any() and not row[44:].any()
    turned = np.asarray(view(rgb, entry | {"yaw": 170}))[24, :, 0] > 127
    assert np.flatnonzero(turned).mean() > 38  # what stood ahead is at the right


def test_a_panorama_is_seen_from_below_and_above():
    view = load_script("tiny/photos").view
    rgb = np.zeros((90, 180, 3))
    rgb[:45] = 1  # above the horizon
    entry = {"size": [64, 48], "yaw": 0, "view": 60}
    shares = [
        (np.asarray(view(rgb, entry | {"pitch": pitch})) > 127).mean()
        for pitch in (-15, 0, 15)
    ]
    # The horizon moves by tan(15 degrees) focal lengths, which is 14.9 of 48 rows.
    np.testing.assert_allclose(shares, [0.19, 0.5, 0.81], atol=0.02)


def test_a_map_is_judged_at_the_points():
    at_points = load_script("tiny/evaluate").at_points
    judged = json.loads((SCRIPTS / "tiny/judged.json").read_text())
    assert len(judged) == 16
    for points in judged.values():
        assert all(0 < x < 1 and 0 < y < 1 for x, y, _ in points)
    depth = np.linspace(1, 9, 30 * 40).reshape(30, 40)
    points = [
        [x, y, depth[int(y * 30), int(x * 40)]] for x in (0.2, 0.7) for y in (0.1, 0.9)
    ]
    assert at_points(1 / depth, points) == pytest.approx(1)
    assert at_points(depth, points) == pytest.approx(-1)
