"""The results of an evaluation: summary, table, JSON, CSV."""

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any

from jax_depth.evaluation.benchmark import Benchmark, Judgement, worst


def summarise(
    benchmark: Benchmark, lines: Mapping[int, dict[str, Any]], count: int = 10
) -> dict[str, Any]:
    """Return what is reported of an evaluation, ready for JSON.

    Args:
        benchmark: that was run.
        lines: of `Records.judged`.
        count: of the worst pictures to name.

    Returns:
        "complete", "images" judged, "published" number, "missing" number not done,
        "skipped" with names and reasons, "doubtful" with names and notes, "means"
        (empty without images), "worst" names and numbers.
    """
    good = judged(lines)
    skipped = [line for line in lines.values() if "skipped" in line]
    return {
        "complete": len(lines) == len(benchmark.names),
        "images": len(good),
        "published": benchmark.published,
        "missing": len(benchmark.names) - len(lines),
        "skipped": [
            {"name": line["name"], "reason": line["skipped"]} for line in skipped
        ],
        "doubtful": [
            {"name": lines[i]["name"], "notes": judgement["notes"]}
            for i, judgement in good.items()
            if judgement["notes"]
        ],
        "means": benchmark.means(list(good.values())) if good else {},
        "worst": [
            {"name": lines[i]["name"], "index": i, "metrics": good[i]["metrics"]}
            for i in worst(benchmark, good, count)
        ],
    }


def judged(lines: Mapping[int, dict[str, Any]]) -> dict[int, Judgement]:
    """Return the lines of pictures that were not skipped."""
    return {i: line for i, line in lines.items() if "skipped" not in line}


def to_csv(lines: Mapping[int, dict[str, Any]]) -> str:
    """Return a row per picture: number, name, metrics, notes, why it was skipped."""
    return csv_text(_row(line) for line in lines.values())


def csv_text(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return rows as CSV; columns are all names there are, in the order they appear.

    Texts that a spreadsheet would run as a formula get an apostrophe in front.
    """
    rows = list(rows)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: _cell(v) for k, v in row.items()} for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    """Return a value that no spreadsheet takes for a formula."""
    formula = isinstance(value, str) and value.startswith(
        ("=", "+", "-", "@", "\t", "\r")
    )
    return f"'{value}" if formula else value


def to_table(summary: Mapping[str, Any]) -> str:
    """Return the means for a terminal, with what was left out."""
    means = summary["means"]
    lines = [f"{name:15} {value:10.4f}" for name, value in means.items()]
    of = summary["images"] + len(summary["skipped"]) + summary["missing"]
    lines.append(f"{summary['images']} of {of} images judged")
    if summary["published"] not in (None, of):
        lines.append(
            f"the published benchmark has {summary['published']} images, so these "
            "numbers are not comparable with it"
        )
    if summary["missing"]:
        lines.append(f"{summary['missing']} not done yet")
    for what, key in (("skipped", "reason"), ("doubtful", "notes")):
        for entry in summary[what]:
            reason = entry[key]
            reason = reason if isinstance(reason, str) else "; ".join(reason)
            lines.append(f"{what}: {entry['name']}: {reason}")
    return "\n".join(lines)


def _row(line: Mapping[str, Any]) -> dict[str, Any]:
    row = {"index": line["index"], "name": line["name"], **line.get("metrics", {})}
    rest = {k: v for k, v in line.items() if k not in (*row, "metrics", "notes")}
    return {**row, **rest, "notes": "; ".join(line.get("notes", []))}
