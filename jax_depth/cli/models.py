"""`jax-depth models`: what loads by name."""

import argparse
from typing import TYPE_CHECKING, Any

from jax_depth.cli.summary import add_json_argument, conclude

if TYPE_CHECKING:
    from jax_depth.catalog import Entry


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Print one line per model of the catalogue."""
    from jax_depth.catalog import MODELS
    from jax_depth.weights import is_cached

    rows = [_row(entry, is_cached(name)) for name, entry in MODELS.items()]
    conclude(args, rows, _table(rows))
    return 0


def _row(entry: "Entry", cached: bool) -> dict[str, Any]:
    return {
        "name": entry.config.name,
        "parameters": entry.parameters,
        "kind": entry.config.kind,
        "max_depth": entry.config.max_depth,
        "licence": entry.licence,
        "weights": _weights(entry, cached),
    }


def _weights(entry: "Entry", cached: bool) -> str:
    if entry.bundled:
        return "bundled"
    if cached:
        return "cached"
    return "to download" if entry.repository else "from a file"


def _table(rows: list[dict[str, Any]]) -> str:
    lines = [("NAME", "MILLIONS", "KIND", "LICENCE", "WEIGHTS")]
    for row in rows:
        reach = f" up to {row['max_depth']:g} m" if row["max_depth"] else ""
        lines.append(
            (
                row["name"],
                f"{row['parameters'] / 1e6:.1f}",
                row["kind"] + reach,
                row["licence"],
                row["weights"],
            )
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column == 1 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
