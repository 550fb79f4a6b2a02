"""Runs the harness, and prints the results as one JSON line.

Under ``--mode=reuse`` what is not selected is to be reported, as reused, with the very node ids of plain pytest.

Every run of pytest is a fork of this process, which has imported all that such a run loads, and nothing of the
project: a start of its own for each would be three quarters of the time.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import gc
import hashlib
import importlib
import inspect
import json
import os
import re
import shutil
import site
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest

import pytest_hotreload.plugin  # noqa: F401 - the forks find it imported
from pytest_hotreload.imports import bytecode
from pytest_hotreload.original_names import ORIGINAL_NAMES
from pytest_hotreload.run.child import reset
from tests.mutation.edits import Editor
from tests.mutation.function_edits import FunctionEditor
from tests.mutation.functions import FunctionsProject, SlotsProject
from tests.mutation.live import Live, Server, Watch
from tests.mutation.processes import Processes
from tests.mutation.project import Project

#: What the modules of each project import from the standard library; see ``caches.py``.
_OF_PROJECTS = ("concurrent.futures.thread", "email.parser", "queue")
#: Edits after which a new project is generated.
_EDITS_EACH = 40
#: What a file system's clock needs to tell two moments apart, with the margin of the records set to it.
_MARGIN_NS = 20_000_000
#: Edits that change no content, so that nothing may be selected.
_HARMLESS = ("touch",)

#: The part of all file states that may be selected: 0.55 to 0.65 were, with 0.25 to 0.45 changed (600 edits).
MOST_SELECTED = 0.75

#: The outcome of a test that did not run.
REUSED = "reused"
#: Of files with this reason nothing is reused, whatever was edited: in some projects of all.
_NEVER_REUSED = ": it started a process and declares no dependencies"
#: How the runs that are held against plain pytest are started.
MODES = {
    "affected": ["--affected"],
    "reuse": ["--reuse=on", "-vv"],
    "tests": ["--affected=tests"],
    "server": ["--affected"],
    "watch": ["--watch"],
}

#: What the projects are like.
PROJECTS: dict[str, tuple[type[Project], type[Editor]]] = {
    "imports": (Project, Editor),
    "processes": (Processes, Editor),
    "functions": (FunctionsProject, FunctionEditor),
    "slots": (SlotsProject, FunctionEditor),
}

Outcomes = dict[str, dict[str, str]]


class Recorder:
    """What ran: file -> node id -> outcome; a file that can't be collected has the one outcome "error"."""

    def __init__(self) -> None:
        self.outcomes: Outcomes = {}

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.outcomes[report.nodeid] = {"": "error"}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        tests = self.outcomes.setdefault(report.nodeid.partition("::")[0], {})
        if hasattr(report, "reused"):
            tests[report.nodeid] = REUSED
            return
        if report.when == "call" or report.failed:
            # A generator that was not run is shown with its address.
            values = [re.sub(r" at 0x\w+", "", str(value)) for _, value in report.user_properties]
            outcome = report.outcome if report.when == "call" else "error"
            tests[report.nodeid] = " ".join([outcome, *values])


def warm(work: Path) -> None:
    """Import what runs import, pytest's own plugins above all; and let no collection of garbage look at it again.

    A run took 149 ms of processor time, a plain one 89; with this they take 115 and 58.
    """
    root = work / "empty"
    root.mkdir(exist_ok=True)
    (root / "test_nothing.py").write_text("def test_nothing(): pass\n")
    for arguments in ([], ["--hotreload", "--hotreload-slots=1", "--affected"]):
        loaded = root / "loaded"
        run(root, arguments, "", work / "warm.log", loaded=loaded)
        for name in (*loaded.read_text().split(), *_OF_PROJECTS):
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
    shutil.rmtree(root)
    # Fills its table of all modules' files: each run with a failure would look up all paths again (a tenth of the
    # time of runs in which a file cannot be imported).
    inspect.getmodule(run.__code__)
    # A run does this before it loads anything of the project; in a fork it copies memory (10 ms).
    ORIGINAL_NAMES.remember()
    gc.collect()
    gc.freeze()
    # As in a rerun: otherwise each run would thaw these objects, and copy their memory in a collection (27 ms of CPU).
    reset.unfreeze_gc = functools.partial(_unfreeze, reset.unfreeze_gc)


def _unfreeze(original: Any, *, inherited: bool) -> None:
    original(inherited=True)


def run(root: Path, arguments: list[str], mode: str, log: Path, *, loaded: Path | None = None) -> Outcomes:
    """One run of pytest in a fork. ``loaded``: where it writes the modules that it had in the end."""
    answer = log.with_suffix(".json")
    pid = os.fork()
    if pid == 0:
        status = 70
        try:
            os.chdir(root)
            sys.path.insert(0, str(root / "plug"))
            os.environ["APP_MODE"] = mode
            descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            recorder = Recorder()
            pytest.main(
                ["-p", "no:cacheprovider"] * ("--hotreload" not in arguments)
                + [
                    "-p",
                    "pytest_hotreload.plugin",
                    "-q",
                    "--tb=short",
                    "--continue-on-collection-errors",
                    *arguments,
                ],
                plugins=[recorder],
            )
            answer.write_text(json.dumps(recorder.outcomes))
            if loaded is not None:
                loaded.write_text("\n".join(name for name in sys.modules if not name.startswith("test_")))
            status = 0
        finally:
            sys.stdout.flush()
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    if status:
        raise RuntimeError(f"pytest ended with {status}:\n{log.read_text()}")
    outcomes: Outcomes = json.loads(answer.read_text())
    return outcomes


def _is_clean(outcomes: dict[str, str]) -> bool:
    return bool(outcomes) and all(outcome.startswith("passed") for outcome in outcomes.values())


class Harness:
    """``missed``: what a correct selection could not have left out.

    Under ``--mode=tests`` single tests are counted, and ``missed`` are those that did not run although their outcome
    changed, as may happen there; ``alone`` are those that ran with another outcome than in their file's company.
    ``unsound`` are files that a run of whole files leaves out behind that, although their outcomes are not known.

    ``idle``: selected although nothing changed. ``possible``: files that changed in no way and passed, of which
    ``taken`` were left out; without those that are never reused.
    """

    def __init__(
        self,
        seed: int,
        work: Path,
        mode: str,
        project: type[Project] = Project,
        editor: type[Editor] = Editor,
    ) -> None:
        self.random, self.work, self.mode = Random(seed), work, mode
        self.project, self.editor = project, editor
        self.kinds: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.missed: list[dict[str, Any]] = []
        self.alone: list[dict[str, Any]] = []
        self.unsound: list[dict[str, Any]] = []
        self.selected = self.changed = self.total = self.idle = self.possible = self.taken = 0
        self.reused: Outcomes = {}
        self.never_reused: set[str] = set()
        self.rewind = "auto"
        self.live: Live | None = None
        self._plain: dict[str, Outcomes] = {}

    def run(self, edits: int) -> None:
        """Do so many edits, on as many projects as that takes."""
        warm(self.work)
        done = 0
        while done < edits and (self.mode == "tests" or not self.missed):
            # Every second project runs without rewinding, as systems do that have no engine for it.
            self.rewind = "auto" if done // _EDITS_EACH % 2 == 0 else "off"
            project = self.project(self.work / "root", self.random)
            project.leaves_state = self.mode != "watch"
            project.generate()
            editor = self.editor(project)
            share = min(_EDITS_EACH, edits - done)
            if self.mode == "watch":
                done += self._watch(editor, share)
                continue
            if self.mode == "server":
                self.live = Server(editor.root, self.work, _MARGIN_NS)
            last = self._affected(editor)
            one = self._one_by_tests if self.mode == "tests" else self._one
            for _ in range(share):
                done += 1
                if not one(editor, last):
                    break
            if self.live is not None:
                self.live.close()

    def _watch(self, editor: Editor, edits: int) -> int:
        """Edit the project of a watch, which is to know after each edit what plain pytest would say."""
        watch = self.live = Watch(editor.root, self.work, _MARGIN_NS)
        before: Outcomes = {}
        for done in range(edits + 1):
            kind = editor.edit() if done else "start"
            self.kinds.update([kind] if done else [])
            plain = self._plainly(editor)
            self.total += len(plain)
            self.changed += (
                sum(outcomes != before.get(file) for file, outcomes in plain.items()) if done else 0
            )
            before = plain
            if not watch.tells(plain, editor.mode):
                for file, outcomes in plain.items():
                    shown = watch.shows(file, outcomes)
                    if shown != outcomes:
                        self.missed.append({"kind": kind, "file": file, "plain": outcomes, "shown": shown})
                break
        watch.close()
        return done

    def _affected(self, editor: Editor, mode: str = "") -> Outcomes:
        time.sleep(_MARGIN_NS * 1.5e-9)
        arguments = [
            "--hotreload",
            f"--hotreload-slots={self.project.slots}",
            f"--hotreload-rewind={self.rewind}",
            *MODES[mode or self.mode],
        ]
        log = self.work / "affected.log"
        if isinstance(self.live, Server):
            told = self.live.run(arguments, editor.mode)
            self.reused = {}
            return told
        told = run(editor.root, arguments, editor.mode, log)
        self.reused = {file: tests for file, tests in told.items() if REUSED in tests.values()}
        outcomes = {file: tests for file, tests in told.items() if file not in self.reused}
        lines = [line.strip() for line in log.read_text().splitlines() if line.startswith("  tests/")]
        why = [line.partition(": ")[2] for line in lines]
        self.never_reused = {
            line.removesuffix(_NEVER_REUSED) for line in lines if line.endswith(_NEVER_REUSED)
        }
        self.reasons.update(re.sub(r"\S*[/.←]\S*", "…", reason) for reason in why)
        return outcomes

    def _one(self, editor: Editor, last: Outcomes) -> bool:
        kind = editor.edit()
        self.kinds[kind] += 1
        affected = self._affected(editor)
        plain = self._plainly(editor)
        for file in list(last):
            if not (editor.root / file).exists():
                del last[file]
        for file, outcomes in plain.items():
            shown = affected.get(file, self._held(file, last))
            self.total += 1
            is_possible = outcomes == last.get(file) and _is_clean(outcomes) and file not in self.never_reused
            self.possible += is_possible
            self.taken += is_possible and file not in affected
            self.selected += file in affected
            self.changed += outcomes != last.get(file)
            if shown != outcomes:
                self.missed.append(
                    {
                        "kind": kind,
                        "file": file,
                        "selected": file in affected,
                        "plain": outcomes,
                        "shown": shown,
                    }
                )
        for file in (affected.keys() | self.reused.keys()) - plain.keys():
            self.missed.append({"kind": kind, "file": file, "plain": None, "shown": "something"})
        if kind in _HARMLESS:
            self.idle += len(
                affected.keys()
                - {f for f, o in last.items() if "error" in o.values() or "failed" in o.values()}
            )
        # A file that could not be collected keeps its record: what it said holds again once that is mended.
        last.update({file: outcomes for file, outcomes in affected.items() if "" not in outcomes})
        return not self.missed

    def _one_by_tests(self, editor: Editor, last: Outcomes) -> bool:
        """One edit, of which every test is held against plain pytest; then whole files run, and renew the records."""
        kind = editor.edit()
        self.kinds[kind] += 1
        ran = self._affected(editor)
        plain = self._plainly(editor)
        for file, outcomes in plain.items():
            now, then = ran.get(file, {}), last.get(file, {})
            for nodeid, outcome in outcomes.items():
                self.total += 1
                self.selected += nodeid in now
                self.changed += outcome != then.get(nodeid)
                is_possible = outcome == then.get(nodeid) and outcome.startswith("passed")
                self.possible += is_possible
                self.taken += is_possible and nodeid not in now
                if now.get(nodeid, then.get(nodeid)) != outcome:
                    row = {
                        "kind": kind,
                        "test": nodeid,
                        "plain": outcome,
                        "shown": now.get(nodeid, "nothing"),
                    }
                    (self.alone if nodeid in now else self.missed).append(row)
        whole = self._affected(editor, "affected")
        self._check_parts(
            kind, plain, {file: {**last.get(file, {}), **ran.get(file, {})} for file in last}, whole
        )
        for file in last.keys() - plain.keys():
            del last[file]
        # A file that could not be collected keeps its record, as in `_one`.
        last.update({file: outcomes for file, outcomes in plain.items() if "" not in outcomes})
        return True

    def _check_parts(self, kind: str, plain: Outcomes, known: Outcomes, whole: Outcomes) -> None:
        """A run of single tests must not make a file fresh whose other tests changed."""
        for file, outcomes in plain.items():
            if file in known and file not in whole and "" not in outcomes:
                shown = {nodeid: known[file].get(nodeid) for nodeid in outcomes}
                if shown != outcomes:
                    self.unsound.append({"kind": kind, "file": file, "plain": outcomes, "shown": shown})

    def _plainly(self, editor: Editor) -> Outcomes:
        """By plain pytest, which is not asked again where an edit was taken back.

        Its outcomes follow from what lies there, as no bytecode is used.
        """
        folders = (editor.root, editor.root.parent / "lib")
        paths = sorted(
            path for folder in folders for path in folder.rglob("*") if ".pytest_cache" not in path.parts
        )
        tree = [
            (
                str(path),
                path.read_bytes() if path.is_file() else b"",
                path.is_symlink() and str(path.readlink()),
            )
            for path in paths
        ]
        key = hashlib.sha256(repr((editor.mode, tree)).encode()).hexdigest()
        if key not in self._plain:
            self._plain[key] = run(editor.root, [], editor.mode, self.work / "plain.log")
        return self._plain[key]

    def _held(self, file: str, last: Outcomes) -> dict[str, str] | None:
        """What is known of a file that did not run."""
        if self.mode != "reuse":
            return last.get(file)
        known = last.get(file, {})
        return {
            nodeid: known.get(nodeid, "") if how == REUSED else how
            for nodeid, how in self.reused.get(file, {}).items()
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--edits", type=int, default=100)
    parser.add_argument("--mode", choices=MODES, default="affected")
    parser.add_argument("--project", choices=PROJECTS, default="imports")
    parser.add_argument("--keep", metavar="FOLDER", help="where to leave the project")
    chosen = parser.parse_args()
    # The edits follow each other in milliseconds; what takes 2 s in earnest takes 20 ms here. Bytecode is
    # told apart by whole seconds, so it is not used.
    bytecode.YOUNG_NS = _MARGIN_NS
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    work = Path(chosen.keep or tempfile.mkdtemp(prefix="mutation-"))
    work.mkdir(exist_ok=True)
    installed = str(work / "site-packages")
    sys.path.append(installed)
    folders = site.getsitepackages()
    site.getsitepackages = lambda *_prefixes: [*folders, installed]
    harness = Harness(chosen.seed, work, chosen.mode, *PROJECTS[chosen.project])
    try:
        harness.run(chosen.edits)
    finally:
        if not chosen.keep and not harness.missed:
            shutil.rmtree(work)
    print(
        json.dumps(
            {
                "seed": chosen.seed,
                "edits": sum(harness.kinds.values()),
                "kinds": dict(sorted(harness.kinds.items())),
                "reasons": dict(harness.reasons.most_common()),
                "files": harness.total,
                "selected": harness.selected,
                "changed": harness.changed,
                "selected though nothing changed": harness.idle,
                "possible": harness.possible,
                "taken": harness.taken,
                "missed": harness.missed,
                "alone": harness.alone,
                "unsound": harness.unsound,
            }
        )
    )


if __name__ == "__main__":
    main()
