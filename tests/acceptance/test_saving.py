"""What a run says that it saved: one number on the terminal, on the page and in the results file, or none."""

from __future__ import annotations

import json
import re
from html import unescape

import pytest

#: Takes more CPU time than the isolation of a few trivial tests does, on a busy machine, too.
SLOW_START = """
import time

while time.process_time() < 3:
    pass
"""
FILES = {f"test_{name}.py": "def test_it(): pass\n" for name in "ab"}
LINE = re.compile(
    r" · (.*) s of CPU saved, because pytest and imports were loaded once, not in each of 2 workers$"
)


def claims(project, *arguments: str) -> tuple[str, str, str]:
    """What the last line, the page and the results file say; "" where one says nothing."""
    files = ("--hotreload-report=run.html", "--hotreload-json=results.json")
    ours = project.run(*arguments, *files, slots=2)
    assert ours.status == 0
    found = [LINE.search(line) for line in ours.notices if " children" in line]
    page = unescape((ours.root / "run.html").read_text())
    figure = re.search(r"<dt>saved</dt><dd>(.*?) s<", page)
    written = json.loads((ours.root / "results.json").read_text())["saved_cpu"]
    (line,) = found
    return line[1] if line else "", figure[1] if figure else "", str(written or "")


@pytest.mark.slow
def test_a_start_that_is_paid_once_is_said_to_be_saved_by_one_number(project):
    project.write({**FILES, "conftest.py": SLOW_START})
    terminal, page, results = claims(project)
    assert terminal == page == results
    assert 1.0 < float(terminal) < 4.0


@pytest.mark.slow
def test_where_isolation_costs_more_nothing_is_said(project):
    project.write({f"test_{number}.py": "def test_it(): pass\n" for number in range(150)})
    assert claims(project, "--hotreload-rewind=off") == ("", "", "")


@pytest.mark.slow
def test_the_time_of_the_tests_is_not_saved_and_not_lost(project):
    # The clock is read seldom, because reading it takes system time.
    burn = """
        import time

        def test_it():
            end = time.process_time() + 1
            while time.process_time() < end:
                sum(range(1_000_000))
    """
    project.write({"test_a.py": burn, "test_b.py": burn, "conftest.py": SLOW_START})
    terminal, _, _ = claims(project)
    assert 1.0 < float(terminal) < 4.0


@pytest.mark.slow
def test_what_a_program_did_before_it_called_pytest_is_not_saved(project):
    project.cold = True
    project.write({
        **FILES,
        "program.py": f"""
import sys, pytest
{SLOW_START}
sys.exit(pytest.main([*sys.argv[1:]]))
""",
    })  # fmt: skip
    command = project.command
    project.command = lambda args, slots: [command(args, slots)[0], "program.py", *command(args, slots)[3:]]
    assert claims(project) == ("", "", "")
