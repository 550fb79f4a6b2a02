"""Detects code that reads the worker id while conftests and test files are imported or configured.

Such a suite decides early (for example a database name at module level), so all children of one collected
process would share that decision. If the read is detected, the suite gets slot processes, each with a worker
id of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from types import CodeType, FrameType, ModuleType
from typing import Any

from pytest_hotreload.process import foreign
from pytest_hotreload.process.installed import is_installed
from pytest_hotreload.world import BUILTINS, contextlib, getframe, os, pytest

__builtins__ = BUILTINS

_STDLIB = sys.stdlib_module_names
_VARIABLES = ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT")


class WorkerIdWatch:
    """Collects first-party readers of the worker id between :meth:`begin` and :meth:`end`."""

    def __init__(self, config: pytest.Config, workerinput: Mapping[str, Any] | None = None) -> None:
        #: File names of the readers.
        self.found: list[str] = []
        #: The value that other readers see meanwhile (a host's plugins must know that it is a worker), or
        #: None.
        self._workerinput = workerinput
        self._config = config

    def begin(self) -> None:
        """Watch ``os.environ`` (its key encoder is called at each look-up) and ``config.workerinput``."""
        environ: Any = os.environ
        self._encode = environ.encodekey

        def encodekey(key: Any) -> Any:
            if key in _VARIABLES:
                self._note(getframe(1))
            return self._encode(key)

        environ.encodekey = encodekey
        pytest.Config.workerinput = _Watched(self._note, self._workerinput)  # type: ignore[attr-defined]

    def end(self) -> None:
        """Restore ``os.environ`` and ``pytest.Config``."""
        environ: Any = os.environ
        environ.encodekey = self._encode
        if "workerinput" in vars(pytest.Config):
            del pytest.Config.workerinput  # type: ignore[attr-defined]

    def _note(self, frame: FrameType | None) -> bool:
        reader = first_party_caller(frame, self._config)
        if reader:
            self.found.append(reader)
        return bool(reader)


class SetupWatch:
    """Notes whether a fixture's setup reads the worker id, in a process that has none."""

    def __init__(self) -> None:
        self.read = False

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Watch within the block, as :class:`WorkerIdWatch` does, for readers of every origin."""
        self.read = False
        environ: Any = os.environ
        encode = environ.encodekey

        def encodekey(key: Any) -> Any:
            self.read = self.read or key in _VARIABLES
            return encode(key)

        environ.encodekey = encodekey
        pytest.Config.workerinput = _Watched(self._note, None)  # type: ignore[attr-defined]
        try:
            yield
        finally:
            environ.encodekey = encode
            if "workerinput" in vars(pytest.Config):
                del pytest.Config.workerinput  # type: ignore[attr-defined]

    def _note(self, _frame: FrameType | None) -> bool:
        self.read = True
        return True


def first_party_caller(frame: FrameType | None, config: pytest.Config) -> str:
    """Return the nearest caller's file below the root if it is first-party, otherwise "".

    Frames of the standard library are skipped. A hook that a conftest imported from an installed package, as those of
    SQLAlchemy dialects do, is the conftest's.
    """
    root = str(config.rootpath) + os.sep
    while frame is not None:
        name = frame.f_code.co_filename
        module = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if module not in _STDLIB and not name.startswith("<frozen"):
            own = _own_file(name, root)
            return own or _imported_hooks(config, root).get(frame.f_code, "")
        frame = frame.f_back
    return ""


def _own_file(name: str, root: str) -> str:
    return name.removeprefix(root) if name.startswith(root) and not is_installed(name) else ""


def _imported_hooks(config: pytest.Config, root: str) -> dict[CodeType, str]:
    """Return the code of the hooks of first-party plugins, and the plugins' files below the root."""
    found = {}
    for plugin in config.pluginmanager.get_plugins():
        held = foreign.module_dict(plugin) if type(plugin) is ModuleType else {}
        file = _own_file(str(held.get("__file__", "")), root)
        for name, value in held.items() if file else ():
            function = foreign.function_of(value) if name.startswith("pytest_") else None
            if function is not None:
                found[function.__code__] = file
    return found


def hide_worker(config: pytest.Config) -> None:
    """Let plugins, but not the suite's own code, see a worker, in a self-configured child of a run with one slot.

    So no plugin writes the run's report, and the suite's own code sees the same values as in plain pytest.
    """
    pytest.Config.workerinput = _Hidden(config)  # type: ignore[attr-defined]


class _Hidden:
    """A non-data descriptor: plugins see a worker, first-party code sees no attribute."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def __get__(self, instance: Any, owner: Any) -> Any:
        if instance is None or first_party_caller(getframe(1), self._config):
            raise AttributeError("workerinput")
        return {"workerid": "master"}


class _Watched:
    """A non-data descriptor: an attribute of the instance takes precedence; a read of a missing one is noted."""

    def __init__(self, note: Any, seen: Mapping[str, Any] | None) -> None:
        self._note, self._seen = note, seen

    def __get__(self, instance: Any, owner: Any) -> Any:
        first_party = instance is not None and self._note(getframe(1))
        if instance is not None and not first_party and self._seen is not None:
            return self._seen
        raise AttributeError("workerinput")
