"""The notebook runs top to bottom, in a folder of its own, without a network."""

import json
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOK = ROOT / "docs" / "quickstart.ipynb"


@pytest.mark.slow
def test_the_notebook_runs(tmp_path, monkeypatch, capsys):
    # Its code is plain Python, so that no kernel is needed to run it.
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    names = {}
    notebook = json.loads(NOTEBOOK.read_text())
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(cells) >= 5
    for number, cell in enumerate(cells):
        code = "".join(cell["source"])
        exec(compile(code, f"{NOTEBOOK.name}, cell {number}", "exec"), names)
    printed = capsys.readouterr().out
    assert "assumed 60 degrees" in printed
    assert names["metres"].unit == "m"
    assert (tmp_path / "coffee.glb").stat().st_size > 10_000
    # The demonstration of the gauge demonstrates it.
    one, other = names["one"].values.max(), names["other"].values.max()
    assert abs(other / one - 2) < 1e-3
