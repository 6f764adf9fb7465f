"""`docs/performance.md`: a suite measured piece by piece and written as one page.

Results are kept in a JSON file beside the page, so that a suite continues where it
stopped, and the page can be written again without measuring.
"""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from benchmarks import ceilings, machine, paper
from benchmarks.catalog import BOUNDS, CONTENDERS
from benchmarks.plan import Plan
from benchmarks.process import WorkerError
from benchmarks.results import Table
from benchmarks.session import Say
from benchmarks.suite import SUITES
from benchmarks.table import markdown

CEILINGS = "ceilings"
PAPER = "accelerators"

_HEAD = """\
# Performance

This page is written by `python scripts/benchmarks rivals --report`; every figure was
measured by the command above its table. The figures of one table were measured in turns
in one session and can be compared with each other, but not with those of other tables
or machines. For GPUs, and for how fast a host can feed one, see
[accelerators.md](accelerators.md).

## How to read the tables

- Each contender runs in its own process, with the same random weights and pixels. After
  one untimed round they take turns: A B C, A B C.
- **ratio**: a contender's time divided by the first row's time in the same round, as
  the median over rounds. Below 1 means faster than the first row.
- **CPU ratio**: the same for the processor time of all threads, which is what a call
  costs whatever else the machine is doing. A large difference from the ratio means that
  other programs were running or that threads were waiting.
- **peak**: the most resident memory the process ever had, including the interpreter,
  libraries and weights.
- **first call** includes compilation for libraries that compile at that point; **start
  to result** counts from the start of the process and is fair to all.
- **error**: the largest difference from the first row's output, in standard deviations
  of that output. {bounds} A contender that exceeds its bound computes something else;
  it is listed but not timed. In tables of whole jobs the libraries enlarge maps to the
  photo's size in different ways, so there the error is only for information, and maps
  must correlate to 0.99.
- **x limit**: how many times longer a call took than its products and convolutions
  would at the fastest rate that any installed library reached on this machine in the
  same precision (below). It ignores everything that is not a product, so nobody reaches
  1.
- A training step consists of forward pass, backward pass, clipping, AdamW and a moving
  average of the weights; the loss is the mean difference from given disparities. Its
  error is that of the first loss.
"""


def load(path: Path) -> dict[str, Any]:
    """Return what was measured so far, or {} if there is no file.

    Raises:
        ValueError: the file holds something else.
    """
    if not path.exists():
        return {}
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        for piece in document["tables"].values():
            Table.from_json(piece)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(
            f"'{path}' does not hold results of this command; move it away or "
            "choose another --report"
        ) from None
    return document


def run(
    page: Path,
    suite: Mapping[str, Plan],
    pieces: Collection[str] | None,
    again: bool,
    folder: Path,
    say: Say,
) -> int:
    """Measure the missing pieces of a suite, and write the page after each.

    Args:
        page: the Markdown file; results are kept beside it with suffix .json.
        suite: pieces by name, in order.
        pieces: which of them, and "ceilings" and "accelerators"; None for all, () to
            measure nothing and only write the page.
        again: measure pieces again that have been measured.
        folder: where weights are kept between pieces.
        say: called with lines of progress.

    Returns:
        The number of pieces that failed altogether, each reported through `say`.

    Raises:
        ValueError: an unknown piece, or a file that holds no results.
    """
    every = [CEILINGS, PAPER, *suite]
    wanted = every if pieces is None else list(pieces)
    for name in wanted:
        if name not in every:
            known = ", ".join(every)
            raise ValueError(f"there is no piece {name!r}; known: {known}")
    store = page.with_suffix(".json")
    document = {CEILINGS: None, PAPER: None, "tables": {}} | load(store)
    # Suites share a page, in this order, whichever was measured last.
    order = [name for pieces in (*SUITES.values(), suite) for name in pieces]
    order = list(dict.fromkeys(order))
    failures = 0
    for name in wanted:
        place = document if name in (CEILINGS, PAPER) else document["tables"]
        known = place.get(name)
        if known and not again:
            say(f"{name}: measured before")
            continue
        say(f"{name}: begins")
        try:
            if name == CEILINGS:
                place[name] = ceilings.measure(say) | {"machine": machine.describe()}
            elif name == PAPER:
                place[name] = paper.compute()
            else:
                place[name] = suite[name].run(say, folder).to_json()
        except WorkerError as error:
            say(f"{name}: failed: {error}")
            failures += 1
            continue
        _write(store, json.dumps(document, indent=1) + "\n")
        _write(page, render(document, order))
    _write(page, render(document, order))
    return failures


def render(document: Mapping[str, Any], order: list[str]) -> str:
    """Return the page, tables in `order` and then any others."""
    limits = dict(document["ceilings"] or {})
    limits.pop("machine", None)
    named = {name: Table.from_json(x) for name, x in document["tables"].items()}
    names = [name for name in order if name in named]
    names += [name for name in named if name not in names]
    bounds = ", ".join(f"{bound:g} in {name}" for name, bound in BOUNDS.items())
    parts = [_HEAD.format(bounds=f"It may be {bounds}.")]
    parts.append(_machines([named[name] for name in names]))
    parts.append(_limits(limits))
    for name in names:
        table = named[name]
        parts.append(f"## {table.title}\n")
        parts.append(f"`{table.command}`, {table.date}{_company(table)}\n")
        parts.append(markdown(table, limits))
    parts.append(_legend([named[name] for name in names]))
    if computed := document.get(PAPER):
        parts.append(paper.markdown(computed))
    return "\n".join(parts)


def _company(table: Table) -> str:
    """Say how much of the machine other programs were using."""
    if table.others is None:
        return ""
    return f"; other programs had {table.others:.0%} of the processors"


def _machines(tables: list[Table]) -> str:
    """Describe each machine and each set of versions once."""
    lines = ["## Machine and versions\n"]
    seen = []
    for table in tables:
        both = (table.machine, table.versions)
        if both in seen:
            continue
        seen.append(both)
        m = table.machine
        features = ", ".join(m["features"]) or "no known vector extension"
        versions = ", ".join(f"{k} {v}" for k, v in table.versions.items())
        where = f" ({table.title})" if len(seen) > 1 else ""
        lines.append(
            f"- {m['cpu']}, {m['cores']} cores ({features}), {m['memory_gib']} GiB, "
            f"{m['system']}, Python {m['python']}{where}; {versions}"
        )
    return "\n".join(lines) + "\n"


def _limits(limits: Mapping[str, float]) -> str:
    if not limits:
        return ""
    lines = ["## Limits of the machine, measured\n"]
    for name in ("f32", "bf16"):
        if name in limits:
            lines.append(f"- products in {name}: {limits[name] / 1e9:.0f} GFLOP/s")
    if "bandwidth" in limits:
        lines.append(f"- copying memory: {limits['bandwidth'] / 1e9:.0f} GB/s")
    return "\n".join(lines) + "\n"


def _legend(tables: list[Table]) -> str:
    shown = {row.name for table in tables for row in table.rows}
    lines = ["## Contenders\n"]
    for rows in CONTENDERS.values():
        lines += [f"- {n}: {c.about}" for n, c in rows.items() if n in shown]
    if any(name.startswith("jax-predict") for name in shown):
        lines += [
            "- jax-predict: `jax-depth predict` with programs compiled by an earlier "
            "run, -cold without any",
            "- transformers-pipeline: the depth-estimation pipeline in a loop, each "
            "raw map saved; malloc keeps memory on both sides",
        ]
    return "\n".join(lines) + "\n"


def _write(path: Path, text: str) -> None:
    """Write the whole file, or leave it as it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
