"""The parts of a watcher that need no process: failing tests, stale processes, messages."""

from __future__ import annotations

import importlib
import os
import py_compile
import select
import struct
import sys
from pathlib import Path

import pytest

from pytest_hotreload.watch import messages
from pytest_hotreload.watch.environment import (
    Outputs,
    WatchedEnvironment,
    discard_bytecode,
    is_output,
    syntax_error,
)
from pytest_hotreload.watch.pages import Written
from pytest_hotreload.watch.process import is_affected_by
from pytest_hotreload.watch.protocol import Changed, CollectionFailed, Inputs, ItemOutcome
from pytest_hotreload.watch.requests import PendingEdit
from pytest_hotreload.watch.results import Results

# ------------------------------------------------------------------------------------- results


def told(results: Results, file: str, **outcomes: str) -> None:
    for name, outcome in outcomes.items():
        results.told(ItemOutcome(file, f"{file}::{name}", outcome, f"text of {name}"))


@pytest.fixture
def results() -> Results:
    results = Results()
    results.begin(["a", "b"])
    results.collected(["a", "b"], everything=True, running=["a", "b"])
    told(results, "a", one="passed", two="failed")
    told(results, "b", one="error")
    results.end(["a", "b"], ())
    return results


def test_red_until_it_is_mended(results):
    assert results.failing == {"a::two": "a", "b::one": "b"}
    assert results.pending == set()
    results.begin(["a"])
    assert results.failing_elsewhere(["a"]) == ["b::one"]
    told(results, "a", one="passed", two="passed")
    results.end(["a"], ())
    assert results.failing == {"b::one": "b"}
    assert dict(results.ran) == {"passed": 2}


def test_a_test_that_is_gone_is_not_red(results):
    results.begin(["a"])
    told(results, "a", one="passed")
    results.end(["a"], ())
    assert "a::two" not in results.failing
    assert "a::two" not in results.texts


def test_what_did_not_finish_is_owed(results):
    results.begin(["a"])
    results.end(["a"], None)
    assert results.pending == {"a"}


def test_a_deleted_file_takes_its_results_along(results):
    results.forget(["b"])
    assert results.failing == {"a::two": "a"}
    assert results.known == ("a",)


def test_a_file_that_can_not_be_collected_is_red(results):
    results.begin(["a"])
    results.failed_collection(CollectionFailed("a", "a", "SyntaxError"))
    results.end(["a"], ())
    assert results.failing == {"a": "a", "b::one": "b"}
    assert results.texts["a"] == "SyntaxError"


# ------------------------------------------------------------------------------------- fork points

INPUTS = Inputs(
    frozenset({"/p/conftest.py", "/p/data.txt"}), frozenset({"/p/listed"}), frozenset({"pay", "card"})
)


@pytest.mark.parametrize(
    ("changes", "stale"),
    [
        (Changed(changed=("/p/data.txt",)), True),
        (Changed(deleted=("/p/conftest.py",)), True),
        (Changed(changed=("/p/other.py",)), False),
        (Changed(created=("/p/listed/new.txt",)), True),
        (Changed(deleted=("/p/listed/old.txt",)), True),
        (Changed(changed=("/p/listed/old.txt",)), False),  # the names are the same
        (Changed(created=("/p/lib/card.py",)), True),  # may be found before the other of that name
        (Changed(created=("/p/pay/__init__.py",)), True),
        (Changed(created=("/p/card.txt",)), False),
        (Changed(created=("/p/new.py",)), False),
    ],
)
def test_what_makes_a_fork_point_stale(changes, stale):
    assert is_affected_by(INPUTS, changes) is stale


# ------------------------------------------------------------------------------------- sources


def test_a_syntax_error_has_its_caret(tmp_path):
    source = tmp_path / "broken.py"
    source.write_text("def f(:\n    pass\n")
    shown = syntax_error(str(source)).split("\n")
    assert shown[0] == f'  File "{source}", line 1'
    assert shown[1:3] == ["    def f(:", "          ^"]
    assert shown[3].startswith("SyntaxError: ")


@pytest.mark.parametrize(
    ("content", "fine"),
    [
        (b"x = 1\n", True),
        (b"# -*- coding: latin-1 -*-\nx = '\xe9'\n", True),
        (b"x = '\xe9'\n", False),
        (b"x = '\0'\n", False),
        (b"# -*- coding: nonsense -*-\n", False),
    ],
)
def test_odd_sources(tmp_path, content, fine):
    source = tmp_path / "odd.py"
    source.write_bytes(content)
    assert (syntax_error(str(source)) == "") is fine


def test_a_file_that_is_gone_has_no_error(tmp_path):
    assert syntax_error(str(tmp_path / "gone.py")) == ""


def test_all_bytecode_of_a_source_goes_and_no_other(tmp_path):
    source, neighbour = tmp_path / "a.py", tmp_path / "ab.py"
    for each in (source, neighbour):
        each.write_text("x = 1\n")
    compiled = Path(py_compile.compile(str(source), doraise=True) or "")
    others = Path(py_compile.compile(str(neighbour), doraise=True) or "")
    tag = sys.implementation.cache_tag
    more = [compiled.with_name(f"a.{tag}-pytest-9.2.0.pyc"), compiled.with_name(f"a.{tag}.opt-1.pyc")]
    for each in more:
        each.write_bytes(b"")
    discard_bytecode([str(source), str(tmp_path / "never.py")])
    assert [each.exists() for each in (compiled, *more, others)] == [False, False, False, True]


# ------------------------------------------------------------------------------------- surroundings


def test_files_that_say_what_the_environment_is(tmp_path):
    found = WatchedEnvironment(tmp_path)
    assert found.affected_paths([str(tmp_path / ".env")]) == ".env changed"
    assert found.affected_paths([str(tmp_path / "uv.lock")]) == "uv.lock changed"
    assert found.affected_paths([str(tmp_path / "deep" / ".env"), str(tmp_path / "a.py")]) == ""
    assert found.changed() == ""


def test_what_is_installed_counts_when_the_installer_is_done(tmp_path, monkeypatch):
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.setattr("pytest_hotreload.watch.environment.site_folders", lambda: [str(site)])
    monkeypatch.setattr("pytest_hotreload.watch.environment._stamped", lambda: (str(site),))
    found = WatchedEnvironment(tmp_path)
    assert found.settled_change() == ""
    (site / "new.dist-info").mkdir()
    os.utime(site, ns=(1, 1))
    assert found.settled_change() == ""  # it may go on
    assert found.settled_change() == f"{site} changed"
    assert found.settled_change() == ""


def test_events_tell_when_to_look(tmp_path, monkeypatch):
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.setattr("pytest_hotreload.watch.environment.site_folders", lambda: [str(site)])
    monkeypatch.setattr(
        "pytest_hotreload.watch.environment._stamped",
        lambda: (str(site), str(tmp_path / "gone" / "x")),
    )
    path = site / "some.pth"
    path.write_text("# one\n")
    found = WatchedEnvironment(tmp_path)
    events = found.events
    assert events is not None
    assert not select.select([events], [], [], 0)[0]
    assert found.debounce_seconds == 60
    (site / "below").mkdir()
    (site / "below" / "more").mkdir()  # the first is told, not this one
    assert select.select([events], [], [], 10)[0] == [events]
    found.note_events()
    assert not select.select([events], [], [], 0)[0]
    assert found.debounce_seconds == 2
    assert (found.settled_change(), found.debounce_seconds) == ("", 2)
    assert (found.settled_change(), found.debounce_seconds) == ("", 60), "no distribution came"
    path.write_text("# two, in place: the folder's own time stays\n")
    found.note_events()
    assert (found.settled_change(), found.debounce_seconds) == (f"{path} changed", 60)


def test_without_events_it_looks_more_often(tmp_path, monkeypatch):
    def refused(_: object) -> None:
        raise OSError

    monkeypatch.setattr("pytest_hotreload.watch.environment.FolderEvents", refused)
    found = WatchedEnvironment(tmp_path)
    assert (found.events, found.debounce_seconds) == (None, 2)
    found.note_events()
    assert found.debounce_seconds == 2


def test_outputs_of_coverage_are_no_edits():
    assert is_output("/p/.coverage")
    assert is_output("/p/.coverage.host.1")
    assert not is_output("/p/coverage.py")


@pytest.mark.parametrize("processes", [False, True])
def test_what_changes_during_each_rerun_is_an_output_where_tests_start_processes(processes: bool):
    outputs = Outputs()
    learned = []
    for now in (10.0, 20.0, 30.0):
        outputs.meanwhile(["/p/data.txt", "/p/a.py"], None)
        learned.append(outputs.learn((), processes, now))
    assert learned == [[], [], ["/p/data.txt"] if processes else []]
    both = Changed(("/p/a.py", "/p/data.txt"))
    assert outputs.left_out(both, None) == (Changed(("/p/a.py",)) if processes else both)
    assert outputs.left_out(both, 40.0) == both  # after the end: somebody else


# ------------------------------------------------------------------------------------- words

TIMES = messages.Times(watch=0.02, select=0.002, fork=0.004, run=0.3, pytest=0.29)


def test_a_status_line_is_green_when_everything_is():
    assert messages.status({"passed": 3}, TIMES, False, [], 0, [], phases=True) == (
        "PASS 3 passed in 0.29 s (watch 20 + select 2 + fork 4 + run 300 ms) · watching, h for help",
        "green",
    )
    line, colour = messages.status({"passed": 3}, TIMES, True, ["b::one"], 0, ["only -k 'x'"], phases=False)
    assert line == "FAIL 3 passed in 0.29 s · only -k 'x' · still failing: b::one · watching, h for help"
    assert colour == "red"
    line, colour = messages.status({}, TIMES, False, [], 2, [], phases=False)
    assert line.startswith("PASS no tests ran")
    assert "2 test files without a result" in line
    assert colour == "yellow"


@pytest.mark.parametrize("phases", [False, True])
def test_the_benchmarks_read_the_status_line(phases: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2])
    status = importlib.import_module("benchmarks.watching").STATUS
    line, _ = messages.status({"passed": 3}, TIMES, False, [], 0, [], phases=phases)
    found = status.search(line)
    assert found is not None
    assert found.groupdict() == {
        "pytest": "0.29",
        **dict(
            zip(
                ("watch", "select", "fork", "run"),
                ("20", "2", "4", "300") if phases else [None] * 4,
                strict=True,
            )
        ),
    }


def test_a_rerun_line_names_what_changed():
    edit = PendingEdit(Changed(changed=("/p/src/pay/card.py",)))
    assert (
        messages.rerun(edit, 6, 418, "no reload needed", "/p")
        == "RERUN src/pay/card.py → 6 of 418 test files (no reload needed)"
    )
    many = PendingEdit(Changed(changed=tuple(f"/p/{n}.py" for n in range(5))))
    assert messages.rerun(many, 1, 1, "no reload needed", "/p") == (
        "RERUN 0.py, 1.py, 2.py and 2 more → 1 of 1 test file (no reload needed)"
    )
    git = PendingEdit(Changed(changed=tuple(f"/p/{n}.py" for n in range(412))), burst="git")
    assert messages.rerun(git, 37, 418, "no reload needed", "/p").startswith(
        "git checkout: 412 files changed, 37 test files affected"
    )


# ------------------------------------------------------------------------------------- memory


def _pages(*runs: tuple[int, int]) -> bytes:
    return b"".join(struct.pack("<QQ", begin << 12, end << 12) for begin, end in runs)


def test_pages_that_were_written_to_are_forgotten_when_they_have_doubled():
    written = Written()
    for pages in (_pages((1, 5)), _pages((1, 5), (7, 9)), _pages((1, 9))):
        written.learn(pages)
        assert written.pages == pages
    written.learn(_pages((1, 10)))
    assert written.pages == b""
    written.learn(_pages((1, 10)))
    assert written.pages == _pages((1, 10))
