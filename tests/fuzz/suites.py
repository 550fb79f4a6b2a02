"""Random small suites whose outcomes are known when they are generated.

A suite combines kinds of trouble: patched functions, deaths, reruns, subtests, leftovers, plugins. Each test carries
the outcome that it was written for, so a run can be judged even where plain pytest would not survive the suite.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

#: What a test, a fixture or a conftest may replace. Plain pytest, too, breaks under some of them.
NAMES = tuple(Path(__file__).with_name("names.txt").read_text().split())

#: What stands in a patched name's place.
REPLACEMENTS = {
    "raises": "_raises",
    "none": "(lambda *a, **k: None)",
    "zero": "(lambda *a, **k: 0)",
    "mock": "unittest.mock.MagicMock()",
    "object": "object()",
    "negative": "(lambda *a, **k: -1)",
}

#: Ways to die; the last ones end the process from where no hook of a test runs.
DEATHS = (
    "os._exit(0)",
    "os._exit(3)",
    "_kill(_pid(), 9)",
    "_kill(_pid(), 11)",
    "os.abort()",
    "ctypes.string_at(0)",
    "_in_thread(lambda: os._exit(0))",
)

HEAD = """\
import asyncio, atexit, builtins, collections, contextlib, copyreg, ctypes, datetime, faulthandler, functools, gc
import hashlib, importlib, inspect, io, json, logging, multiprocessing.process, os, os.path, pathlib, pickle, platform
import random, re, resource, select, selectors, shutil, signal, socket, struct, subprocess, sys, tempfile, threading
import time, traceback, unittest, unittest.mock, warnings, weakref
import pytest

_pid, _kill, _fork, _exit, _waitpid = os.getpid, os.kill, os.fork, os._exit, os.waitpid
_Thread = threading.Thread

def _raises(*args, **kwargs):
    raise RuntimeError("patched")

def _in_thread(what):
    thread = _Thread(target=what)
    thread.start()
    thread.join()
"""


@dataclass
class Case:
    """One test of a suite. ``outcomes``: those that a right run may give its node ids."""

    source: str
    outcomes: dict[str, str]
    dies: bool = False


@dataclass
class File:
    name: str
    cases: list[Case] = field(default_factory=list)
    head: str = ""

    @property
    def outcomes(self) -> dict[str, str]:
        return {f"{self.name}::{test}": what for case in self.cases for test, what in case.outcomes.items()}

    @property
    def dying(self) -> set[str]:
        return {f"{self.name}::{test}" for case in self.cases if case.dies for test in case.outcomes}

    def text(self, *, deadly: bool) -> str:
        """The file. Not ``deadly``: for plain pytest, with a failing assertion in place of each death."""
        body = "\n".join(case.source for case in self.cases)
        return HEAD + self.head + "\n" + (body if deadly else _harmless(body))


def _harmless(text: str) -> str:
    for death in sorted(DEATHS, key=len, reverse=True):  # one of them contains another
        text = text.replace(death, "assert 0, 'dies'")
    return text


@dataclass
class Suite:
    """``leaky``: a patch outlives its test."""

    files: list[File]
    conftest: str
    arguments: list[str]
    ours: list[str]
    leaky: bool

    @property
    def outcomes(self) -> dict[str, str]:
        return {test: what for file in self.files for test, what in file.outcomes.items()}

    @property
    def dying(self) -> set[str]:
        return set[str]().union(*(file.dying for file in self.files))

    @property
    def isolates(self) -> bool:
        """Whether later files, or tests, of plain pytest see a patch that ours do not."""
        if "--hotreload-isolate=strict" in self.ours and any(file.head for file in self.files):
            return len(self.files) > 1
        return self.leaky and (len(self.files) > 1 or "--hotreload-isolate=test" in self.ours)

    def write(self, root: Path, *, deadly: bool) -> None:
        root.mkdir(parents=True)
        (root / "pytest.ini").write_text("[pytest]\n")
        if self.conftest:
            (root / "conftest.py").write_text(HEAD + self.conftest)
        for file in self.files:
            (root / file.name).write_text(file.text(deadly=deadly))


class Writer:
    """Writes random suites, of so many files and tests in each at most. ``reruns``: rerunfailures is installed."""

    def __init__(self, random: Random, *, reruns: bool, files: int = 4, tests: int = 5) -> None:
        self.random, self.reruns = random, reruns
        self._most_files, self._most_tests = files, tests
        self.leaky = False
        self._number = 0

    def suite(self) -> Suite:
        random = self.random
        self.leaky = False
        with_reruns = self.reruns and random.random() < 0.3
        files = [
            self._file(f"test_{letter}.py", with_reruns)
            for letter in "abcd"[: random.randint(1, self._most_files)]
        ]
        conftest = self._conftest() if random.random() < 0.25 else ""
        arguments = ["--reruns=1"] if with_reruns else []
        arguments += random.choice(
            [[], ["--junitxml=j.xml"], ["-s"], ["--capture=sys"], ["-rA"], ["-v"], ["--tb=line"], ["-l"]]
        )
        # With more files than slots, children are rewound: only then does a run go through that code.
        ours = [f"--hotreload-slots={random.choice((1, 1, 2, 3))}"]
        ours += [each for each in ("-v", "--hotreload-rewind=verify") if random.random() < 0.5]
        if random.random() < 0.25:
            ours.append(f"--hotreload-isolate={random.choice(('test', 'worker', 'strict'))}")
        return Suite(files, conftest, arguments, ours, self.leaky)

    def _file(self, name: str, with_reruns: bool) -> File:
        kinds = [
            self._plain, self._plain, self._patched, self._patched, self._left_patched, self._death, self._subtests,
            self._unittest, self._fixture, self._output, self._fork, self._thread, self._odd_objects, self._marks,
        ]  # fmt: skip
        if with_reruns:
            kinds += [self._flaky, self._flaky, self._flaky_subtests]
        file = File(name)
        for _ in range(self.random.randint(1, self._most_tests)):
            file.cases.append(self.random.choice(kinds)())
        if self.random.random() < 0.1:
            name, replacement = self._patch()
            file.head = f"_patch = unittest.mock.patch({name!r}, {replacement})\n_patch.start()\n"
        return file

    def _conftest(self) -> str:
        name, replacement = self._patch()
        if self.random.random() < 0.5:
            return f"unittest.mock.patch({name!r}, {replacement}).start()\n"
        scope = self.random.choice(("function", "module", "session"))
        return textwrap.dedent(
            f"""
            @pytest.fixture(autouse=True, scope={scope!r})
            def _world():
                with unittest.mock.patch({name!r}, {replacement}):
                    yield
            """
        )

    def _patch(self) -> tuple[str, str]:
        return self.random.choice(NAMES), self.random.choice(list(REPLACEMENTS.values()))

    def _case(self, text: str, outcomes: dict[str, str], *, dies: bool = False) -> Case:
        return Case(textwrap.dedent(text), outcomes, dies)

    def _name(self) -> str:
        self._number += 1
        return f"test_{self._number}"

    # -- kinds of tests ------------------------------------------------------------------------------

    def _plain(self) -> Case:
        name = self._name()
        return self.random.choice(
            [
                self._case(f"def {name}():\n    pass\n", {name: "passed"}),
                self._case(f"def {name}():\n    assert 0\n", {name: "failed"}),
                self._case(f"def {name}():\n    sys.exit(0)\n", {name: "failed"}),
                self._case(f"async def {name}():\n    pass\n", {name: "failed"}),
            ]
        )

    def _marks(self) -> Case:
        name = self._name()
        marks = {"skip": "skipped", "xfail": "xfailed", "xfail(strict=True)": "xfailed"}
        marks["skipif(True, reason='r')"] = "skipped"
        mark, outcome = self.random.choice(list(marks.items()))
        return self._case(f"@pytest.mark.{mark}\ndef {name}():\n    assert 0\n", {name: outcome})

    def _patched(self) -> Case:
        """Undone by the fixture when the test ends, so after its call was reported."""
        name, passes = self._name(), self.random.random() < 0.5
        (what, replacement), (more, other) = self._patch(), self._patch()
        return self._case(
            f"""
            def {name}(monkeypatch):
                monkeypatch.setattr({what!r}, {replacement})
                {"" if self.random.random() < 0.7 else f"monkeypatch.setattr({more!r}, {other})"}
                {"pass" if passes else "assert 0"}
            """,
            {name: "passed" if passes else "failed"},
        )

    def _left_patched(self) -> Case:
        """Never undone: the rest of the process lives in this world."""
        self.leaky = True
        name, passes = self._name(), self.random.random() < 0.5
        what, replacement = self._patch()
        return self._case(
            f"""
            def {name}():
                unittest.mock.patch({what!r}, {replacement}).start()
                {"pass" if passes else "assert 0"}
            """,
            {name: "passed" if passes else "failed"},
        )

    def _death(self) -> Case:
        name, death = self._name(), self.random.choice(DEATHS)
        what, replacement = self._patch()
        patched = (
            f"unittest.mock.patch({what!r}, {replacement}).start()" if self.random.random() < 0.3 else ""
        )
        self.leaky = self.leaky or bool(patched)
        where = self.random.choice(("call", "setup", "teardown"))
        if where == "call":
            text = f"def {name}():\n    {patched}\n    {death}\n"
            return self._case(text, {name: "failed"}, dies=True)
        order = f"    {death}\n    yield\n" if where == "setup" else f"    yield\n    {death}\n"
        text = (
            f"@pytest.fixture\ndef fix_{name}():\n{order}\ndef {name}(fix_{name}):\n    {patched or 'pass'}\n"
        )
        return self._case(text, {name: "error"}, dies=True)

    def _subtests(self) -> Case:
        name, bad = self._name(), self.random.randint(0, 2)
        patch = ""
        if self.random.random() < 0.3:
            what, replacement = self._patch()
            patch = f"monkeypatch.setattr({what!r}, {replacement})"
        return self._case(
            f"""
            def {name}(subtests, monkeypatch):
                for n in range(3):
                    with subtests.test(n=n):
                        assert n >= {bad}
                {patch}
            """,
            {name: "failed" if bad else "passed"},
        )

    def _unittest(self) -> Case:
        name = self._name()
        cls = f"Test{name[5:]}"
        return self._case(
            f"""
            class {cls}(unittest.TestCase):
                @classmethod
                def setUpClass(cls):
                    cls.value = 1
                def test_x(self):
                    with self.subTest(n=1):
                        assert self.value == 1
                def test_y(self):
                    self.addCleanup(print, "cleaned")
                    self.fail("y")
            """,
            {f"{cls}::test_x": "passed", f"{cls}::test_y": "failed"},
        )

    def _fixture(self) -> Case:
        name, where = self._name(), self.random.choice(("setup", "teardown", "never"))
        scope = self.random.choice(("function", "module", "session"))
        before = "raise ValueError('setup')" if where == "setup" else "pass"
        after = "raise ValueError('teardown')" if where == "teardown" and scope == "function" else "pass"
        broken = where == "setup" or after != "pass"
        return self._case(
            f"""
            @pytest.fixture(scope={scope!r})
            def fix_{name}():
                {before}
                yield
                {after}

            def {name}(fix_{name}):
                pass
            """,
            {name: "error" if broken else "passed"},
        )

    def _output(self) -> Case:
        name = self._name()
        way = self.random.choice(
            (
                "print('x' * 70000)",
                "os.write(1, b'raw')",
                "logging.warning('w')",
                "warnings.warn('w')",
                "os.system('echo s')",
            )
        )
        return self._case(f"def {name}():\n    {way}\n", {name: "passed"})

    def _fork(self) -> Case:
        name = self._name()
        return self._case(
            f"""
            def {name}():
                pid = _fork()
                if not pid:
                    _exit(0)
                assert _waitpid(pid, 0)[1] == 0
            """,
            {name: "passed"},
        )

    def _thread(self) -> Case:
        name = self._name()
        daemon = self.random.random() < 0.5
        wait = "threading.Event().wait" if daemon else "lambda: None"
        return self._case(
            f"def {name}():\n    _Thread(target={wait}, daemon={daemon}).start()\n", {name: "passed"}
        )

    def _odd_objects(self) -> Case:
        """Objects that do not like to be looked at, and live to the end."""
        name = self._name()
        return self._case(
            f"""
            class Odd{name}:
                @property
                def __class__(self):
                    raise RuntimeError("looked at")
                def __eq__(self, other):
                    raise RuntimeError("compared")
                __hash__ = None
                def __bool__(self):
                    raise RuntimeError("asked")
                def __getattr__(self, name):
                    raise RuntimeError(name)

            def {name}():
                thing = type("Thing", (), {{}})()
                {name}.kept = [Odd{name}(), weakref.proxy(thing)]
                del thing
            """,
            {name: "passed"},
        )

    # -- kinds that need rerunfailures -----------------------------------------------------------------

    def _flaky(self) -> Case:
        name = self._name()
        return self._case(
            f"""
            runs_{name} = []
            def {name}():
                runs_{name}.append(1)
                assert len(runs_{name}) > 1
            """,
            {name: "passed"},
        )

    def _flaky_subtests(self) -> Case:
        name = self._name()
        return self._case(
            f"""
            runs_{name} = []
            def {name}(subtests):
                runs_{name}.append(1)
                with subtests.test("first"):
                    assert len(runs_{name}) > 1
            """,
            {name: "passed"},
        )
