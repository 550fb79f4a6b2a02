"""Who reads the worker id while conftests and test files are imported or configured.

Such a suite decides early (a database name at module level), so all children of one collected process
would share that decision. Seen here, it gets slots that are processes with an id of their own.
"""

from __future__ import annotations

import os
import sys
from types import FrameType
from typing import Any

import pytest

_VARIABLES = ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT")


class WorkerIdWatch:
    """Between :meth:`begin` and :meth:`end`, ``found`` collects first-party readers, as file names."""

    def __init__(self, config: pytest.Config) -> None:
        self.found: list[str] = []
        self._root = str(config.rootpath)

    def begin(self) -> None:
        """Watch ``os.environ`` (its key encoder is asked at each look-up) and ``config.workerinput``."""
        environ: Any = os.environ
        self._encode = environ.encodekey

        def encodekey(key: Any) -> Any:
            if key in _VARIABLES:
                self._note(sys._getframe(1))
            return self._encode(key)

        environ.encodekey = encodekey
        pytest.Config.workerinput = _Watched(self._note)  # type: ignore[attr-defined]

    def end(self) -> None:
        """Leave everything as it was."""
        environ: Any = os.environ
        environ.encodekey = self._encode
        if "workerinput" in vars(pytest.Config):
            del pytest.Config.workerinput  # type: ignore[attr-defined]

    def _note(self, frame: FrameType | None) -> None:
        """The nearest caller that is not the standard library decides."""
        while frame is not None:
            name = frame.f_code.co_filename
            module = str(frame.f_globals.get("__name__", "")).partition(".")[0]
            if module not in sys.stdlib_module_names and not name.startswith("<frozen"):
                if name.startswith(self._root + os.sep) and "site-packages" not in name:
                    self.found.append(os.path.relpath(name, self._root))
                return
            frame = frame.f_back


class _Watched:
    """A non-data descriptor: an attribute set on the instance wins, a missing one is noted."""

    def __init__(self, note: Any) -> None:
        self._note = note

    def __get__(self, instance: Any, owner: Any) -> Any:
        if instance is not None:
            self._note(sys._getframe(1))
        raise AttributeError("workerinput")
