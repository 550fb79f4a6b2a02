"""Import times are measured without visible effects on tracebacks, on modules or on later imports."""

from __future__ import annotations

import importlib
import sys
import threading
import traceback
from typing import Any

import pytest

from pytest_hotreload.report.import_times import ImportTimes, by_package

BUSY = "import time\nend = time.thread_time() + {}\nwhile time.thread_time() < end: pass\n"
NAMES = ("top_one", "top_two", "top_bad")


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """``top_one`` spends 20 ms, and 30 in ``top_two.inner``, which it imports; ``top_bad`` raises."""
    files = {
        "top_one.py": "import top_two.inner\n" + BUSY.format(0.02),
        "top_two/__init__.py": BUSY.format(0.01),
        "top_two/inner.py": BUSY.format(0.02),
        "top_bad.py": "import top_two\nraise ValueError('bad')\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in list(sys.modules):
        if name.partition(".")[0] in NAMES:
            del sys.modules[name]


@pytest.fixture
def times():
    measured = ImportTimes()
    measured.begin()
    yield measured
    measured.end()


def test_own_and_together(modules, times):
    importlib.import_module("top_one")
    assert times.measured
    assert times.own["top_one"] == pytest.approx(0.02, abs=0.015)
    assert times.own["top_two"] == pytest.approx(0.01, abs=0.008)
    assert times.own["top_two.inner"] == pytest.approx(0.02, abs=0.015)
    assert times.within == {"top_one": ["top_two.inner"], "top_two.inner": ["top_two"]}
    assert times.packages["top_two"] == pytest.approx(times.own["top_two"] + times.own["top_two.inner"])
    assert times.packages["top_one"] == pytest.approx(
        sum(times.own[name] for name in times.own if "top_" in name)
    )


def test_what_is_loaded_already_takes_nothing(modules, times):
    importlib.import_module("top_one")
    before = dict(times.own)
    importlib.import_module("top_one")
    importlib.import_module("top_two.inner")
    assert times.own == before


def test_a_failing_import_shows_what_it_shows_without_us(modules, times):
    def failing() -> list[str]:
        with pytest.raises(ValueError, match="bad") as raised:
            importlib.import_module("top_bad")
        return [frame.name for frame in traceback.extract_tb(raised.value.__traceback__)]

    measured = failing()
    times.end()
    assert measured == failing()
    assert times.own["top_bad"] >= 0
    importlib.import_module("top_one")
    assert "top_one" not in times.own


def test_modules_are_what_they_are_without_us(modules, times):
    one = importlib.import_module("top_one")
    assert type(one.__loader__).__name__ == "SourceFileLoader"
    assert one.__spec__ is not None
    assert one.__spec__.loader is one.__loader__


def test_imports_in_threads_are_told_apart(modules, times):
    threads = [
        threading.Thread(target=importlib.import_module, args=(name,)) for name in ("top_one", "top_two")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {"top_one", "top_two", "top_two.inner"} <= times.own.keys()
    assert all(seconds > -1e-6 for seconds in times.own.values())


def test_whoever_stands_in_front_stays(times):
    owner: Any = importlib._bootstrap
    ours = owner._ModuleLockManager
    theirs = type("Theirs", (ours,), {})
    owner._ModuleLockManager = theirs
    try:
        times.end()
        assert owner._ModuleLockManager is theirs
    finally:
        owner._ModuleLockManager = ours.__mro__[1]


def measured() -> ImportTimes:
    """c, which is nobody's own, was loaded within b within a."""
    times = ImportTimes()
    times.own = {"c": 1.0, "b.sub": 2.0, "b": 0.5, "a": 4.0, "first_party": 9.0}
    times.within = {"a": ["b.sub", "c"], "b.sub": ["b", "c"], "first_party": ["a"]}
    times.packages = {"a": 7.5, "b": 3.5, "c": 1.0, "first_party": 16.5}
    return times


def test_packages_are_ranked_by_their_own_modules():
    rows = by_package(measured(), lambda names: [name for name in names if name != "first_party"])
    assert rows == [("a", 1, 4.0, 7.5), ("b", 2, 2.5, 3.5), ("c", 1, 1.0, 1.0)]
