"""The command ``pytest-hotreload``: what is asked about a suite outside a run of it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from . import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit status: 0 fine, 1 something found, 2 usage."""
    parser = argparse.ArgumentParser(prog="pytest-hotreload", description=__doc__)
    parser.add_argument("--version", action="version", version=f"pytest-hotreload {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    doctor = commands.add_parser(
        "doctor",
        help="run every file alone, once, and list the tests that lean on another file",
        description="Runs the selected tests in company and then each file alone (strict). Lists the tests that "
        "differ, with the module that they lean on. Arguments of pytest follow: pytest-hotreload doctor tests/ -k x",
    )
    doctor.set_defaults(run=_doctor)
    chosen, rest = parser.parse_known_args(arguments)
    return int(chosen.run(rest))


def _doctor(arguments: list[str]) -> int:
    from .doctor import examine

    return examine(arguments)


if __name__ == "__main__":
    sys.exit(main())
