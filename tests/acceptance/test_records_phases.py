"""Records over several runs, with the real margin of 2 s, with two runs at once, and with kills."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import time

import pytest

from pytest_hotreload.imports.bytecode import YOUNG_NS

from .keeping import Kept, outcomes, reasons, said
from .processes import Process

MODULES = 4
FILES = {
    **{f"src/module_{number}.py": f"VALUE = {number}\n" for number in range(MODULES)},
    **{
        f"tests/test_{number}.py": f"import module_{number}\n"
        "def test_value():\n"
        f"    assert module_{number}.VALUE in ({number}, 7)\n"
        f"def test_fails(): assert module_{number}.VALUE != 7\n"
        for number in range(MODULES)
    },
    "data.txt": "1",
    "tests/test_data.py": "from pathlib import Path\n"
    "def test_data(): assert (Path(__file__).parents[1] / 'data.txt').read_text() == '1'\n",
    "pytest.ini": "[pytest]\npythonpath = src\n",
}
COUNT = MODULES + 1
TESTS = [*(f"tests/test_{number}.py" for number in range(MODULES)), "tests/test_data.py"]


def wait():
    """Until what was written is old enough to be trusted: its change time can't be set back."""
    time.sleep(YOUNG_NS * 1.05e-9)


@pytest.fixture(scope="module")
def in_earnest(tmp_path_factory):
    """With bytecode and without the small margin."""
    kept = Kept(tmp_path_factory.mktemp("phases"), FILES, young=False)
    kept.environ["PYTHONDONTWRITEBYTECODE"] = ""
    return kept


def same_as_without_records(kept, result):
    """The outcomes are those of a run that knows nothing of records."""
    cold = kept.run("--no-cache", slots=2)
    shown = result.outcomes
    assert {nodeid: cold.outcomes[nodeid] for nodeid in shown} == shown
    assert result.status == cold.status or not shown
    return outcomes(cold)


@pytest.fixture
def young(in_earnest):
    """Every file was written just now, however long pytest takes to start here."""
    files = [path for path in in_earnest.root.rglob("*") if path.is_file()]
    soon = time.time() + 30
    for path in files:
        os.utime(path, (soon, soon))
    yield in_earnest
    for path in files:
        os.utime(path)


def test_young_files_prove_nothing(young):
    in_earnest = young
    first = in_earnest.run(slots=2)
    assert said(first) == [f"unchanged since their last run: 0 of {COUNT} test files ({COUNT} new)"]
    second = in_earnest.run("--affected", "-v", slots=2)
    counts = f"0 of {COUNT} test files ({COUNT} changed while they ran)"
    assert said(second)[-1] == f"unchanged since their last run: {counts}"
    whys = reasons(second)
    assert sorted(whys) == sorted(TESTS)
    assert {why.partition(" ")[2] for why in whys.values()} == {"changed while it ran or just before"}


@pytest.mark.slow
def test_four_phases(in_earnest):
    """Cold, warm, one edit, and back again."""
    kept = in_earnest
    shutil.rmtree(kept.root / ".pytest_cache", ignore_errors=True)
    wait()
    cold = kept.run("--affected", slots=2)
    assert said(cold)[-1] == f"unchanged since their last run: 0 of {COUNT} test files ({COUNT} new)"
    assert set(outcomes(cold).values()) == {"passed"}
    same_as_without_records(kept, cold)

    warm = kept.run("--affected", slots=2)
    assert said(warm) == [f"0 of {COUNT} test files affected"]
    assert (warm.status, warm.outcomes) == (0, {})
    assert said(kept.run(slots=2)) == [f"unchanged since their last run: {COUNT} of {COUNT} test files"]

    kept.write({"src/module_2.py": "VALUE = 7\n"})
    wait()
    edited = kept.run("--affected", slots=2)
    assert reasons(edited) == {"tests/test_2.py": "src/module_2.py ← tests/test_2.py"}
    assert (
        said(edited)[-1] == f"unchanged since their last run: {COUNT - 1} of {COUNT} test files (1 changed)"
    )
    assert outcomes(edited) == {
        "tests/test_2.py::test_value": "passed",
        "tests/test_2.py::test_fails": "failed",
    }
    assert same_as_without_records(kept, edited)["tests/test_2.py::test_fails"] == "failed"

    kept.write({"src/module_2.py": "VALUE = 2\n"})
    wait()
    restored = kept.run("--affected", slots=2)
    assert reasons(restored) == {"tests/test_2.py": "one of its tests failed"}
    assert set(same_as_without_records(kept, restored).values()) == {"passed"}
    assert said(kept.run("--affected", slots=2)) == [f"0 of {COUNT} test files affected"]


@pytest.mark.slow
def test_an_edit_that_bytecode_would_hide(in_earnest):
    """Same size, in the same second as the run before it."""
    kept = in_earnest
    path = kept.root / "src/module_1.py"
    for value in (7, 1, 7, 1):
        before = path.stat()
        path.write_text(f"VALUE = {value}\n")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        result = kept.run("--affected")
        assert "tests/test_1.py" in reasons(result)
    wait()
    assert "tests/test_1.py" in reasons(kept.run("--affected"))
    assert reasons(kept.run("--affected")) == {}
    assert outcomes(kept.run("tests/test_1.py")) == {
        "tests/test_1.py::test_value": "passed",
        "tests/test_1.py::test_fails": "passed",
    }
    assert kept.affected() == {}


def test_two_runs_at_once(tmp_path):
    kept = Kept(tmp_path, FILES)
    running = [kept.project.start(slots=2, side="forks") for _ in range(2)]
    for each in running:
        out, err = each.communicate(timeout=60)
        assert (each.returncode, err) == (0, ""), out
        assert f"{2 * MODULES + 1} passed" in out
    (tmp_path / "forks/recorded").unlink()
    assert kept.store().verify() == []
    assert kept.files() == sorted(TESTS)
    assert kept.affected() == {}
    assert said(kept.run(slots=2)) == [f"unchanged since their last run: {COUNT} of {COUNT} test files"]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.slow
def test_kills(tmp_path, seed):
    """A run is killed at any moment, with an edit before each: what follows is right, five times."""
    chosen = random.Random(seed)
    kept = Kept(tmp_path, FILES)
    kept.run(slots=2)
    for _ in range(5):
        number, value = chosen.randrange(MODULES), chosen.choice([7, None])
        value = number if value is None else value
        kept.write({f"src/module_{number}.py": f"VALUE = {value}\n"})
        with Process(kept.project, "--affected", slots=2) as process:
            time.sleep(chosen.uniform(0.05, 0.6))
            with contextlib.suppress(ProcessLookupError):  # it was faster
                process.send(signal.SIGKILL)
            process.end()
        assert kept.store().verify() == []
        expected = {}
        for each in range(MODULES):
            text = (kept.root / f"src/module_{each}.py").read_text()
            expected[f"tests/test_{each}.py"] = "failed" if text == "VALUE = 7\n" else "passed"
        (tmp_path / "forks/recorded").unlink(missing_ok=True)
        shown = outcomes(kept.run("--affected", slots=2))
        for file, last in expected.items():
            assert shown.get(f"{file}::test_fails", "passed") == last
        assert kept.store().verify() == []
    again = {file: "one of its tests failed" for file, last in expected.items() if last == "failed"}
    assert kept.affected() == again
