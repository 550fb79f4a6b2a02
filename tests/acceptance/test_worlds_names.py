"""A test replaces each name that our code uses, in turn, and nothing changes: docs/design/worlds.md.

By a test, and by a test file or a conftest while it is imported, which is in the controller.
A sample of them; `HOTRELOAD_NAMES=0 pytest tests/acceptance/test_worlds_names.py` for all, HOTRELOAD_SEED for another.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import worlds, worlds_import

#: 18 names are 36 files: 20 s of CPU, most of it for names that break pytest itself, which get a run of their own.
_SAMPLE = int(os.environ.get("HOTRELOAD_NAMES", "18"))
#: Where more went wrong than elsewhere: always among them.
_ALWAYS = [
    "os.getpid",
    "time.monotonic",
    "os._exit",
    "pickle.dumps",
    "builtins.isinstance",
    "builtins.list",
    "threading.active_count",
]
#: While a test file or a conftest is imported, by what is put in their place: each ended a run in INTERNALERROR, or
#: never, or failed its tests.
_ALWAYS_AT_IMPORT = {
    "raises": [
        "builtins.frozenset", "builtins.sum", "builtins.vars", "os.environ.update", "os.listdir",
        "pathlib.Path.read_text", "platform.machine", "site.getsitepackages", "sysconfig.get_paths",
        "threading.get_ident", "sys._getframe", "_socket.socket", "builtins.bytearray", "pytest.File",
        "pytest.ExitCode", "hashlib.sha256", "sys.argv", "builtins.hasattr",
        "stat.S_ISREG", "os.environ.decodekey", "shlex.split", "sys.executable",
    ],
    "none": ["threading.Thread", "threading.Lock", "sys.argv", "builtins.hasattr"],
    "mock": ["builtins.any", "builtins.min", "builtins.zip", "os.fstat", "os.stat"],
    "object": ["sys.path_hooks", "sys.stdlib_module_names", "collections.Counter", "pytest.Config"],
}  # fmt: skip
#: The ways that go the farthest from each other.
_FARTHEST = ("with records", "conftest, strict", "last file, with records", "last file, a death")
#: Each way to run, and each replacement in these.
_AT_IMPORT = [
    (way, replacement)
    for way in worlds_import.WAYS
    for replacement in worlds_import.REPLACEMENTS
    if replacement == "raises" or way in _FARTHEST or not _SAMPLE
]
#: Replaced together as long as nothing differs.
_TOGETHER = 12
#: Files in one run.
_BATCH = 200


def _chosen() -> list[str]:
    names = worlds.reached()
    if not _SAMPLE:
        return names
    rest = [name for name in names if name not in _ALWAYS]
    chance = random.Random(os.environ.get("HOTRELOAD_SEED", "11"))
    return _ALWAYS + chance.sample(rest, max(0, _SAMPLE - len(_ALWAYS)))


def test_the_names_are_those_of_the_code() -> None:
    names = worlds.reached()
    assert set(_ALWAYS) <= set(names)
    assert len(names) > 300


def test_no_name_makes_a_difference(tmp_path: Path) -> None:
    written = worlds.files(_chosen())
    for name, text in written.items():
        (tmp_path / name).write_text(text)
    files = sorted(written)
    bad: list[str] = []
    for begin in range(0, len(files), _BATCH):
        bad += worlds.differences(tmp_path, files[begin : begin + _BATCH], slots=2)
    assert not bad


@pytest.fixture(scope="module")
def forks() -> Iterator[worlds_import.Forks]:
    made = worlds_import.Forks()
    yield made
    made.close()


@pytest.mark.parametrize(("way", "replacement"), _AT_IMPORT)
def test_no_name_that_an_import_replaces_makes_a_difference(
    tmp_path: Path, forks: worlds_import.Forks, way: str, replacement: str
) -> None:
    always, names = _ALWAYS_AT_IMPORT[replacement], [] if _SAMPLE else worlds.reached()
    bad = worlds_import.differences(forks, tmp_path, always, replacement, way)
    for begin in range(0, len(names), _TOGETHER):
        together = names[begin : begin + _TOGETHER]
        bad += worlds_import.differences(forks, tmp_path, together, replacement, way)
    assert not bad
