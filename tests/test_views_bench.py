"""Many views of one place: memory grows with them, and with the logits of attention."""

import argparse

import pytest
from benchmarks.views import memory

ARGUMENTS = argparse.Namespace(model="depth-anything-3-small", size=(56, 84))
HEADS = 4


@pytest.mark.long
def test_memory_is_linear_in_views_but_for_attention():
    few, many = (memory(count, ARGUMENTS) for count in (8, 32))
    logits = HEADS * (many["logits_of_a_head_mib"] - 4 * few["logits_of_a_head_mib"])
    assert few["xla_mib"] < many["xla_mib"] <= 4 * few["xla_mib"] + max(logits, 0)
