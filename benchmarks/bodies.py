"""Counts what an edit of one function's body selects in the suites of real packages, and compares it with who ran it:

python -m benchmarks.bodies                        50 edits in each suite, printed
python -m benchmarks.bodies --write click attrs    these suites, written to docs/

Which tests ran a function is found by a plugin of this module in plain pytest (``sys.monitoring``, Python 3.12), not by
the records that are measured. Nothing of the tests is run again after an edit: selected tests are listed only.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import statistics
import subprocess
import sys
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from benchmarks import report
from benchmarks.experiments import say
from benchmarks.measure import MeasurementError, environment, run
from benchmarks.suites import FOLDER, SEED

PAGE = report.ROOT / "docs" / "benchmarks-bodies.md"
PLACE = FOLDER.parent / "bodies"
#: Where pytest-testmon keeps its data: beside the suites, since some tests list the suite's folder.
TESTMON_DATA = "TESTMON_DATAFILE"
#: pytest's exit status if no test is selected.
_NO_TESTS = 5
PLAIN = ["-p", "no:hotreload", "-p", "no:testmon"]
OURS = ["-p", "no:testmon", "--hotreload", "--hotreload-slots=2"]
#: testmon selects nothing by itself where ``-m`` is given, as in click's configuration.
TESTMON = ["-p", "no:hotreload", "--testmon", "--testmon-forceselect"]
#: Name -> the options by which it selects.
CONTENDERS = {
    "--affected": [*OURS, "--affected"],
    "--affected=tests": [*OURS, "--affected=tests"],
    "pytest-testmon": [*TESTMON, "--testmon-nocollect"],
}
#: Writes which functions of a folder ran in each test, and which tests started a process; "" stands for what happened
#: outside of tests.
RAN = """
import json, os, sys
import pytest

folder, target = os.environ["RAN_FOLDER"] + os.sep, os.environ["RAN_TARGET"]
ran, test, starters = {"": set()}, [""], set()
starts = ("subprocess.Popen", "os.system", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "pty.spawn")
monitoring, tool = sys.monitoring, 4


def began(code, offset):
    if code.co_filename.startswith(folder):
        ran[test[0]].add((code.co_filename[len(folder):], code.co_qualname))


def audited(event, arguments):
    if starts is not None and event in starts:  # the interpreter's end clears this module
        starters.add(test[0])


sys.addaudithook(audited)
monitoring.use_tool_id(tool, "ran")
for event in (monitoring.events.PY_START, monitoring.events.PY_RESUME):
    monitoring.register_callback(tool, event, began)
monitoring.set_events(tool, monitoring.events.PY_START | monitoring.events.PY_RESUME)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item):
    test[0] = item.nodeid
    ran.setdefault(item.nodeid, set())
    try:
        return (yield)
    finally:
        test[0] = ""


def pytest_unconfigure():
    with open(target, "w") as file:
        json.dump([{name: sorted(functions) for name, functions in ran.items()}, sorted(starters)], file)
"""


@dataclass(frozen=True)
class Project:
    """A package whose source distribution holds its tests."""

    name: str
    version: str
    #: The folder of the package in the source distribution.
    package: str
    #: What to run, and what to leave out because it fails with the pinned pytest, or without what is not installed.
    arguments: tuple[str, ...]
    needs: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        return PLACE / f"{self.name}-{self.version}"


PROJECTS = {
    each.name: each
    for each in (
        Project("click", "8.5.1", "src/click", ("tests",)),
        Project(
            "attrs",
            "26.1.0",
            "src/attr",
            ("tests", "--deselect=tests/test_converters.py::TestPipe::test_wrapped_annotation"),
            ("hypothesis", "cloudpickle"),
        ),
        Project(
            "flask",
            "3.1.3",
            "src/flask",
            ("tests", "--deselect=tests/test_reqctx.py::test_bad_environ_raises_bad_request"),
            ("asgiref", "python-dotenv"),
        ),
        Project(
            "sqlalchemy",
            "2.1.9",
            "lib/sqlalchemy",
            (
                "-q",  # its own options say -v
                "test/base",
                "test/sql/test_operators.py",
                "test/orm/test_attributes.py",
                "test/orm/test_instrumentation.py",
            ),
        ),
    )
}


@dataclass
class Selected:
    """What one edit selects: the test files, and the tests."""

    files: set[str]
    tests: set[str]


@dataclass
class Edit:
    """An edit of one function, and what each contender selects."""

    file: str
    function: str
    #: The tests that ran the function.
    tests: set[str]
    selected: dict[str, Selected] = field(default_factory=dict)

    @property
    def files(self) -> set[str]:
        return {file_of(test) for test in self.tests}


@dataclass
class Result:
    """The edits of one suite, and how many functions there were to choose from."""

    project: Project
    files: int
    tests: int
    functions: int
    at_import: int
    edits: list[Edit]
    #: The tests that start a process.
    starters: set[str]


def file_of(test: str) -> str:
    """Return the file of a node id."""
    return test.partition("::")[0]


def prepare(project: Project, python: str) -> None:
    """Unpack the source distribution, and install it where ``python`` finds it."""
    if not project.folder.exists():
        PLACE.mkdir(parents=True, exist_ok=True)
        requirement = f"{project.name}=={project.version}"
        pip = [python, "-m", "pip"]
        run(
            [*pip, "download", "-q", "--no-deps", "--no-binary", ":all:", requirement, "-d", str(PLACE)],
            PLACE,
        )
        with tarfile.open(next(PLACE.glob(f"{project.name}-{project.version}.tar.gz"))) as archive:
            archive.extractall(PLACE, filter="data")
        run([*pip, "install", "-q", "-e", str(project.folder), *project.needs], PLACE)


def pytest_output(python: str, options: list[str], project: Project, **variables: str) -> str:
    """Run pytest in the project. Raises MeasurementError if its status is that of an error."""
    command = [python, "-m", "pytest", *options, *project.arguments]
    done = subprocess.run(
        command,
        cwd=project.folder,
        env={**environment(), TESTMON_DATA: str(PLACE / f"{project.name}.testmon"), **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, _NO_TESTS):
        raise MeasurementError(
            f"{' '.join(command)} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-2000:]}"
        )
    return done.stdout


def listed(python: str, options: list[str], project: Project) -> set[str]:
    """Return the node ids of the tests that pytest selects."""
    output = pytest_output(python, [*options, "--collect-only", "-q"], project)
    return {line for line in output.splitlines() if re.match(r"\S+\.(py|txt|rst|md)(::|$)", line)}


def who_ran(python: str, project: Project) -> tuple[dict[str, set[tuple[str, str]]], set[str]]:
    """Return the functions that each test ran, as (file, qualified name), and the tests that started a process."""
    plugin = PLACE / "ran_functions.py"
    plugin.write_text(RAN, encoding="utf-8")
    target = PLACE / f"{project.name}.json"
    variables = {
        "PYTHONPATH": str(PLACE),
        "RAN_FOLDER": str((project.folder / project.package).resolve()),
        "RAN_TARGET": str(target),
    }
    pytest_output(python, [*PLAIN, "-q", "-p", "ran_functions"], project, **variables)
    found, starters = json.loads(target.read_text(encoding="utf-8"))
    return {test: {(file, name) for file, name in functions} for test, functions in found.items()}, set(
        starters
    )


def body_of(source: str, name: str) -> ast.stmt | None:
    """Return the last statement of a function; None if it does not begin a line, or is the docstring."""
    tree: ast.AST = ast.parse(source)
    for part in name.split("."):
        found = [one for one in ast.iter_child_nodes(tree) if getattr(one, "name", "") == part]
        if len(found) != 1:
            return None
        tree = found[0]
    if not isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef):
        return None
    last = tree.body[-1]
    is_docstring = len(tree.body) == 1 and ast.get_docstring(tree, clean=False) is not None
    begins_line = source.split("\n")[last.lineno - 1][: last.col_offset].isspace()
    return last if begins_line and not is_docstring else None


def edited(source: str, name: str) -> str:
    """Return the source with one more statement in the body of a function."""
    statement = body_of(source, name)
    assert statement is not None
    lines = source.split("\n")
    lines.insert(statement.lineno - 1, f"{' ' * statement.col_offset}edited = 'by the benchmark'")
    return "\n".join(lines)


def measure(project: Project, python: str, count: int) -> Result:
    """Record the suite with each contender, edit functions in turn, and list what each selects."""
    prepare(project, python)
    ran, starters = who_ran(python, project)
    outside = ran.pop("")
    # Twice: the first run compiles what another suite of this environment has edited.
    for contender in (OURS, OURS, TESTMON):
        pytest_output(python, [*contender, "-q"], project)
    runners: dict[tuple[str, str], set[str]] = {}
    for test, functions in ran.items():
        for function in functions:
            runners.setdefault(function, set()).add(test)
    sources = {file: (project.folder / project.package / file).read_text("utf-8") for file, _ in runners}
    known = [one for one in sorted(runners) if body_of(sources[one[0]], one[1]) is not None]
    eligible = [one for one in known if one not in outside]
    say(
        f"{project.name}: {len(ran)} tests, {len(eligible)} functions, {len(known) - len(eligible)} ran before tests"
    )
    edits = []
    for file, name in Random(SEED).sample(eligible, min(count, len(eligible))):
        edit = Edit(file, name, runners[file, name])
        _try(edit, project, python, sources[file])
        told = ", ".join(f"{who} {len(one.files)}/{len(one.tests)}" for who, one in edit.selected.items())
        say(f"  {file}:{name}: ran in {len(edit.files)}/{len(edit.tests)}; {told}")
        edits.append(edit)
    files = {file_of(test) for test in ran}
    return Result(
        project, len(files), len(ran), len(eligible), len(known) - len(eligible), edits, starters - {""}
    )


def _try(edit: Edit, project: Project, python: str, source: str) -> None:
    """Make the edit, list what each contender selects, and take it back."""
    path = project.folder / project.package / edit.file
    path.write_text(edited(source, edit.function), encoding="utf-8")
    try:
        for contender, options in CONTENDERS.items():
            tests = listed(python, options, project)
            edit.selected[contender] = Selected({file_of(test) for test in tests}, tests)
    finally:
        path.write_text(source, encoding="utf-8")


HEAD = """# Edits of bodies

`python -m benchmarks.bodies --write` writes this page: do not edit.
Each edit adds a statement to the body of one function, drawn at random from the functions that tests of the suite \
run, but that do not run before the tests (while files are imported or collected).
Who ran a function is found by a tracer of the benchmark in plain pytest; the tests \
that each contender would run are listed, and none is run.

- **ran it**: the test files, and the tests, that ran the edited function
- **--affected**: `pytest --hotreload --affected`, which selects files, exactly
- **--affected=tests**: the tests that a watch runs [first](design/tests-first.md)
- **pytest-testmon**: `pytest --testmon` 2.2, which selects tests

*missed*: of what ran the function, what is not selected, summed over the edits.
*more*: what is selected and did not run it.
A test that starts a process, and its file, depend on \
[all files of the project](design/started-processes.md), so each edit selects them.
An audit hook of the benchmark finds the tests that start one; \
the last column, and *more*, leave them out where they did not run the function.

Machine: {machine}.
"""


def _row(name: str, sets: list[tuple[set[str], set[str]]], left: set[str]) -> str:
    """One contender: (what ran the function, what is selected) of each edit. ``left``: what starts processes."""
    missed = sum(len(ran - chosen) for ran, chosen in sets)
    more = [len(chosen - ran - left) for ran, chosen in sets]
    counts = [len(chosen) for _, chosen in sets]
    those = sum(len(ran) for ran, _ in sets)
    without = sum(len(chosen - (left - ran)) for ran, chosen in sets)
    return (
        f"| {name} | {statistics.median(counts):,.0f} | {statistics.mean(counts):,.1f} | {missed:,} "
        f"| {sum(more):,} | {sum(each > 0 for each in more)} | {sum(counts) / those:.2f} | {without / those:.2f} |\n"
    )


_COLUMNS = (
    "| median | mean | missed | more | edits with more | selected / ran it | without processes |\n| --- "
    + "| ---: " * 7
    + "|\n"
)


def render(results: list[Result], machine: str) -> str:
    """Return the page."""
    parts = [HEAD.format(machine=machine)]
    for result in results:
        edits, project, starters = result.edits, result.project, result.starters
        files = {file_of(test) for test in starters}
        parts.append(
            f"\n## {project.name} {project.version}\n\n"
            f"{len(edits)} edits; {result.tests:,} tests in {result.files} files; {result.functions:,} functions to "
            f"choose from, and {result.at_import} that also run before the tests.\n"
            f"{len(starters)} tests in {len(files)} files start processes.\n"
        )
        parts += [
            "\n| test files ",
            _COLUMNS,
            _row("ran it", [(edit.files, edit.files) for edit in edits], set()),
        ]
        for name, left in (("--affected", files), ("pytest-testmon", set[str]())):
            parts.append(_row(name, [(edit.files, edit.selected[name].files) for edit in edits], left))
        parts += ["\n| tests ", _COLUMNS, _row("ran it", [(edit.tests, edit.tests) for edit in edits], set())]
        for name, left in (("--affected=tests", starters), ("pytest-testmon", set[str]())):
            parts.append(_row(name, [(edit.tests, edit.selected[name].tests) for edit in edits], left))
    return "".join(parts)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bodies", description="Count what edits of bodies select."
    )
    parser.add_argument("suites", nargs="*", help=f"of {', '.join(PROJECTS)} (default: all)")
    parser.add_argument("--edits", type=int, default=50, help="edits in each suite (default: 50)")
    parser.add_argument(
        "--python", default=sys.executable, help="the Python that runs the tests, 3.12 or later"
    )
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}, too")
    options = parser.parse_args(arguments)
    unknown = set(options.suites) - set(PROJECTS)
    if unknown:
        parser.error(f"no such suite: {', '.join(sorted(unknown))}; hint: one of {', '.join(PROJECTS)}")
    try:
        chosen = [PROJECTS[name] for name in options.suites or PROJECTS]
        results = [measure(project, options.python, options.edits) for project in chosen]
    except MeasurementError as error:
        say(f"error: {error}")
        return 1
    page = render(results, report.machine(options.python))
    print(page)
    if options.write:
        PAGE.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
