"""Records the inputs that modules read while they are imported into a template: variables, files, other modules.

``process/adoption.py`` compares the recorded answers with those that an import in a run would get. The
program of a watch's template executes this file before pytest is imported, so only the standard library is
imported at the top.
"""

from __future__ import annotations

import builtins
import importlib.util
import sys
from collections.abc import Callable, Iterable, Sequence
from types import ModuleType
from typing import Any

from pytest_hotreload.process.import_answers import (
    Event,
    folder,
    installed_folders,
    is_below,
    is_inside,
    listing,
    native_variables,
    place_of,
    shared_variables,
    state,
    variables,
)
from pytest_hotreload.process.import_system import (
    absolute,
    bootstrap,
    hidden,
    is_extension,
    parents,
    reached,
    stand_in,
)
from pytest_hotreload.world import os

#: Files below these folders differ from process to process, or are devices.
VOLATILE = ("/proc/", "/sys/", "/dev/")
#: Modules that list a folder only to find the names of distributions, not all entries.
_METADATA = ("importlib.metadata", "importlib_metadata", "pkg_resources")


class ModuleInputs:
    """The inputs that one module read while its body ran."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        #: Top-level names that were looked up by finders.
        self.tops: set[str] = set()
        #: Modules that were in ``sys.modules`` when this module imported them.
        self.imports: set[str] = set()
        #: Whether the import printed something or warned of something.
        self.is_loud = False
        self._known: dict[tuple[str, Any], Any] = {}

    def is_known(self, kind: str, subject: Any, answer: Any) -> bool:
        key = kind, subject
        if key in self._known and self._known[key] == answer:
            return True
        self._known[key] = answer
        return False


class Recorder:
    """Wraps the import system, ``os.environ`` and a few functions of ``os`` while recording is on."""

    def __init__(self, *, stands_in: bool = False, installed: Sequence[str] = ()) -> None:
        self.modules: dict[str, ModuleInputs] = {}
        #: Top-level name -> the place that its look-up found, or None if it found nothing.
        self.found: dict[str, Any] = {}
        #: First-party modules that were requested. None of them was imported.
        self.refused: list[str] = []
        #: First-party modules that were replaced by an empty module, and all modules that imported one of
        #: them.
        self.stand_ins: set[str] = set()
        #: Names that must not be imported, including their submodules.
        self.barred: tuple[str, ...] = ()
        self.stands_in = stands_in
        self._installed = (*installed_folders(), *(folder + os.sep for folder in installed))
        self._stack: list[ModuleInputs] = []
        self._finding = 0
        self._order = 0
        self._last = dict(variables())
        self._undo: list[Callable[[], None]] = []
        #: The id of a wrapper function -> the wrapper, and the function that it wraps.
        self._wrapped: dict[int, tuple[Any, Any]] = {}
        self._noted: Callable[[], list[str]] = list
        #: Returns a value that changes when something is printed or warned of.
        self.heard: Callable[[], Any] = lambda: None

    # -- the switch --------------------------------------------------------------------------------

    def start(self) -> None:
        """Start recording, in the main thread of a process that has no other threads."""
        if self._undo:
            return
        self._last = dict(variables())
        self._replace(bootstrap, "_load_unlocked", self._loading(bootstrap._load_unlocked))
        find = self._looking_up(bootstrap._find_spec)
        self._replace(bootstrap, "_find_spec", find)
        self._replace(importlib.util, "_find_spec", find)
        self._replace(builtins, "__import__", self._importing(builtins.__import__))
        self._replace(bootstrap, "_gcd_import", self._importing_by_name(bootstrap._gcd_import))
        self._replace(os.environ, "encodekey", self._reading(os.environ.encodekey))
        self._replace(os.environ, "decodekey", self._reading_all(os.environ.decodekey))
        for name, note in (
            ("getcwd", self._note_folder),
            ("stat", self._note_file),
            ("listdir", self._note_listing),
            ("scandir", self._note_listing),
        ):
            self._watch_function(sys.modules["os"], name, note)  # our own `os` is a copy

    def note_opens(self, noting: Callable[[bool], None], noted: Callable[[], list[str]]) -> None:
        """Also record opened files, which the native half observes."""
        noting(True)
        self._noted = noted
        self._undo.append(lambda: noting(False))

    def stop(self) -> None:
        """Restore all wrapped functions, also in modules that kept a reference to a wrapper."""
        while self._undo:
            self._undo.pop()()
        self._noted = list
        for name in self.modules:
            namespace = getattr(sys.modules.get(name), "__dict__", {})
            for key, value in list(namespace.items()) if isinstance(namespace, dict) else ():
                if id(value) in self._wrapped:
                    namespace[key] = self._wrapped[id(value)][1]
        self._wrapped.clear()

    def _replace(self, owner: Any, name: str, ours: Any) -> None:
        plain = getattr(owner, name)
        setattr(owner, name, ours)
        self._undo.append(lambda: setattr(owner, name, plain))

    def _watch_function(self, owner: Any, name: str, note: Callable[..., None]) -> None:
        plain = getattr(owner, name)

        def watched(*args: Any, **kwargs: Any) -> Any:
            if self._stack and not self._finding:
                note(*args, **kwargs)
            return plain(*args, **kwargs)

        self._wrapped[id(watched)] = watched, plain
        self._replace(owner, name, watched)
        for group in ("supports_fd", "supports_dir_fd", "supports_follow_symlinks"):
            if plain in getattr(os, group):
                getattr(os, group).add(watched)
                self._undo.append(lambda group=group: getattr(os, group).discard(watched))  # type: ignore[misc]

    # -- modules -----------------------------------------------------------------------------------

    def _loading(self, plain: Any) -> Any:
        def load(spec: Any) -> Any:
            self._settle()
            asked = self.modules[spec.name] = ModuleInputs()
            asked.tops.add(spec.name.partition(".")[0])
            if self._stack:
                self._imported(spec.name)
            count, heard = len(sys.modules), self.heard()
            self._stack.append(asked)
            try:
                module = plain(spec)
            except BaseException:
                self.modules.pop(spec.name, None)
                self._failed(asked)
                raise
            finally:
                self._settle()
                self._stack.pop()
            asked.is_loud = self.heard() != heard
            self._finish(spec.name, module, asked, count)
            return module

        return hidden(load)

    def _failed(self, asked: ModuleInputs) -> None:
        """Charge the failed import's inputs to its importer: a module that catches the error depends on them."""
        if len(self._stack) > 1:
            self._settle()
            importer = self._stack[-2]
            importer.events += asked.events
            importer.tops |= asked.tops
            importer.imports |= asked.imports

    def _finish(self, name: str, module: Any, asked: ModuleInputs, count: int) -> None:
        """Record the imports that only show afterwards.

        These are the module's parents, stand-ins that its body put into ``sys.modules``, and modules that
        native code refers to.
        """
        asked.imports.update(parents(name))
        for alias in list(sys.modules)[count:]:
            if alias not in self.modules and alias not in self.stand_ins:
                self.modules[alias] = own = ModuleInputs()
                own.imports.add(name)
                asked.imports.add(alias)
        if is_extension(module):
            if not self.is_standard(module):
                self._order += 1
                asked.events.append(Event(self._order, "native", "", native_variables(variables())))
            for value in list(getattr(module, "__dict__", {}).values()):
                other = (
                    value.__name__ if type(value) is ModuleType else getattr(type(value), "__module__", "")
                )
                if isinstance(other, str) and other in self.modules and other != name:
                    asked.imports.add(other)

    def _imported(self, name: str) -> None:
        if self._stack and name in sys.modules:
            self._stack[-1].imports.update((name, *parents(name)))
        elif self._stack:
            self._stack[-1].imports.update(parents(name))

    def _importing(self, plain: Any) -> Any:
        def import_(
            name: Any, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0
        ) -> Any:
            module = plain(name, globals, locals, fromlist, level)
            if self._stack and isinstance(name, str):
                full = absolute(name, globals, level)
                self._imported(full)
                for each in fromlist or ():
                    if isinstance(each, str) and f"{full}.{each}" in sys.modules:
                        self._imported(f"{full}.{each}")
            return module

        return import_

    def _importing_by_name(self, plain: Any) -> Any:
        def import_(name: str, package: Any = None, level: int = 0) -> Any:
            module = plain(name, package, level)
            found = getattr(getattr(module, "__spec__", None), "name", None)
            self._imported(found if isinstance(found, str) else name)
            return module

        return hidden(import_)

    # -- first-party modules -------------------------------------------------------------------------

    def forget_stand_ins(self) -> None:
        """Remove the empty modules and all modules that imported one; each is imported anew when it is needed."""
        self.stands_in = False
        tainted = self.importing(self.stand_ins)
        for name in tainted:
            sys.modules.pop(name, None)
            self.modules.pop(name, None)
        self.stand_ins.clear()

    def importing(self, names: Iterable[str]) -> set[str]:
        """Return these modules and all modules that imported one of them, directly or indirectly."""
        importers: dict[str, list[str]] = {}
        for name, asked in self.modules.items():
            for each in asked.imports:
                importers.setdefault(each, []).append(name)
        return reached(names, lambda name: importers.get(name, ()))

    def imported_by(self, names: Iterable[str]) -> set[str]:
        """Return these modules and all modules that they imported, directly or indirectly."""
        return reached(names, lambda name: self.modules[name].imports if name in self.modules else ())

    # -- look-ups ----------------------------------------------------------------------------------

    def _looking_up(self, plain: Any) -> Any:
        def find(name: str, path: Any, target: Any = None) -> Any:
            if self.is_barred(name):
                self.refused.append(name)
                raise ModuleNotFoundError(f"{name} is not imported in the template", name=name)
            if name.rpartition(".")[0] in self.stand_ins:
                return self._stand_in(name)
            self._settle()
            self._finding += 1
            try:
                spec = plain(name, path, target)
            finally:
                self._finding -= 1
                self._noted()
            if "." not in name:
                self.found.setdefault(name, place_of(spec))
                if self._stack:
                    self._stack[-1].tops.add(name)
            return self._judged(name, spec)

        return hidden(find)

    def is_barred(self, name: str) -> bool:
        """Return whether a module is kept out of the template by its name."""
        return is_inside(name, self.barred)

    def _judged(self, name: str, spec: Any) -> Any:
        """Return the spec of an installed module; refuse or replace a first-party module."""
        if self.is_installed_spec(spec):
            return spec
        if self.stands_in:
            return self._stand_in(name)
        self.refused.append(name)
        raise ModuleNotFoundError(f"{name} is not imported in the template", name=name)

    def _stand_in(self, name: str) -> Any:
        self.stand_ins.add(name)
        return stand_in(name)

    def is_installed_spec(self, spec: Any) -> bool:
        """Return whether a module is installed, belongs to the standard library, or was not found."""
        if spec is None:
            return True
        if spec.has_location and spec.origin:
            return self.is_installed(str(spec.origin))
        return all(self.is_installed(str(place) + os.sep) for place in spec.submodule_search_locations or ())

    def is_installed(self, path: str) -> bool:
        return is_below(path, self._installed)

    def is_standard(self, module: Any) -> bool:
        """Return whether a module belongs to the standard library."""
        return str(module.__name__).partition(".")[0] in sys.stdlib_module_names

    # -- variables ---------------------------------------------------------------------------------

    def _reading(self, plain: Any) -> Any:
        def encode(name: Any) -> Any:
            key = plain(name)
            if self._stack:
                self._note("environ", key, variables().get(key))
            return key

        return encode

    def _reading_all(self, plain: Any) -> Any:
        def decode(key: Any) -> Any:
            if self._stack:
                self._note("environment", "", shared_variables(variables()))
            return plain(key)

        return decode

    # -- files -------------------------------------------------------------------------------------

    def _note_folder(self) -> None:
        self._note("folder", "", folder())

    def _note_file(self, path: Any = None, *_: Any, dir_fd: object = None, **__: Any) -> None:
        name = _name(path)
        if name and dir_fd is None and not self._is_constant(name):
            self._note("file", name, state(name))

    def _note_listing(self, path: Any = ".", *_: Any) -> None:
        name = _name(path)
        if name and not self._is_constant(name):
            kind = "distributions" if _asks_for_metadata() else "listing"
            self._note(kind, name, listing(name, kind))

    def _is_constant(self, name: str) -> bool:
        return name.startswith(VOLATILE) or (name.startswith(os.sep) and self.is_installed(name + os.sep))

    # -- noting ------------------------------------------------------------------------------------

    def _note(self, kind: str, subject: Any, answer: Any) -> None:
        if not self._stack[-1].is_known(kind, subject, answer):
            self._order += 1
            self._stack[-1].events.append(Event(self._order, kind, subject, answer))

    def _settle(self) -> None:
        """Charge all changes since the last call to the module whose body ran."""
        opened, present = self._noted(), variables()
        if present != self._last:
            before, self._last = self._last, dict(present)
            for key in {*before, *present} if self._stack else ():
                if before.get(key) != present.get(key):
                    self._order += 1
                    change = Event(self._order, "set", key, (before.get(key), present.get(key)))
                    self._stack[-1].events.append(change)
        for name in opened if self._stack else ():
            if not self._is_constant(name):
                self._note("file", name, state(name))


def _name(path: Any) -> str:
    """Return a path as text, or "" for a descriptor."""
    try:
        return "" if isinstance(path, int) else os.fsdecode(os.fspath("." if path is None else path))
    except TypeError:
        return ""


def _asks_for_metadata() -> bool:
    frame: Any = sys._getframe(2)
    for _ in range(12):
        if frame is None:
            return False
        if str(frame.f_globals.get("__name__")).startswith(_METADATA):
            return True
        frame = frame.f_back
    return False
