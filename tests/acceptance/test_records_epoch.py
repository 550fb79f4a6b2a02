"""The environment, on which all records depend; the summary names the input that differs."""

from __future__ import annotations

import sys
import zipfile

import pytest

from .keeping import Kept, said

PASSES = "def test_it(): pass\n"
CHANGED = (
    "unchanged since their last run: 0 of 2 test files (2 from another environment) · environment changed: "
)
OTHER = "its record is from another environment"


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Nothing here writes records, but for the first run."""
    kept = Kept(
        tmp_path_factory.mktemp("epoch"),
        {
            "test_a.py": PASSES,
            "test_b.py": PASSES,
            "../installed/demo.py": "",
            "../installed/demo-1.0.dist-info/METADATA": "Name: demo\nVersion: 1.0\n",
        },
        outside=["../installed"],
    )
    kept.run("-p", "no:doctest")
    return kept


def summary(kept, *arguments):
    """The last of our lines of a run whose records are put back."""
    store = kept.root / ".pytest_cache/d/hotreload/records-5"
    before = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    result = kept.run("-p", "no:doctest", *arguments)
    for path in [path for path in store.rglob("*") if path.is_file() and path not in before]:
        path.unlink()
    for path, content in before.items():
        path.write_bytes(content)
    return said(result)[-1]


def test_a_distribution(kept):
    installed = kept.root.parent / "installed"
    old, new = installed / "demo-1.0.dist-info", installed / "demo-1.1.dist-info"
    old.rename(new)
    try:
        assert kept.affected("-p", "no:doctest") == dict.fromkeys(["test_a.py", "test_b.py"], OTHER)
        assert summary(kept) == f"{CHANGED}demo 1.0 → 1.1"
        new.rename(installed / "aside")
        assert summary(kept) == f"{CHANGED}demo removed"
    finally:
        for folder in (new, installed / "aside"):
            if folder.exists():
                folder.rename(old)
    another = installed / "another-2.0.dist-info"
    another.mkdir()
    try:
        assert summary(kept) == f"{CHANGED}another added"
    finally:
        another.rmdir()
    assert summary(kept) == "unchanged since their last run: 2 of 2 test files"


@pytest.mark.parametrize("name", ["demo.pth", "sitecustomize.py", "__editable___demo_1_0_finder.py"])
def test_what_runs_when_an_interpreter_starts(kept, name):
    """By these an editable installation leads to another checkout."""
    file = kept.root.parent / "installed" / name
    try:
        file.write_text("# one\n")
        assert summary(kept) == f"{CHANGED}start file {name} added"
    finally:
        file.unlink()


@pytest.mark.parametrize(
    "arguments",
    [
        "-v",
        "--tb=short",
        "-x",
        "--maxfail=3",
        "--durations=3",
        "-rA",
        "--color=yes",
        "--showlocals",
        "--ff",
        "--hotreload-slots=2",
        "--hotreload-isolate=test",
        "--junitxml=out.xml",
        "-k it",
        "test_a.py test_b.py",
    ],
)
def test_arguments_that_alter_no_outcome(kept, arguments):
    line = summary(kept, *arguments.split())
    assert line == "unchanged since their last run: 2 of 2 test files"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("-W error", "option --pythonwarnings error added"),
        ("--runxfail", "option --runxfail added"),
        ("--import-mode=importlib", "option --import-mode 'prepend' → 'importlib'"),
        ("-p no:unittest", "option -p no:unittest added"),
        ("-o xfail_strict=true", "ini xfail_strict added, option --override-ini xfail_strict=true added"),
    ],
)
def test_arguments_that_may_alter_an_outcome(kept, arguments, named):
    line = summary(kept, *arguments.split())
    start, _, changes = line.partition(" · environment changed: ")
    assert start == "unchanged since their last run: 0 of 2 test files (2 from another environment)"
    assert set(changes.split(", ")) == set(named.split(", "))


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("PYTEST_ADDOPTS", "--tb=short", "environment PYTEST_ADDOPTS added"),
        ("TZ", "Asia/Tokyo", "environment TZ added"),
        ("PYTHONHASHSEED", "1", "environment PYTHONHASHSEED 0 → 1"),
        ("PYTHONWARNINGS", "error", "environment PYTHONWARNINGS added"),
        ("PYTHONDEVMODE", "1", "interpreter flag dev_mode False → True"),
        pytest.param(
            "PYTHON_CONTEXT_AWARE_WARNINGS",
            "1",
            "interpreter flag context_aware_warnings 0 → 1",
            marks=pytest.mark.skipif(sys.version_info < (3, 14), reason="a flag of Python 3.14"),
        ),
    ],
)
def test_variables_of_the_interpreter_and_of_pytest(kept, monkeypatch, name, value, named):
    monkeypatch.setitem(kept.environ, name, value)
    line = summary(kept)
    assert line.startswith(f"{CHANGED}")
    assert named in line.partition("environment changed: ")[2].split(", ")


def test_quiet_is_the_same_epoch(kept):
    result = kept.run("-p", "no:doctest", "-q", "--affected")
    assert result.notices == []
    assert result.lines[-1] == "2 deselected in TIME"


def test_an_archive_on_the_search_path(tmp_path):
    """Archives of the standard library are no inputs, those of a project are."""
    kept = Kept(
        tmp_path,
        {
            "pytest.ini": "[pytest]\npythonpath = lib.zip\n",
            "test_a.py": "import zipped\ndef test_a(): assert zipped.VALUE == 1\n",
            "test_b.py": "import zipped\ndef test_b(): assert zipped.VALUE\n",
            "test_c.py": PASSES,
        },
    )

    def pack(value):
        with zipfile.ZipFile(kept.root / "lib.zip", "w") as archive:
            archive.writestr("zipped.py", f"VALUE = {value}\n")

    pack(1)
    kept.run()
    pack(22)
    assert sorted(kept.affected()) == ["test_a.py", "test_b.py"]
