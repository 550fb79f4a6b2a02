"""Compares what a run says that it saved with what it did save, and writes docs/benchmarks-saved.md:

python -m benchmarks.saved --write              four suites, two and four slots
python -m benchmarks.saved heavy --slots 8      only printed

For each suite, xdist (`-nN --dist loadfile`, separately started workers) and hotreload take turns. The measured
saving is the difference of their CPU time; the claim is `saved_cpu` in the results file, which the last line and
the report page show, too.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks import report
from benchmarks.contenders import Contender, hotreload, xdist
from benchmarks.measure import adopt_orphans
from benchmarks.suites import SUITES

PAGE = report.ROOT / "docs" / "benchmarks-saved.md"
HEAD = """# Is the saving true?

`python -m benchmarks.saved --write` writes this page: do not edit.
Each run says how much CPU time it saved compared with separately started workers ([definition](report.md#savings)).
Here `pytest -nN --dist=loadfile` of pytest-xdist and `pytest --hotreload --hotreload-slots=N` took turns.
The figures are medians of {rounds} rounds after one that warmed bytecode and disk.
The measured saving is the CPU time of xdist's run minus the CPU time of ours, and the claim must not be larger.

Machine: {machine}.

| suite | N | xdist, CPU s | hotreload, CPU s | measured saving, s | claimed saving, s |
| --- | ---: | ---: | ---: | ---: | ---: |
"""


class Row(NamedTuple):
    """One suite."""

    suite: str
    slots: int
    theirs: float
    ours: float
    claimed: float

    def shown(self) -> str:
        saved = self.theirs - self.ours
        figures = f"{self.theirs:.2f} | {self.ours:.2f} | {saved:.2f} | {self.claimed:.1f}"
        return f"| {self.suite} | {self.slots} | {figures} |"


def measure(name: str, slots: int, rounds: int) -> Row:
    folder, theirs, ours, claims = SUITES[name].generate(), [], [], []
    with tempfile.TemporaryDirectory() as temporary:
        results = Path(temporary, "results.json")
        plain = hotreload(slots)
        telling = Contender(plain.name, (*plain.options, f"--hotreload-json={results}"))
        for number in range(rounds + 1):
            their_cost, _ = xdist(slots).run(sys.executable, folder, [])
            our_cost, _ = telling.run(sys.executable, folder, [])
            if number:
                theirs.append(their_cost.cpu)
                ours.append(our_cost.cpu)
                claims.append(json.loads(results.read_text())["saved_cpu"])
    return Row(name, slots, median(theirs), median(ours), median(claims))


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.saved", description="Check the claimed saving."
    )
    parser.add_argument("suites", nargs="*", metavar="suite", help=f"of {', '.join(SUITES)}; default: all")
    parser.add_argument("--slots", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks-saved.md")
    chosen = parser.parse_args(arguments)
    adopt_orphans()
    rows = []
    for name in chosen.suites or SUITES:
        for slots in chosen.slots:
            rows.append(measure(name, slots, chosen.rounds))
            print(rows[-1].shown(), flush=True)
    if chosen.write:
        head = HEAD.format(rounds=chosen.rounds, machine=report.machine(sys.executable))
        PAGE.write_text(head + "\n".join(row.shown() for row in rows) + "\n")
    return int(any(row.claimed > row.theirs - row.ours for row in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
