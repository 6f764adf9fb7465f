"""What a batch prints: the progress bar, one line per failure, the summary."""

import contextlib
import dataclasses
import json
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jax_depth.cli.photos import Problem
from jax_depth.cli.summary import say
from jax_depth.formats.printable import printable


@dataclasses.dataclass
class BatchReport:
    """Counts of a batch.

    Failures go to stderr as they happen, above the progress bar; the summary goes to
    stdout.

    Attributes:
        outdir: where results go.
        total: how many inputs there are.
        quiet: print failures only.
        as_json: print the summary as JSON, with the names of all inputs.
    """

    outdir: Path
    total: int
    quiet: bool = False
    as_json: bool = False
    written: list[str] = dataclasses.field(default_factory=list)
    existing: list[str] = dataclasses.field(default_factory=list)
    failures: list[Problem] = dataclasses.field(default_factory=list)
    start: float = dataclasses.field(default_factory=time.perf_counter)
    _bar: Any = None

    @contextlib.contextmanager
    def progress(self) -> Iterator[None]:
        """Show the bar, on a terminal, while the body runs."""
        from tqdm import tqdm

        disable = True if self.quiet else None  # None: unless stderr is a terminal
        with tqdm(total=self.total, unit="photo", disable=disable) as self._bar:
            yield

    def done(self, photo: Path) -> None:
        """Count a photo whose results are all written."""
        self.written.append(str(photo))
        self._bar.update()

    def skipped(self, photo: Path) -> None:
        """Count a photo whose results were there already."""
        self.existing.append(str(photo))
        self._bar.update()

    def failed(self, problem: Problem) -> None:
        """Count and print a failure."""
        self.failures.append(problem)
        self.say(problem.sentence)
        self._bar.update()

    def say(self, sentence: str) -> None:
        """Print a line on stderr, above the bar."""
        self._bar.write(printable(f"jax-depth: {sentence}"), file=sys.stderr)

    def summarise(self, details: Mapping[str, Any] | None = None) -> None:
        """Print the summary, as JSON with `details` in it."""
        seconds = time.perf_counter() - self.start
        if self.as_json:
            say(json.dumps(self._document(seconds) | dict(details or {}), indent=2))
        elif not self.quiet:
            say(printable(self._line(seconds)))

    def _document(self, seconds: float) -> dict[str, Any]:
        return {
            "outdir": str(self.outdir),
            "inputs": self.total,
            "written": self.written,
            "existing": self.existing,
            "failed": [dataclasses.asdict(problem) for problem in self.failures],
            "seconds": round(seconds, 3),
        }

    def _line(self, seconds: float) -> str:
        parts = [f"{len(self.written)} written to {self.outdir}"]
        left = self.total - len(self.written) - len(self.existing) - len(self.failures)
        for count, what in (
            (len(self.existing), "there already"),
            (len(self.failures), "failed"),
            (left, "not done"),
        ):
            if count:
                parts.append(f"{count} {what}")
        noun = "input" if self.total == 1 else "inputs"
        return f"{self.total} {noun}: {', '.join(parts)}; {seconds:.1f} s"
