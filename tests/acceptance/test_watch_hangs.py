"""An edit ends whatever hangs, and is then acted on.

One of each way in which a process is told to hang; `HOTRELOAD_HANGS=all` for all kinds with one slot and with two.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .test_watch_meanwhile import await_file
from .watching import Watching

_BEGINS = "import pathlib, time, signal\n"
_HANGS = "pathlib.Path('{started}').touch()\nwhile True: time.sleep(0.1)\n"
#: What hangs -> files, of which one has the hang; the last one is what is edited to mend it.
_KINDS = {
    "a new test": {"test_new.py": "def test_new():\n    {hangs}"},
    "an import of a new test file": {"test_new.py": "{hangs}def test_new(): pass\n"},
    "a module that is imported dynamically": {
        "test_new.py": "import importlib\n\ndef test_new():\n    importlib.import_module('mended').run()\n",
        "mended.py": "def run():\n    {hangs}",
    },
    "a helper of a new test file": {
        "test_new.py": "import mended\n\ndef test_new():\n    mended.run()\n",
        "mended.py": "def run():\n    {hangs}",
    },
    "data that a new test reads": {
        "test_new.py": "def test_new():\n    while pathlib.Path('data.txt').read_text() == 'hang':\n        {hangs}",
        "data.txt": "hang",
    },
    "a teardown": {
        "test_new.py": (
            "import pytest\n\n@pytest.fixture\ndef slow():\n    yield\n    {hangs}\n\ndef test_new(slow): pass\n"
        )
    },
    "a session fixture": {
        "test_new.py": "def test_new(session): pass\n",
        "conftest.py": "import pytest\n\n@pytest.fixture(scope='session')\ndef session():\n    {hangs}",
    },
    "the import of a conftest": {"test_new.py": "def test_new(): pass\n", "conftest.py": "{hangs}"},
    "the configuration": {
        "test_new.py": "def test_new(): pass\n",
        "conftest.py": "def pytest_configure():\n    {hangs}",
    },
    "the end of the session": {
        "test_new.py": "def test_new(): pass\n",
        "conftest.py": "def pytest_sessionfinish():\n    {hangs}",
    },
    "a test that ignores signals": {
        "test_new.py": (
            "def test_new():\n    signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
            "    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    {hangs}"
        )
    },
    "native code": {
        "test_new.py": (
            "def test_new():\n    pathlib.Path('{started}').touch()\n    import re\n"
            "    re.match('(a+)+$', 'a' * 64 + 'b')\n"
        )
    },
}


#: The rerun's own test; a child's; one that only a signal ends that it can't handle; a collector; a fork point.
_SOME = [
    ("a new test", 1),
    ("a teardown", 2),
    ("native code", 2),
    ("an import of a new test file", 1),
    ("the import of a conftest", 1),
    ("the end of the session", 2),
]
_ALL = [(kind, slots) for kind in _KINDS for slots in (1, 2)]


def _text(text: str, started: Path) -> str:
    for line in text.split("\n"):
        if "{hangs}" in line:
            indent = line[: len(line) - len(line.lstrip())]
            block = _HANGS.format(started=started).rstrip("\n").replace("\n", "\n" + indent)
            text = text.replace("{hangs}", block + "\n")
    return _BEGINS + text.replace("{started}", str(started))


def _until_passed(watching: Watching, wanted: dict[str, str]) -> list[str]:
    """What was shown until these tests passed."""
    lines: list[str] = []
    passed: dict[str, str] = {}
    while passed.items() & wanted.items() != wanted.items():
        shown = watching.shown()
        lines += shown.lines
        passed.update(shown.ran)
    return lines


def _watching(top: Path, files: dict[str, str], slots: int) -> Watching:
    """A watch that loses its patience soon."""
    recorder = str(Path(__file__).with_name("recorder"))
    watch = ["-p", "hotreload_impatient", "--hotreload", "--watch", f"--hotreload-slots={slots}", "-v"]
    return Watching(top, files, environ={"PYTHONPATH": recorder}, watch=watch)


@pytest.mark.parametrize(("kind", "slots"), _ALL if os.environ.get("HOTRELOAD_HANGS") == "all" else _SOME)
@pytest.mark.slow
def test_an_edit_ends_what_hangs(tmp_path: Path, kind: str, slots: int) -> None:
    """With one slot the only file runs in its rerun, with two and other files in children."""
    started = tmp_path / "started"
    files = {"test_old.py": "def test_old(): pass\n", "test_other.py": "def test_other(): pass\n"}
    with _watching(tmp_path, files, slots) as watching:
        assert watching.shown().status == "PASS 2 passed"
        new = {
            name: text if name.endswith(".txt") else _text(text, started)
            for name, text in _KINDS[kind].items()
        }
        also = {"test_other.py": "def test_other(): assert True\n"} if slots == 2 else {}
        watching.write({**also, **new})
        await_file(started)
        mended = {name: "gone" if name.endswith(".txt") else "def run(): pass\n" for name in list(new)[-1:]}
        if "test_new.py" in mended:
            mended = {"test_new.py": "def test_new(): pass\n"}
        elif "conftest.py" in mended:
            mended = {
                "conftest.py": "import pytest\n\n@pytest.fixture(scope='session')\ndef session(): pass\n"
            }
        watching.write(mended)
        _until_passed(watching, {"test_new.py::test_new": "passed"})
        assert watching.end() == 0


@pytest.mark.slow
def test_what_was_ended_is_named(tmp_path: Path) -> None:
    started = tmp_path / "started"
    with _watching(tmp_path, {"test_old.py": "def test_old(): pass\n"}, 1) as watching:
        watching.shown()
        watching.write({"test_new.py": _text("def test_new():\n    {hangs}", started)})
        await_file(started)
        watching.write({"test_old.py": "def test_edited(): pass\n"})
        lines = _until_passed(watching, {"test_old.py::test_edited": "passed"})
        ended = [line for line in lines if "has done nothing" in line]
        assert len(ended) == 1
        assert ended[0].startswith("hotreload: test_new.py::test_new has done nothing for ")
        assert ended[0].endswith(
            " s, and files have changed: it was stopped, and runs again with the changes"
        )
        await_file(started)
        watching.write({"test_new.py": "def test_new(): pass\n"})
        _until_passed(watching, {"test_new.py::test_new": "passed"})
        assert watching.end() == 0
