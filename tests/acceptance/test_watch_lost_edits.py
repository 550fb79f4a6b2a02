"""No edit is lost: once a watch has caught up, its last result for each test file matches the file on disk.

Bursts of random saves, in place and by rename, at random moments, also while tests run: 120 of them, more by
``HOTRELOAD_SAVES``; ``HOTRELOAD_SEED`` for others. A test's name bears what its file read when it was imported, so
that a line of ``pytest -v`` says which content it is about.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from . import warm

SAVES = int(os.environ.get("HOTRELOAD_SAVES", "120"))
SEED = int(os.environ.get("HOTRELOAD_SEED", "1"))
#: Saves between two looks whether all is told: from one edit to more than are told apart from a checkout's.
_FEWEST, _MOST = 1, 30
#: Seconds between two saves, at most: a rerun takes 0.1 s, so that some meet it at its start, some at its end.
_LONGEST_PAUSE = 0.25
#: Seconds after which what was not told is taken for lost. To catch up with a burst took 5 s at most.
_HUNG = 60.0
_READY = "watching, h for help"
_OUTCOME = re.compile(r"(?:\[gw\d+\] )?(test_\w+\.py)::test_value\[(\S+)\] (PASSED|FAILED)\b.*")
#: A value that can be divided by this makes its tests fail.
_UNLUCKY = 4

#: Test file -> the modules that it reads. ``total`` imports ``core``.
_READS = {
    "test_core.py": ("core",),
    "test_both.py": ("core", "leaf"),
    "test_total.py": ("total",),
    "test_all.py": ("core", "total", "leaf"),
    "test_leaf.py": ("leaf",),
    "test_own.py": (),
}
_TEST = """\
import pytest
{imports}

READ = [{own}{read}]


@pytest.mark.parametrize("read", ["-".join(map(str, READ))])
def test_value(read):
    assert read == "-".join(map(str, [{own}{read}]))
    assert sum(READ) % {unlucky}
"""
_MODULES = {"core": "OWN = VALUE = {}\n", "total": "import core\n\nOWN = {}\nVALUE = OWN + core.VALUE\n"}


class Content:
    """What stands on disk: a number for each module and each test file."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.numbers = {f"{name}.py": 1 for name in ("core", "total", "leaf")} | dict.fromkeys(_READS, 1)
        for name in self.numbers:
            self.save(name, 1, by_rename=False)

    def save(self, name: str, number: int, *, by_rename: bool) -> None:
        path = self.root / name
        if by_rename:
            beside = path.with_name(f".{name}.new")
            beside.write_text(self._text(name, number))
            beside.replace(path)
        else:
            path.write_text(self._text(name, number))
        self.numbers[name] = number

    def _text(self, name: str, number: int) -> str:
        if name not in _READS:
            return _MODULES.get(name.removesuffix(".py"), _MODULES["core"]).format(number)
        imports = "\n".join(f"import {module}" for module in _READS[name])
        read = "".join(f", {module}.VALUE" for module in _READS[name])
        return _TEST.format(imports=imports, own=number, read=read, unlucky=_UNLUCKY)

    def _values(self, name: str) -> list[int]:
        modules = {module: self.numbers[f"{module}.py"] for module in ("core", "total", "leaf")}
        modules["total"] += modules["core"]
        return [self.numbers[name], *(modules[module] for module in _READS[name])]

    @property
    def expected(self) -> dict[str, tuple[str, str]]:
        """Test file -> what it reads, and its outcome."""
        values = {name: self._values(name) for name in _READS}
        return {
            name: ("-".join(map(str, read)), "PASSED" if sum(read) % _UNLUCKY else "FAILED")
            for name, read in values.items()
        }


class Watch:
    """One on pipes. ``told``: test file -> what it read, and its outcome, as shown last."""

    def __init__(self, root: Path) -> None:
        self.told: dict[str, tuple[str, str]] = {}
        self.lines: list[str] = []
        self._news = threading.Condition()
        dropped = ("PYTEST_", "PYTHONDONT", "CI", "BUILD_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
        self.process = warm.start(
            [sys.executable, "-m", "pytest", "-p", "hotreload", "--hotreload", "--watch", "-v"],
            root,
            {**kept, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONHASHSEED": "0"},
            stdin=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            unbuffered=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._news:
                self.lines.append(line.rstrip("\n"))
                if found := _OUTCOME.fullmatch(self.lines[-1]):
                    self.told[found[1]] = (found[2], found[3])
                self._news.notify_all()

    def until(self, condition: Callable[[], bool], what: Callable[[], str]) -> None:
        """Wait until it holds; it is looked at whenever something is shown."""
        with self._news:
            if not self._news.wait_for(condition, _HUNG):
                raise AssertionError(what() + "\n" + "\n".join(self.lines))

    @property
    def is_ready(self) -> bool:
        return bool(self.lines) and self.lines[-1].endswith(_READY)

    def end(self) -> int:
        """The end of its input; the exit status, after all that it showed was read."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        status: int = self.process.wait(_HUNG)
        self._reader.join(_HUNG)
        return status

    def __enter__(self) -> Watch:  # noqa: PYI034 - Self is not in 3.10
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def burst(content: Content, random: Random, saves: int) -> list[str]:
    """Save at random moments; what was done, in words."""
    done, began = [], time.monotonic()
    names = list(content.numbers)
    for _ in range(saves):
        name, number, by_rename = random.choice(names), random.randrange(100, 1000), random.random() < 0.5
        content.save(name, number, by_rename=by_rename)
        done.append(f"{time.monotonic() - began:.3f} {name} = {number}{' by rename' if by_rename else ''}")
        if random.random() < 0.6:  # else several in one go
            time.sleep(random.uniform(0, _LONGEST_PAUSE))
    return done


def test_what_was_told_last_is_what_stands_on_disk(tmp_path: Path) -> None:
    random, content = Random(SEED), Content(tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    with Watch(tmp_path) as watch:
        left, done = SAVES, ["start"]

        def lost() -> str:
            wrong = {name: row for name, row in content.expected.items() if watch.told.get(name) != row}
            told = {name: watch.told.get(name) for name in wrong}
            return f"seed {SEED}, {left} saves left: on disk {wrong}, told {told}, after\n" + "\n".join(done)

        def caught_up() -> bool:
            return watch.is_ready and watch.told == content.expected

        watch.until(caught_up, lost)
        while left > 0:
            saves = min(left, random.randint(_FEWEST, _MOST))
            done = burst(content, random, saves)
            left -= saves
            watch.until(caught_up, lost)
        # What comes after it has nothing left to tell: a late result would be a stale one.
        (tmp_path / "test_last.py").write_text(textwrap.dedent("def test_last(): pass\n"))
        watch.until(lambda: any("test_last.py::test_last PASSED" in line for line in watch.lines), lost)
        watch.until(caught_up, lost)
        is_red = any(outcome == "FAILED" for _, outcome in content.expected.values())
        assert watch.end() == int(is_red)
        assert watch.told == content.expected
