"""What a process opens, lists, imports and asks of its environment, as the native audit hook saw it.

Recorded in the controller from before the first conftest to the first fork, and in each child while
its tests run; never in the template. Stated in docs/records.md: what the hook can't see.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from importlib.machinery import PathFinder
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from pytest_hotreload._native import (
    canonical_path,
    observe,
    observe_again,
    observed,
    stop_observing,
    watch_environment,
    watch_imports,
)
from pytest_hotreload.compat import pytest_config
from pytest_hotreload.process.fork_state import namespace
from pytest_hotreload.process.installed import site_folders, standard_folders
from pytest_hotreload.world import (
    BUILTINS,
    MODULES,
    contextlib,
    gc,
    os,
    pytest,
    resource,
    tempfile,
)

__builtins__ = BUILTINS

#: Tools that keep state of their own in the project, which is no input of a test's: hypothesis replays
#: failures only, and a file that failed runs anyway.
_STATE_FOLDERS = (".hypothesis", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".tox", ".nox")


#: What they read and list is no input of a test's.
_TOOLS = ("coverage", "pytest_cov")

#: A process that no event tells of: those that native code starts. Of one that was waited for the system kept
#: account, and knows of one that is there.
_UNSEEN = "unseen"

State = tuple[int, int, int, int] | None


class Observation(NamedTuple):
    """One thing that was seen; ``observed`` says what kinds there are.

    ``owner``: the first-party file whose body ran, the test file that was being collected, or "".
    ``state``: (mtime in ns, ctime in ns, size, inode) at the first touch, or None.
    """

    owner: str
    kind: str
    subject: str
    state: State


class Module(NamedTuple):
    """A dotted name that was asked of the import system, and the first-party file that it gave.

    ``file`` is None where there was no such module, or none that is first-party but its package is.
    """

    owner: str
    name: str
    file: str | None


class Observed(NamedTuple):
    """Rows in the order of their first touch, without imports; those are ``modules``."""

    rows: tuple[Observation, ...] = ()
    modules: tuple[Module, ...] = ()


class Observer:
    """What counts in this run, and the switch. One for each configured pytest."""

    def __init__(self, config: pytest.Config) -> None:
        self.root = str(config.rootpath)
        self.installed = site_folders()
        folders = {*self.installed, *_standard_library(), str(pytest_config.cache_folder(config))}
        folders |= {str(Path(self.root, name)) for name in _STATE_FOLDERS}
        # A project that tests one of these has it below its root: then it is its own.
        self.callers = sorted({*pytest_config.package_folders(), str(Path(__file__).parents[1])})
        folders |= {folder for folder in self.callers if not _below(folder, [self.root])}
        self.ignored = sorted(folders)
        self.callers += _tool_folders()
        given = getattr(config.known_args_namespace, "basetemp", None)
        self.temporary = [tempfile.gettempdir(), *([str(Path(given).absolute())] if given else [])]
        self.active = False
        self._pid: int | None = None
        self._before: tuple[Module, ...] = ()
        self._learned = Observed()
        self._children: object = None
        self._alone = False
        self._taken: list[tuple[str, str, str, State]] = []
        self._folders: dict[str, bool] = {}

    def collecting(self) -> None:
        """Begin in the controller: before the first conftest is loaded."""
        self._open(collecting=True)
        self._before = tuple(Module("", name, file) for name, file in self.loaded())

    def add(self, rows: list[tuple[str, str, str, State]]) -> None:
        """What was seen of it before it began."""
        self._taken += rows

    def running(self, *, alone: bool = False) -> None:
        """Begin in a child: with nothing. A fork of who collected has all that is needed in place.

        ``alone``: nobody but the tests starts processes here.
        """
        if self._pid is None:
            self._open(collecting=False)
        else:
            observe_again()
        self.active = True
        self._before, self._taken = (), []
        self._children = resource.getrusage(resource.RUSAGE_CHILDREN)
        self._alone = alone and not _has_children()

    def _open(self, *, collecting: bool) -> None:
        observe(
            self.root,
            collecting=collecting,
            ignored=self.ignored,
            temporary=self.temporary,
            callers=self.callers,
            pycache_prefix=sys.pycache_prefix,
            installed=self.installed,
        )
        watch_imports(True)
        watch_environment(True)
        self._pid, self.active = os.getpid(), True

    def peek(self) -> Observed:
        """What was seen until now; it will be told again. In a fork point of a watch, between two forks."""
        self._taken += observed() if self.active else []
        return self._told(self._taken)

    def loaded(self) -> list[tuple[str, str]]:
        """The first-party modules that stand now, as (dotted name, file), in the order of their import."""
        found = ((name, self.file_of(name)) for name in list(MODULES) if type(name) is str)
        return [(name, file) for name, file in found if file]

    def end(self) -> Observed:
        """Stop, and say what was seen. The functions before imports and the environment stay, idle."""
        rows = self._taken + observed()
        if self._children is not None and self._were_children():
            # Those that events told of are taken to be all.
            is_told = any(kind == "subprocess" for _, kind, _, _ in rows) and not self._are_children()
            rows += [("", "subprocess", _UNSEEN, None), *([] if is_told else [("", "start", _UNSEEN, None)])]
        self._taken, self._children = [], None
        stop_observing()
        self.active = False
        collects = gc.isenabled()
        gc.disable()  # some thousand tuples would set off a collection of all that was imported: 60 ms in a heavy suite
        try:
            return self._told(rows)
        finally:
            if collects:
                gc.enable()

    def _were_children(self) -> bool:
        """Whether there were processes, which perhaps no event told of: waited for, or there still."""
        waited_for = self._children != resource.getrusage(resource.RUSAGE_CHILDREN)
        return waited_for or self._are_children()

    def _are_children(self) -> bool:
        return self._alone and _has_children()

    def _told(self, seen: list[tuple[str, str, str, State]]) -> Observed:
        # What installed code read may be kept there, for whoever asks it next: that is anybody.
        everybodys = {owner: "" for owner in {row[0] for row in seen} if _below(owner, self.installed)}
        rows = [(everybodys.get(row[0], row[0]), *row[1:]) for row in seen] if everybodys else seen
        named = dict.fromkeys((owner, subject) for owner, kind, subject, _ in rows if kind == "import")
        modules = [module for owner, name in named if (module := self._module(owner, name)) is not None]
        sought = dict.fromkeys((owner, subject) for owner, kind, subject, _ in rows if kind == "find")
        found = [self._sought(owner, name) for owner, name in sought]
        return Observed(
            self._learned.rows
            + tuple(Observation(*row) for row in rows if row[1] not in ("import", "find"))
            + tuple(row for _, rows in found for row in rows),
            self._before
            + self._learned.modules
            + tuple(modules)
            + tuple(module for module, _ in found if module is not None),
        )

    def _sought(self, owner: str, name: str) -> tuple[Module | None, list[Observation]]:
        """A module that was looked for without being imported; and the folders that would do for it, or did."""
        module = self._module(owner, name)
        if module is None or module.file is not None:
            return module, []
        file = on_path(name)
        if file is not None:
            file = canonical(file)
            return (Module(owner, name, file), []) if self.is_first_party(file) else (None, [])
        inside = name.replace(".", os.sep)
        folders = [canonical(os.path.join(entry or os.curdir, inside)) for entry in sys.path]
        states = ((folder, _state(folder)) for folder in folders if self.is_first_party(folder))
        return module, [Observation(owner, "read", folder, state) for folder, state in states]

    def close(self) -> None:
        """Leave everything as it was, in the process that began."""
        if self._pid == os.getpid():
            stop_observing()
            watch_environment(False)
            watch_imports(False)
            self._pid = None

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Step aside while somebody puts the environment's functions back below ours."""
        stand = self._pid is not None
        if stand:
            watch_environment(False)
        try:
            yield
        finally:
            if stand:
                watch_environment(True)

    @contextlib.contextmanager
    def learning(self) -> Iterator[None]:
        """In a fork point that imports something for all children to come: each of them will tell of it."""
        self.running()
        self._children = (
            None  # a process that tries the import first is ours, one that installed code starts nobody's
        )
        try:
            yield
        finally:
            self._learned = self.end()

    def _module(self, owner: str, name: str) -> Module | None:
        """None where it is no concern of ours: installed, the standard library's, or no module at all."""
        if name.rpartition(".")[2] == "conftest":
            return None  # pytest's own: each file's chain of them is known, and several may bear one name
        file = self.file_of(name)
        if file:
            return Module(owner, name, file)
        parent, _, last = name.rpartition(".")
        if name in MODULES or last in _attributes(parent):
            return None
        top = name.partition(".")[0]
        if parent and top in MODULES and not self._is_ours(top):
            return None
        return Module(owner, name, None)

    def _is_ours(self, top: str) -> bool:
        """Whether the package is first-party; one without a file by where its parts lie."""
        places = _attributes(top).get("__path__")
        found = _texts(places)
        return bool(self.file_of(top)) or any(self.is_first_party(place) for place in found)

    def file_of(self, name: str) -> str:
        """The file of a loaded first-party module, or "". Looks into its namespace only: it may be lazy."""
        file = _attributes(name).get("__file__")
        if type(file) is not str or name == "__main__" or not file.startswith(os.sep):
            return ""
        file = canonical(file)
        folder = file.rpartition(os.sep)[0]
        if folder not in self._folders:
            self._folders[folder] = self.is_first_party(folder)
        return file if self._folders[folder] else ""

    def is_first_party(self, path: str) -> bool:
        """Not installed, not the standard library's, and not the parts of our own and of pytest."""
        return not _below(path, self.ignored) and not _below(path, self.callers)


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def canonical(path: str) -> str:
    """The one form in which paths are compared. Most have it: no call then."""
    return canonical_path(path) if "/." in path or "//" in path or not path.startswith("/") else path


def on_path(name: str) -> str | None:
    """The file of a module that ``sys.path`` leads to. Imports nothing."""
    spec, folders = None, None
    try:
        for part in accumulate(name.split("."), "{}.{}".format):
            spec = PathFinder.find_spec(part, folders)
            if spec is None:
                return None
            folders = list(spec.submodule_search_locations or ())
    except (KeyError, ImportError, ValueError):  # a part of a namespace whose parent is not loaded
        return None
    return spec.origin if spec is not None and spec.has_location else None


def _state(path: str) -> State:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino)


def _tool_folders() -> list[str]:
    """Where tools lie that measure a run: they look for the data of other processes in the project's root."""
    specs = (PathFinder.find_spec(name) for name in _TOOLS)
    return [str(Path(spec.origin).parent) for spec in specs if spec is not None and spec.origin]


def _attributes(name: str) -> dict[str, Any]:
    return namespace(MODULES.get(name))


def _texts(places: Any) -> list[str]:
    """The folders of a package; of a namespace package they are no list. None of what a test made of it."""
    try:
        return [place for place in places if type(place) is str] if places is not None else []
    except Exception:
        return []


def _below(path: str, folders: Iterable[str]) -> bool:
    return any(path.startswith(folder + os.sep) or path == folder for folder in folders)


def _standard_library() -> set[str]:
    archives = [entry for entry in sys.path if entry.endswith(".zip")]
    return {*standard_folders(), *archives, *(os.path.realpath(path) for path in archives)}
