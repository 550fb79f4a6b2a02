"""Records what a process opens, lists, imports and reads from its environment, through the native audit hook.

The controller records from before the first conftest to the first fork, and each child while its tests run;
the template never records. docs/records.md states what the hook cannot see.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pytest_hotreload._native import (
    mark_function_files,
    observe,
    observe_again,
    observed,
    stop_observing,
    watch_environment,
    watch_functions,
    watch_imports,
)
from pytest_hotreload.compat import pytest_config
from pytest_hotreload.process.fork_state import namespace
from pytest_hotreload.process.inheritance import has_children
from pytest_hotreload.process.installed import site_folders
from pytest_hotreload.records import functions
from pytest_hotreload.records.functions import FunctionsRan
from pytest_hotreload.records.places import (
    STATE_FOLDERS,
    State,
    below,
    canonical,
    file_state,
    on_path,
    standard_library,
    tool_folders,
)
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

#: The name of a process without an audit event, such as one that native code starts. The system's accounting
#: shows such a process after it was waited for, and ``waitid`` shows one that still exists.
UNSEEN = "unseen"


class Observation(NamedTuple):
    """One observed event. ``_native.observed`` documents the kinds."""

    #: The first-party file whose body ran, the test file that was being collected, or "".
    owner: str
    kind: str
    subject: str
    #: (mtime in ns, ctime in ns, size, inode) at the first access, or None.
    state: State


class Module(NamedTuple):
    """A dotted name that the import system was asked for, and the first-party file that it resolved to."""

    owner: str
    name: str
    #: None if there is no such module, or if the module is not first-party although its package is.
    file: str | None


class Observed(NamedTuple):
    """Observations in the order of their first access; imports are kept separately as ``modules``."""

    rows: tuple[Observation, ...] = ()
    modules: tuple[Module, ...] = ()
    #: None if these are not the observations of a process to its end.
    functions: FunctionsRan | None = None


def joined(parts: Sequence[Observed]) -> Observed:
    """The rows and imports of several observations; functions are not joined."""
    return Observed(
        tuple(r for each in parts for r in each.rows), tuple(m for each in parts for m in each.modules)
    )


class Observer:
    """Switches the recording on and off, and decides which paths count. One exists per configured pytest."""

    def __init__(self, config: pytest.Config) -> None:
        self.root = str(config.rootpath)
        self.installed = site_folders()
        folders = {*self.installed, *standard_library(), str(pytest_config.cache_folder(config))}
        folders |= {str(Path(self.root, name)) for name in STATE_FOLDERS}
        # A project that tests pytest or this plugin has its package below the root: then the package is
        # first-party.
        self.callers = sorted({*pytest_config.package_folders(), str(Path(__file__).parents[1])})
        folders |= {folder for folder in self.callers if not below(folder, [self.root])}
        self.ignored = sorted(folders)
        self.callers += tool_folders()
        given = getattr(config.known_args_namespace, "basetemp", None)
        self.temporary = [tempfile.gettempdir(), *([str(Path(given).absolute())] if given else [])]
        self.active = False
        self._pid: int | None = None
        self._before: tuple[Module, ...] = ()
        self._learned = Observed()
        #: What a fixture process ran before this process was forked.
        self._inherited: FunctionsRan | None = None
        self._children: object = None
        self._alone = False
        #: The reason for which functions can't be watched, or "".
        self._unwatched = ""
        self._taken: list[tuple[str, str, str, State]] = []
        self._folders: dict[str, bool] = {}

    def collecting(self) -> None:
        """Begin to record in the controller. Called before the first conftest is loaded."""
        self._open(collecting=True)
        self._before = tuple(Module("", name, file) for name, file in self.loaded())

    def add(self, rows: list[tuple[str, str, str, State]]) -> None:
        """Add events that were seen before the recording began."""
        self._taken += rows

    def running(self, *, alone: bool = False) -> None:
        """Begin to record in a child, without any event.

        A fork of the collected controller has the hooks in place.
        ``alone``: only the tests start processes here.
        """
        if self._pid is None:
            self._open(collecting=False)
        else:
            observe_again()
        self.active = True
        self._before, self._taken = (), []
        self._children = resource.getrusage(resource.RUSAGE_CHILDREN)
        self._alone = alone and not has_children()

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
        self._unwatched = watch_functions(True) or ""
        self._pid, self.active = os.getpid(), True

    def peek(self) -> Observed:
        """The events so far; :meth:`end` returns them again.

        Used in a fork point of a watch between two forks.
        """
        self._taken += observed() if self.active else []
        return self._told(self._taken)

    def without_sources(self, call: Callable[[], object]) -> None:
        """Call a function of a tool, without what it reads of the sources of loaded modules."""
        self._taken += observed()
        try:
            call()
        finally:
            sources = {file for _, file in self.loaded()}
            self._taken += [
                row for row in observed() if row[1] not in ("read", "source") or row[2] not in sources
            ]

    def loaded(self) -> list[tuple[str, str]]:
        """The loaded first-party modules as (dotted name, file), in the order of their import."""
        found = ((name, self.file_of(name)) for name in list(MODULES) if type(name) is str)
        return [(name, file) for name, file in found if file]

    def end(self) -> Observed:
        """Stop recording and return the events, and the functions that ran since the last call.

        The wrappers for imports and the environment stay, but do nothing.
        """
        ran = self._functions()
        if self._inherited is not None:
            ran = functions.joined(self._inherited, ran)._replace(files=ran.files)
        return self._end()._replace(functions=ran)

    def end_before_forks(self) -> Observed:
        """As :meth:`end`. Processes that are forked from now on name only watched files that came later.

        What runs from here to the end of a child is the child's, so nothing between the two is lost.
        """
        ran = self._functions()
        mark_function_files(os.getpid())
        ran = ran._replace(mark=(ran.mark[0] + len(ran.files), os.getpid()))
        return self._end()._replace(functions=ran)

    def _end(self) -> Observed:
        rows = self._taken + observed()
        if self._children is not None and self._were_children():
            # If events named processes and none exists now, those events are taken to be complete.
            is_told = any(kind == "subprocess" for _, kind, _, _ in rows) and not self._are_children()
            rows += [("", "subprocess", UNSEEN, None), *([] if is_told else [("", "start", UNSEEN, None)])]
        self._taken, self._children = [], None
        stop_observing()
        self.active = False
        collects = gc.isenabled()
        # Some thousand tuples would trigger a collection of all imported objects: 60 ms in a heavy suite.
        gc.disable()
        try:
            return self._told(rows)
        finally:
            if collects:
                gc.enable()

    def _functions(self) -> FunctionsRan:
        if self._unwatched:
            return FunctionsRan(undivided=self._unwatched)
        return functions.take()

    def _were_children(self) -> bool:
        """Whether there were processes, perhaps without an event: waited for, or still alive."""
        waited_for = self._children != resource.getrusage(resource.RUSAGE_CHILDREN)
        return waited_for or self._are_children()

    def _are_children(self) -> bool:
        return self._alone and has_children()

    def _told(self, seen: list[tuple[str, str, str, State]]) -> Observed:
        # Installed code may cache what it reads for any later caller, so such an event belongs to every test
        # file.
        everybodys = {owner: "" for owner in {row[0] for row in seen} if below(owner, self.installed)}
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
        """A module that was looked up without an import, and the folders that were or could be a match for it."""
        module = self._module(owner, name)
        if module is None or module.file is not None:
            return module, []
        file = on_path(name)
        if file is not None:
            file = canonical(file)
            return (Module(owner, name, file), []) if self.is_first_party(file) else (None, [])
        inside = name.replace(".", os.sep)
        folders = [canonical(os.path.join(entry or os.curdir, inside)) for entry in sys.path]
        states = ((folder, file_state(folder)) for folder in folders if self.is_first_party(folder))
        return module, [Observation(owner, "read", folder, state) for folder, state in states]

    def abandon(self) -> None:
        """Restore the original state, in a fork that continues as if nothing had been recorded."""
        self._pid = os.getpid()
        self.close()

    def close(self) -> None:
        """Restore the original state, in the process that began to record."""
        if self._pid == os.getpid():
            stop_observing()
            watch_environment(False)
            watch_imports(False)
            watch_functions(False)
            self._pid = None

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Remove the wrappers of the environment while other code restores the functions below them."""
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
        """Record imports that a fork point makes for all later children.

        Each child reports them as its own.
        """
        self.running()
        self._children = (
            # A process that tries the import first is ours; one that installed code starts belongs to no
            # test.
            None
        )
        try:
            yield
        finally:
            self._learned = self._end()

    def hand_down(self) -> None:
        """Keep what was recorded since :meth:`running` for all processes that are forked from now on.

        Each reports it as its own. A fixture process calls this after its setups.
        """
        ran = self._functions()
        if self._inherited is not None:
            ran = functions.joined(self._inherited, ran)._replace(files=ran.files)
        self._inherited = ran
        self._learned = self._end()

    def _module(self, owner: str, name: str) -> Module | None:
        """The module, or None if it does not count: installed, standard library, or no module at all."""
        if name.rpartition(".")[2] == "conftest":
            # Pytest loads these: each file's conftest chain is known, and several may share one name.
            return None
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
        """Whether the package is first-party.

        A package without a file is judged by the folders in its ``__path__``.
        """
        places = _attributes(top).get("__path__")
        found = _texts(places)
        return bool(self.file_of(top)) or any(self.is_first_party(place) for place in found)

    def file_of(self, name: str) -> str:
        """The file of a loaded first-party module, or "".

        Reads only the module's namespace: the module may be lazy.
        """
        file = _attributes(name).get("__file__")
        if type(file) is not str or name == "__main__" or not file.startswith(os.sep):
            return ""
        file = canonical(file)
        folder = file.rpartition(os.sep)[0]
        if folder not in self._folders:
            self._folders[folder] = self.is_first_party(folder)
        return file if self._folders[folder] else ""

    def is_first_party(self, path: str) -> bool:
        """Whether a path is neither installed nor standard library, nor part of this plugin or of pytest."""
        return not below(path, self.ignored) and not below(path, self.callers)


def _attributes(name: str) -> dict[str, Any]:
    return namespace(MODULES.get(name))


def _texts(places: Any) -> list[str]:
    """The folders of a package's ``__path__``, which is no list for a namespace package.

    Returns nothing if a test replaced the value by an object that fails.
    """
    try:
        return [place for place in places if type(place) is str] if places is not None else []
    except Exception:
        return []
