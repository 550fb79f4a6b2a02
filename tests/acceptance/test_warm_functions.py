"""Warm functions: called once before the first fork, tried in a fork, and never a reason for a run to fail."""

from __future__ import annotations

import json

import pytest

from pytest_hotreload._native import RecordStore

#: More files than two for each of two slots.
NAMES = "abcde"
#: Each test file uses the cache and reports the process that filled it.
FILES = {
    f"test_{name}.py": f"""
import os
import caches

def test_it():
    with open("log.txt", "a") as file:
        file.write(f"{name} {{caches.filled_by()}} {{os.getpid()}}\\n")
"""
    for name in NAMES
}
CACHES = """
import functools, os

@functools.cache
def filled_by():
    return os.getpid()
"""
PROJECT = {
    **FILES,
    "caches.py": CACHES,
    "pytest.ini": "[pytest]\npythonpath = .\nhotreload_warm = caches:filled_by\n",
}


def filled_by(result) -> dict[str, tuple[str, str]]:
    """File -> (the process that filled the cache, the process of the test)."""
    lines = [line.split() for line in (result.root / "log.txt").read_text().splitlines()]
    return {name: (filler, process) for name, filler, process in lines}


def were_filled_here(result) -> bool:
    """Whether one process filled the cache for all tests, and ran none of them."""
    found = filled_by(result).values()
    return len({filler for filler, _ in found}) == 1 and all(filler != process for filler, process in found)


def of_warming(result) -> list[str]:
    lines = (line for line in result.notices if "environment changed" not in line)
    return [line for line in lines if "warm" in line or "first fork" in line]


def test_a_named_function_fills_the_cache_of_all_children(project, slots):
    project.write(PROJECT)
    _, ours = project.same(slots=slots)
    assert were_filled_here(ours)
    assert len(filled_by(ours)) == len(NAMES)
    assert not of_warming(ours)


def test_verbose_names_what_was_called(project):
    project.write(PROJECT)
    (line,) = of_warming(project.run("-v", slots=1))
    assert line.startswith("hotreload: called before the first fork: caches:filled_by (")


@pytest.mark.parametrize("arguments", [["test_a.py", "test_b.py"], ["--hotreload-isolate=strict"]])
def test_it_is_not_called_for_few_files_or_where_nothing_is_forked(project, arguments):
    project.write(PROJECT)
    ours = project.run(*arguments, slots=1)
    assert ours.status == 0
    assert all(filler == process for filler, process in filled_by(ours).values())


def test_marked_functions_of_the_conftests_of_the_files_that_run(project):
    project.write({
        **FILES,
        "caches.py": CACHES,
        "pytest.ini": "[pytest]\npythonpath = .\n",
        "conftest.py": """
import caches, pytest_hotreload

@pytest_hotreload.warm
def fill():
    print("not shown")
    caches.filled_by()
""",
        "unused/conftest.py": "import pytest_hotreload\n@pytest_hotreload.warm\ndef fill(): 1 / 0\n",
        "unused/test_x.py": "def test_x(): pass\n",
    })  # fmt: skip
    arguments = [f"test_{name}.py" for name in NAMES]
    _, ours = project.same("-v", *arguments, slots=1)
    assert were_filled_here(ours)
    (line,) = of_warming(ours)
    assert line.startswith("hotreload: called before the first fork: conftest.py:fill (")
    (line,) = of_warming(project.run(slots=1))
    assert line == (
        "hotreload: warm: unused/conftest.py:fill raised ZeroDivisionError: division by zero; "
        "the run goes on without it"
    )


FAILURES = {
    "def fill(): raise ValueError('no\\n  database')": "raised ValueError: no database",
    "def fill(argument): pass": "raised TypeError: fill() missing 1 required positional argument: 'argument'",
    "async def fill(): pass": "raised TypeError: a warm function must be an ordinary function",
    "import sys\ndef fill(): sys.exit(3)": "raised SystemExit: 3",
    "import os\ndef fill(): os.kill(os.getpid(), 9)": "ended its process",
    "import threading\ndef fill(): threading.Timer(60, print).start()": "started the thread Thread-1",
    "import socket\nkept = []\ndef fill(): kept.append(socket.socket())": "holds 1 open socket",
}


@pytest.mark.parametrize("source", FAILURES)
def test_a_failure_is_one_line_and_leaves_nothing_behind(project, source):
    project.write({
        **PROJECT,
        "caches.py": f"{CACHES}\nstate = []\n",
        "filling.py": f"{source}\nimport caches\ninner = fill\ndef outer(*args):\n    caches.state.append(1)\n"
        "    return inner(*args)\n",
        "pytest.ini": "[pytest]\npythonpath = .\nhotreload_warm = filling:outer\n",
        "test_state.py": "import caches\ndef test_state(): assert caches.state == []\n",
    })  # fmt: skip
    _, ours = project.same(slots=2)
    assert ours.status == 0
    (line,) = of_warming(ours)
    assert line.startswith(f"hotreload: hotreload_warm: filling:outer {FAILURES[source]}")
    assert line.endswith("; the run goes on without it")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("caches", "hotreload_warm names 'caches', which is not MODULE:FUNCTION; hint: for example"),
        ("caches:", "hotreload_warm names 'caches:', which is not MODULE:FUNCTION; hint: for example"),
        ("nowhere.at:all", "hotreload_warm names 'nowhere.at:all', but there is no module nowhere; hint: correct"),
        ("caches.sub:f", "hotreload_warm names 'caches.sub:f', but there is no module caches.sub; hint: correct"),
        ("caches:other", "hotreload_warm names 'caches:other', but there is no other in caches; hint: correct"),
        ("caches:__name__", "but its type is str, which can't be called; hint: correct"),
    ],
)  # fmt: skip
def test_a_name_that_leads_nowhere_is_a_usage_error(project, name, why):
    project.write({**PROJECT, "pytest.ini": f"[pytest]\npythonpath = .\nhotreload_warm = {name}\n"})
    ours = project.run(slots=2)
    assert ours.status == pytest.ExitCode.USAGE_ERROR
    (line,) = [each for each in ours.errors if each]
    assert line.startswith("ERROR: hotreload: ")
    assert why in line
    assert not (ours.root / "log.txt").exists()


def test_the_tables_of_pyproject(project):
    files = {name: text for name, text in PROJECT.items() if name != "pytest.ini"}
    project.write({
        **files,
        "pyproject.toml": '[tool.pytest.ini_options]\npythonpath = ["."]\nhotreload_warm = ["caches:filled_by"]\n',
    })  # fmt: skip
    assert were_filled_here(project.run(slots=2))
    (project.root("forks") / "log.txt").unlink()
    if tuple(map(int, pytest.__version__.split(".")[:2])) >= (9, 0):
        project.write({
            "pyproject.toml": '[tool.pytest]\npythonpath = ["."]\nhotreload_warm = ["caches:filled_by"]\n',
        })  # fmt: skip
        assert were_filled_here(project.run(slots=2))


def test_output_warnings_and_logs_of_a_function_are_not_shown(project, slots):
    project.write({
        **PROJECT,
        "pytest.ini": "[pytest]\npythonpath = .\nhotreload_warm = caches:fill\nlog_cli = true\nlog_file = log\n"
        "filterwarnings = error\n",
        "caches.py": CACHES
        + """
import logging, sys, warnings

def fill():
    filled_by()
    print("printed")
    print("printed", file=sys.stderr)
    os.system("echo printed")
    os.write(1, b"printed")
    logging.getLogger("caches").error("logged")
    warnings.warn("warned")
""",
    })  # fmt: skip
    _, ours = project.same(slots=slots)
    assert were_filled_here(ours)
    assert "printed" not in ours.raw
    assert "logged" not in ours.raw + ours.read("log")


def test_what_a_function_reads_is_an_input_of_each_test_file(project):
    project.write({
        **PROJECT,
        "rates.txt": "1",
        "caches.py": f"{CACHES}\nimport pathlib\n"
        "def fill():\n    filled_by()\n    pathlib.Path('rates.txt').read_text()\n",
        "pytest.ini": "[pytest]\npythonpath = .\nhotreload_warm = caches:fill\n",
    })  # fmt: skip
    root = project.run(slots=2).root
    store = RecordStore(str(root / ".pytest_cache/d/hotreload"), str(root))
    for name in NAMES:
        found = json.loads(store.get(f"test_{name}.py") or "")
        assert "rates.txt" in {path for path, _ in found["reads"]}


LEXER = """
import jinja2

def test_it():
    assert jinja2.Environment().from_string("{{ 1 }}").render() == "1"
"""
STATEMENTS = """
import sqlalchemy.dialects.sqlite

def test_it():
    select = sqlalchemy.select(sqlalchemy.literal(1))
    assert str(select.compile(dialect=sqlalchemy.dialects.sqlite.dialect())).startswith("SELECT")
"""


@pytest.mark.parametrize(
    ("package", "text", "name"),
    [("jinja2", LEXER, "jinja2's lexer"), ("sqlalchemy", STATEMENTS, "SQLAlchemy's statements")],
)
def test_known_caches_of_loaded_packages(project, package, text, name):
    pytest.importorskip(package)
    project.write({f"test_{letter}.py": text for letter in NAMES})
    _, ours = project.same("-v", slots=2)
    (line,) = of_warming(ours)
    assert line.startswith(f"hotreload: called before the first fork: {name} (")
    project.write({"pytest.ini": "[pytest]\nhotreload_warm_known = false\n"})
    assert not of_warming(project.run("-v", slots=2))


def test_a_known_cache_never_imports_its_package(project):
    project.write({f"test_{name}.py": "def test_it(): pass\n" for name in NAMES})
    assert not of_warming(project.run("-v", slots=2))


def test_a_known_cache_calls_no_code_of_the_project(project):
    """A compile function for one of SQLAlchemy's own statements belongs to the project's tests."""
    pytest.importorskip("sqlalchemy")
    project.write({
        f"test_{name}.py": """
import sqlalchemy.dialects.sqlite
from sqlalchemy.ext.compiler import compiles

calls = []

@compiles(sqlalchemy.sql.expression.Select)
def select(element, compiler, **how):
    calls.append(element)
    return compiler.visit_select(element, **how)

def test_it():
    assert calls == []
"""
        for name in NAMES
    })  # fmt: skip
    project.same(slots=2)
