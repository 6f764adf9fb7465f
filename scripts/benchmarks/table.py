"""Tables as Markdown."""

from collections.abc import Mapping, Sequence

from benchmarks.results import Row, Table

_HEADINGS = {
    "forward": (
        "contender",
        "median ms",
        "min - max",
        "ratio",
        "CPU ratio",
        "img/s",
        "peak MiB",
        "first call s",
        "start to result s",
        "error",
        "x limit",
    ),
    "job": (
        "contender",
        "median s",
        "min - max",
        "ratio",
        "CPU ratio",
        "img/s",
        "peak MiB",
        "error",
    ),
}


def markdown(table: Table, ceilings: Mapping[str, float]) -> str:
    """Return a table and, below it, why any contender has no figures.

    Args:
        table: what was measured.
        ceilings: of the machine, see `ceilings.measure`; empty if not measured.
    """
    timed = table.timed
    parts = []
    if timed:
        headings = _HEADINGS[table.columns]
        rows = [_cells(row, timed[0], ceilings, table.columns) for row in timed]
        parts.append(grid(headings, rows))
    for row in table.rows:
        if row.problem is not None:
            parts.append(f"- not timed: {row.name}: {row.problem}")
    if found := hints(timed):
        parts += ["", *(f"Hint: {hint}." for hint in found)]
    return "\n".join(parts) + "\n"


def hints(timed: Sequence[Row]) -> list[str]:
    """Return what a user of this library would gain from another engine."""
    found = []
    for precision in ("f32", "bf16"):
        ours = [
            row
            for row in timed
            if row.name.startswith(f"jax-{precision}") and row.precision == precision
        ]
        engine = [row for row in timed if row.name == f"jax-openvino-{precision}"]
        if not ours or not engine:
            continue
        best = min(ours, key=lambda row: row.median)
        gain = best.median / engine[0].median
        if gain > 1.1:
            found.append(
                f'`engine="openvino"` is {gain:.1f} times as fast as {best.name} here'
            )
    return found


def _cells(row: Row, first: Row, ceilings: Mapping[str, float], columns: str):
    scale, digits = (1e3, 0) if columns == "forward" else (1.0, 2)
    if scale * row.median < 10:
        digits = 2
    low, high = scale * min(row.seconds), scale * max(row.seconds)
    cells = [
        row.name,
        f"{scale * row.median:.{digits}f}",
        "one round"
        if len(row.seconds) == 1
        else f"{low:.{digits}f} - {high:.{digits}f}",
        f"{row.ratio(first):.2f}",
        _optional(row.cpu_ratio(first), ".2f"),
        f"{row.pictures / row.median:.2f}",
        _optional(row.peak_bytes and row.peak_bytes / 2**20, ".0f"),
    ]
    if columns == "forward":
        cells += [_optional(row.first_call, ".2f"), _optional(row.ready, ".1f")]
    cells.append("reference" if row is first else _optional(row.error, ".1e"))
    if columns == "forward":
        cells.append(_optional(row.distance(ceilings), ".1f"))
    return cells


def _optional(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def grid(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table: text in the first column, figures in the others."""
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    lines = [_line(headings, widths)]
    # Names on the left, figures on the right.
    rule = ["-" * widths[0], *(f"{'-' * (width - 1)}:" for width in widths[1:])]
    lines.append("| " + " | ".join(rule) + " |")
    return "\n".join(lines + [_line(row, widths) for row in rows])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [
        cell.rjust(width) if i else cell.ljust(width)
        for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "| " + " | ".join(padded) + " |"
