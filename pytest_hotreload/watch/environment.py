"""Effects of a change on a watch: changed environments, outputs of reruns, syntax errors and stale bytecode."""

from __future__ import annotations

import contextlib
import fnmatch
import functools
import os
import sys
import tokenize
import traceback
from collections.abc import Iterable
from importlib.util import cache_from_source
from pathlib import Path

from pytest_hotreload._native import FolderEvents
from pytest_hotreload.process.installed import site_folders
from pytest_hotreload.watch.protocol import Changed

#: Names of files in the root that define what is installed, or which variables are set.
_ENVIRONMENT_FILES = (".env", ".env.*", "*.lock", "Pipfile.lock", "requirements*.txt", ".python-version")


#: Files that coverage writes beside the sources whenever tests run.
_OUTPUTS = (".coverage", ".coverage.*")


def is_output(path: str) -> bool:
    """Whether the file is an output of a tool that only this tool reads."""
    return any(fnmatch.fnmatch(Path(path).name, pattern) for pattern in _OUTPUTS)


#: Consecutive reruns during which a file other than a ``.py`` file has to change to count as their output.
_REPEATED = 3

#: Seconds after a rerun within which its last writes are noticed. A guess, above the 100 ms of a burst.
_LATE = 0.25


class Outputs:
    """The files that reruns write. They do not count as edits: otherwise each rerun would cause the next one."""

    def __init__(self) -> None:
        self._written: set[str] | None = set()
        self._until = 0.0
        self._meanwhile: set[str] = set()
        self._repeated: dict[str, int] = {}

    def meanwhile(self, paths: Iterable[str], when: float | None) -> None:
        """Note paths that changed during a rerun or right after it. ``when``: as in :meth:`left_out`."""
        if when is None or when <= self._until:
            self._meanwhile.update(path for path in paths if not path.endswith(".py"))

    def learn(self, written: Iterable[str] | None, processes: bool, now: float) -> list[str]:
        """Note the files that a finished rerun wrote; ``written`` is None if nothing was recorded.

        ``processes``: whether tests started processes. ``now``: monotonic seconds.

        The writes of a test's processes are not seen, and if such a file may be an input, each rerun would cause the
        next one. Therefore a file that changes during each of several reruns that started processes counts as their
        output; a change during other reruns counts as an edit. Returns the files that were learned in this way.
        """
        self._until = now + _LATE
        seen = self._meanwhile if processes else ()
        self._repeated = {path: self._repeated.get(path, 0) + 1 for path in seen}
        self._meanwhile = set()
        found = [path for path, times in self._repeated.items() if times >= _REPEATED]
        if self._written is not None:
            found = [path for path in found if path not in self._written]
            self._written.update(found)
        if written is None:
            self._written = None
        elif self._written is not None:
            self._written.update(written)
        return sorted(found)

    def left_out(self, changes: Changed, when: float | None) -> Changed:
        """The changes without the files that reruns wrote.

        ``when``: the time of the first event, or None during a rerun. A change after the end of the last rerun counts
        as an edit, even of a file that reruns wrote.
        """
        if when is not None and when > self._until:
            return changes
        return Changed(*(tuple(path for path in paths if not self._is_own(path)) for paths in changes))

    def _is_own(self, path: str) -> bool:
        if self._written is None:
            return not path.endswith(".py")
        return path in self._written


#: Seconds between two checks of the installed distributions while these may be changing: an installer that has done
#: nothing for that time counts as finished. A guess.
_SETTLING = 2.0
#: Seconds between two checks while no event came, since a network file system may send none. One check took up to
#: 3 ms with cold caches.
_UNTOLD = 60.0


class WatchedEnvironment:
    """The interpreter and its installed distributions, compared with those at the template's start."""

    def __init__(self, root: Path) -> None:
        self.root = root
        # None: the system reports no events for these folders, and they have to be checked at intervals.
        try:
            self.events: FolderEvents | None = FolderEvents(_folders())
        except OSError:
            self.events = None
        self.seen = _snapshot()
        self._folders = self._latest = _stamps()
        self._has_events = False

    @property
    def debounce_seconds(self) -> float:
        """Seconds until the next :meth:`settled_change` is due."""
        return _SETTLING if self._has_events or self.events is None else _UNTOLD

    def note_events(self) -> None:
        """Read the events, which are readable now, and note whether there were any."""
        self._has_events = (self.events is not None and self.events.drain()) or self._has_events

    def settled_change(self) -> str:
        """As :meth:`changed`, but "" as long as the environment still changes from one call to the next."""
        now = _stamps()
        settled, told, self._latest = now == self._latest, self._has_events, now
        self._has_events = not settled
        if not settled or (now == self._folders and not told):
            return ""
        self._folders = now
        return self.changed()

    def changed(self) -> str:
        """The difference from the last snapshot, in words, or "".

        The snapshot reads the times of some folders, so that no events are needed.
        """
        now = _snapshot()
        names = [name for name in {**self.seen, **now} if self.seen.get(name) != now.get(name)]
        self.seen = now
        return f"{names[0]} changed" if names else ""

    def affected_paths(self, paths: Iterable[str]) -> str:
        """The change of the first path that defines the project's environment, in words, or ""."""
        for path in paths:
            name = Path(path).name
            if (
                any(fnmatch.fnmatch(name, pattern) for pattern in _ENVIRONMENT_FILES)
                and Path(path).parent == self.root
            ):
                return f"{name} changed"
        return ""


def _stamps() -> dict[str, tuple[int, int, int]]:
    """File stamps that change whenever a distribution is installed, and sometimes without that.

    Takes less than 1 ms with cold caches; a version with ``site`` and pathlib took 3 ms.
    """
    found = {}
    for name in _stamped():
        try:
            stat = os.stat(name)  # noqa: PTH116 - see above
        except OSError:
            continue
        found[name] = stat.st_mtime_ns, stat.st_size, stat.st_ino
    return found


@functools.cache
def _stamped() -> tuple[str, ...]:
    """The interpreter's own paths, which do not change as long as it runs."""
    return (sys.executable, str(Path(sys.prefix, "pyvenv.cfg")), *site_folders())


def _folders() -> list[str]:
    """The stamped folders, and the folders that contain the stamped files."""
    return sorted({name if Path(name).is_dir() else str(Path(name).parent) for name in _stamped()})


def _snapshot() -> dict[str, object]:
    """The stamps of all installed distributions, of ``.pth`` files and of the interpreter. Takes 0.7 ms.

    Each installed distribution has a folder of metadata. The time of a folder of packages is a weaker sign: it also
    changes when the first bytecode is written there.
    """
    folders = set(site_folders())
    found: dict[str, object] = {name: stamp for name, stamp in _stamps().items() if name not in folders}
    for folder in site_folders():
        distributions = {}
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(".pth"):
                    found[entry.path] = _stamp(entry.path)
                elif entry.name.endswith((".dist-info", ".egg-info", ".egg-link")):
                    distributions[entry.name] = _stamp(entry.path)
        found[folder] = distributions
    return found


def _stamp(path: str) -> tuple[int, int, int]:
    stat = Path(path).stat()
    return (stat.st_mtime_ns, stat.st_size, stat.st_ino)


def syntax_error(path: str) -> str:
    """A diagnostic with a caret, as the interpreter writes it, or "" for a file that parses (or is gone)."""
    try:
        source = Path(path).read_bytes()
        compile(source, path, "exec", dont_inherit=True, flags=0x400)  # ast.PyCF_ONLY_AST
    except (SyntaxError, ValueError) as error:
        if isinstance(error, UnicodeError) or not isinstance(error, SyntaxError):
            return f"{path}: {error}"
        return "".join(traceback.format_exception_only(error)).rstrip()
    except (OSError, tokenize.TokenError):
        return ""
    return ""


def discard_bytecode(paths: Iterable[str]) -> None:
    """Remove the bytecode of these files: its header misses an edit within a second that keeps the size."""
    for path in paths:
        if not path.endswith(".py"):
            continue
        compiled = Path(cache_from_source(path, optimization=""))
        tag = compiled.name.removesuffix(".pyc")
        with contextlib.suppress(OSError):
            for found in compiled.parent.iterdir():
                if found.name.startswith(tag) and found.name[len(tag) : len(tag) + 1] in (".", "-"):
                    found.unlink(missing_ok=True)
