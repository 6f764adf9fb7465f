"""The Python of docs/training.md, run from top to bottom."""

import re
from pathlib import Path

import numpy as np
import pytest
from training_run import one_device

from jax_depth.training import mesh as meshes

PAGE = Path(__file__).parent.parent / "docs" / "training.md"

pytestmark = pytest.mark.usefixtures("cheap_programs")


@pytest.mark.slow
def test_the_pages_python_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(meshes, "make_mesh", one_device)
    found = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
    assert len(found) == 3
    names: dict = {"__name__": "page"}
    for code in found:
        exec(code, names)
    assert names["history"].steps == 40
    # Its loss is in the log by its name, and it fell.
    values = [float(v) for v in names["history"].values("labelled/berhu").values()]
    assert len(values) == 4 and values[-1] < values[0]
    assert np.isfinite(float(names["metrics"]["loss"]))
    assert set(names["params"]) == {"encoder", "head"}
