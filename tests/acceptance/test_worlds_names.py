"""Every name that our code reaches is replaced by a test, in turn, and nothing changes: docs/design/worlds.md.

A sample of them; `HOTRELOAD_NAMES=0 pytest tests/acceptance/test_worlds_names.py` for all, HOTRELOAD_SEED for another.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

from . import worlds

#: 18 names are 36 files: 20 s of CPU, most of it for names that break pytest itself, which get a run of their own.
_SAMPLE = int(os.environ.get("HOTRELOAD_NAMES", "18"))
#: Where more went wrong than elsewhere: always among them.
_ALWAYS = [
    "os.getpid",
    "time.monotonic",
    "os._exit",
    "pickle.dumps",
    "builtins.isinstance",
    "threading.active_count",
]
#: Files in one run.
_BATCH = 200


def _chosen() -> list[str]:
    names = worlds.reached()
    if not _SAMPLE:
        return names
    rest = [name for name in names if name not in _ALWAYS]
    chance = random.Random(os.environ.get("HOTRELOAD_SEED", "11"))
    return _ALWAYS + chance.sample(rest, _SAMPLE - len(_ALWAYS))


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
