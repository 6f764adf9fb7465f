"""Measure this library against others, and on accelerators.

    python scripts/benchmarks rivals --model tiny --rounds 3
    python scripts/benchmarks accelerator --out results --budget 560
    python scripts/benchmarks compiled-for --models small

Every subject is a module beside this file with `main(arguments)`; `--help` after its
name says more.
"""

import importlib
import sys
from pathlib import Path

# Subject -> what it does.
SUBJECTS = {
    "rivals": "time and memory beside every alternative: docs/performance.md",
    "accelerator": "correctness, speed and profile on an accelerator, in one call",
    "feed": "how fast the host can supply photos and training samples",
    "views": "many views of one place: memory, chips, and beside the authors' code",
    "compiled-for": "batches that fit accelerators not at hand: docs/compiled-for.md",
}


def main(words: list[str]) -> int:
    if not words or words[0] not in SUBJECTS:
        print(__doc__)
        for name, summary in SUBJECTS.items():
            print(f"    {name:14} {summary}")
        return 0 if words[:1] in ([], ["-h"], ["--help"]) else 2
    # Run as a folder, so that the package itself has to be made importable.
    sys.path.insert(0, str(Path(__file__).parent.parent))
    sys.argv[0] = f"benchmarks {words[0]}"
    subject = importlib.import_module(f"benchmarks.{words[0].replace('-', '_')}")
    return subject.main(words[1:]) or 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
