"""Gives a run the modules that its template imported, each at the moment when the run imports it.

Between warming and that moment the modules are not in ``sys.modules``. A module is adopted, with all modules
that it imported, if every input that was read during their imports (``process/import_inputs.py``) has the
same value now. Otherwise the interpreter imports the module anew, and with it every module that imported it. A module
is adopted only if nobody can tell: its import printed nothing and warned of nothing, and no name of a module that it
imported was replaced since tests began (``process/import_names.py``).
"""

from __future__ import annotations

import sys
from _thread import RLock
from collections.abc import Callable, Collection, Iterable
from types import ModuleType
from typing import Any

from pytest_hotreload.process.import_answers import (
    Present,
    folder,
    names_in,
    place_of,
    set_variable,
    set_variables,
    state_of_folder,
    variables,
)
from pytest_hotreload.process.import_inputs import ModuleInputs, Recorder
from pytest_hotreload.process.import_names import ModuleNames
from pytest_hotreload.process.import_system import bootstrap, hidden, is_extension, reached
from pytest_hotreload.world import BUILTINS, MODULES, os

__builtins__ = BUILTINS

#: Inputs that a module reads again whenever it is used: coverage reads the current folder when it begins to
#: measure. multiprocessing keeps the folder in a constant, which is set when the module is adopted.
_ASKED_AGAIN = frozenset([("coverage.files", "folder"), ("multiprocessing.process", "folder")])
_MISSING = object()


class HeldModules:
    """The modules that a template imported and its forks have not imported yet."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        #: Every module of the template that was held back at least once.
        self.warmed: dict[str, ModuleType] = {}
        self.pending: dict[str, ModuleType] = {}
        #: Replaces the process, given a module and a reason, if native code would have to be imported a
        #: second time, which fails or is undefined. If None, warm modules are adopted as they are. This is
        #: the case in children whose fork point learned a module, since plain pytest would have the module
        #: from an earlier file.
        self.start_over: Callable[[str, str], None] | None = None
        self._place: dict[str, int] = {}
        #: Modules that stay in ``sys.modules``: those of pytest and hotreload, and the modules that these
        #: imported.
        self._base: dict[str, ModuleType] = {}
        self._attributes: set[str] = set()
        self._finders: list[Any] = []
        self._listed: dict[str, tuple[object, frozenset[str]]] = {}
        self._is_in_place = False
        #: Whether what an import prints and warns is shown: in a process of pytest. Isolated calls show nothing of it.
        self.is_heard = False
        #: The names of imported modules when tests began; None before.
        self._names: ModuleNames | None = None
        #: How many modules waited when the names were noted.
        self._waited = 0
        self._lock = RLock()
        self._ask_again = hidden(self._asking_again())

    # -- in the template ---------------------------------------------------------------------------

    def hold_back(self, kept: Collection[str], *, again: bool = False) -> None:
        """Remove all recorded modules except ``kept`` from ``sys.modules``.

        ``again``: modules that were held back before are still compared with the ``sys.modules`` of that
        time.
        """
        recorded = self.recorder.modules
        fresh = {name: module for name, module in MODULES.items() if name in recorded and name not in kept}
        self.pending.update(fresh)
        self.warmed.update(fresh)
        for name in fresh:
            del MODULES[name]
            self._place[name] = len(self._place)
        for name, module in fresh.items():
            self._detach(name, module)
        self._names = None
        if not (again and self._base):
            self._base, self._finders = dict(MODULES), list(sys.meta_path)
        self._take_back_variables()
        if not self._is_in_place:
            self._is_in_place = True
            bootstrap._find_and_load_unlocked = self._finding(bootstrap._find_and_load_unlocked)

    def _detach(self, name: str, module: ModuleType) -> None:
        """Remove the module's attribute from its parent package, which has it only after the module's import."""
        parent, _, last = name.rpartition(".")
        namespace = getattr(self.warmed.get(parent, MODULES.get(parent)), "__dict__", None)
        if isinstance(namespace, dict) and namespace.get(last) is module:
            del namespace[last]
            self._attributes.add(name)

    def _take_back_variables(self) -> None:
        """Undo the variables that held modules set; adoption of a module sets them again."""
        changes = sorted(
            (event.order, name in self.pending, event)
            for name, asked in self.recorder.modules.items()
            for event in asked.events
            if event.kind == "set"
        )
        theirs = {event.subject for _, is_held, event in changes if is_held}
        wanted = dict(variables())
        for _, _, event in reversed(changes):  # back to the value before the first change
            if event.subject in theirs:
                set_variable(wanted, event.subject, event.answer[0])
        for _, is_held, event in changes:
            if event.subject in theirs and not is_held:
                set_variable(wanted, event.subject, event.answer[1])
        set_variables(wanted)

    def restore(self) -> None:
        """Put all held modules back, so that the template can import more."""
        self._take(list(self.pending))

    # -- in a run ----------------------------------------------------------------------------------

    def before_tests(self, *, ahead: bool) -> None:
        """Note the names that waiting modules may bind. From now on, imports may be those of tests.

        ``ahead``: more will be imported before the tests, so the names of waiting modules count, too.
        """
        if self.pending and (self._names is None or (ahead and len(self.pending) != self._waited)):
            self._waited, self.is_heard = len(self.pending), True
            imported = {each for name in self.pending for each in self._asked(name).imports}
            known = {**self.pending, **MODULES} if ahead else MODULES
            self._names = ModuleNames({name: known[name] for name in imported & known.keys()})

    def _finding(self, plain: Any) -> Any:
        held, modules = self, MODULES

        def find(name: str, import_: Any, **lazily: Any) -> Any:
            # Python 3.15 says by a keyword that the name is an attribute of a package that may be a lazy submodule.
            if name in held.pending and held.adopt(name):
                return modules[name]
            return plain(name, import_, **lazily)

        return hidden(find)

    def adopt(self, name: str) -> bool:
        """Put the module and the modules that it imported into ``sys.modules``; False if it must be imported anew."""
        with self._lock:
            if name not in self.pending:  # another thread was faster
                return MODULES.get(name) is self.warmed.get(name)
            return self._adopt(name)

    def _adopt(self, name: str) -> bool:
        closure = self.closure(name)
        waiting = [each for each in closure if each in self.pending]
        try:
            wrong = self._wrong(closure) or self._visible(waiting)
        except Exception:  # a test replaced what the comparison looks at
            wrong = dict.fromkeys(waiting, "its inputs can't be compared")
        if not wrong:
            self._take(waiting)
            self._ask_again(waiting)
            return True
        anew = [each for each in waiting if wrong.keys() & set(self.closure(each))]
        native = [each for each in anew if is_extension(self.pending[each])]
        if native and self.start_over is None:
            self._take([each for each in waiting if each not in MODULES])
            return True
        if native and self.start_over is not None:
            self.start_over(*next(iter(wrong.items())))
        del self.pending[name]
        return False

    def closure(self, name: str) -> list[str]:
        """Return the module and all modules of the template that it imported, in the order of their import."""
        found = reached([name], lambda each: self._asked(each).imports & self.warmed.keys())
        return sorted(found, key=lambda each: self._place.get(each, -1))

    def _take(self, names: Iterable[str]) -> None:
        names = list(names)
        changes = [
            (event.order, event)
            for name in names
            for event in self._asked(name).events
            if event.kind == "set"
        ]
        for name in names:
            MODULES[name] = self.pending.pop(name)
        for name in names:
            if name in self._attributes:
                self._attributes.discard(name)
                parent, _, last = name.rpartition(".")
                if parent in MODULES:
                    setattr(MODULES[parent], last, MODULES[name])
        if "multiprocessing.process" in names:
            MODULES["multiprocessing.process"].__dict__["ORIGINAL_DIR"] = folder() or None
        if changes:
            wanted = dict(variables())
            for _, event in sorted(changes):
                set_variable(wanted, event.subject, event.answer[1])
            set_variables(wanted)

    def _asking_again(self) -> Any:
        """Build the function that shows the inputs of adopted modules to the observers of this process.

        The observers see the inputs as if the modules had been imported here. Otherwise a record, or a fork
        point of a watch, would not know that a module looks for another module that does not exist.
        """
        recorder, environment, audit = self.recorder, os.environ, sys.audit

        def ask_again(names: list[str]) -> None:
            for name in names:
                asked = recorder.modules.get(name)
                for top in asked.tops if asked is not None else ():
                    if recorder.found.get(top, 0) is None:
                        audit("import", top, None, sys.path, sys.meta_path, sys.path_hooks)
                for event in asked.events if asked is not None else ():
                    if event.kind == "environ":
                        environment.encodekey(os.fsdecode(event.subject))
                    elif event.kind == "environment":
                        next(iter(environment), None)
                    elif event.kind == "file":
                        audit("open", event.subject, "r", os.O_RDONLY)

        return ask_again

    def _asked(self, name: str) -> ModuleInputs:
        return self.recorder.modules.get(name) or ModuleInputs()

    # -- comparing ---------------------------------------------------------------------------------

    def _wrong(self, closure: list[str]) -> dict[str, str]:
        """Return the modules whose import would have a different result now -> the reason in words."""
        wrong: dict[str, str] = {}
        waiting = [name for name in closure if name in self.pending]
        offered, finders = self._offered(), self._new_finders()
        for name in closure:
            why = self._other_module(name)
            if not why and name in self.pending:
                why = self._other_names(self._asked(name).tops, offered, finders)
            if why:
                wrong[name] = why
        for name, why in self._other_answers(waiting).items():
            wrong.setdefault(name, why)
        return wrong

    def _visible(self, waiting: list[str]) -> dict[str, str]:
        """Return the modules whose adoption would be noticed -> the reason in words.

        Native code is left out: it can't be imported a second time.
        """
        if any(is_extension(self.pending[name]) for name in waiting):
            return {}
        asked = {name: self._asked(name) for name in waiting}
        imports = {name: each.imports for name, each in asked.items()}
        replaced = self._names.replaced(imports) if self._names is not None else {}
        loud = {name: "it prints or warns" for name, each in asked.items() if each.is_loud and self.is_heard}
        return loud | {name: f"{what} is another object now" for name, what in replaced.items()}

    def _other_module(self, name: str) -> str:
        """Return why this module, or one that it imported, was replaced by a different module; or ""."""
        present = MODULES.get(name, _MISSING)
        if present is not (_MISSING if name in self.pending else self.warmed[name]):
            return f"{name} is a different module now"
        for each in self._asked(name).imports if name in self.pending else ():
            if each in self._base and MODULES.get(each) is not self._base[each]:
                return f"{each} is a different module now"
        return ""

    def _other_names(self, asked: Collection[str], offered: frozenset[str], finders: list[Any]) -> str:
        """Return why a requested name may resolve differently, through a first-party folder or a new finder; or ""."""
        for top in asked:
            if top in self._base:
                continue
            if top in MODULES and top not in self.warmed:
                return f"there is a module {top} now"
            is_elsewhere = top in offered and self._spec_place(top) != self.recorder.found.get(top, _MISSING)
            if is_elsewhere or any(_finds(finder, top) for finder in finders):
                return f"{top} resolves to another file now"
        return ""

    def _new_finders(self) -> list[Any]:
        """Return the import hooks that the template did not have."""
        return [
            finder
            for finder in sys.meta_path
            if all(finder is not known for known in self._finders) and not _is_pytests(finder)
        ]

    def _spec_place(self, top: str) -> Any:
        try:
            return place_of(bootstrap._find_spec(top, None))
        except Exception:  # a foreign finder may raise anything
            return _MISSING

    def _offered(self) -> frozenset[str]:
        """Return the top-level names that the first-party folders of the search path contain."""
        found: frozenset[str] = frozenset()
        for entry in [entry for entry in sys.path if type(entry) is str]:
            if not self.recorder.is_installed((entry or folder()) + os.sep):
                found |= self._names_in(entry or folder())
        return found

    def _names_in(self, place: str) -> frozenset[str]:
        stamp = state_of_folder(place)
        if stamp is None:
            return frozenset()
        known = self._listed.get(place)
        if known is None or known[0] != stamp:
            names = frozenset(each.partition(".")[0] for each in names_in(place))
            known = self._listed[place] = stamp, names
        return known[1]

    def _other_answers(self, waiting: list[str]) -> dict[str, str]:
        """Compare the inputs in their original order, including the changes that earlier modules of the list make."""
        wrong: dict[str, str] = {}
        present = Present()
        events = [(event, name) for name in waiting for event in self._asked(name).events]
        for event, name in sorted(events, key=lambda each: each[0].order):
            why = "" if (name, event.kind) in _ASKED_AGAIN else present.differs(event)
            if why:
                wrong.setdefault(name, why)
        return wrong


def _is_pytests(finder: Any) -> bool:
    return type(finder).__module__ == "_pytest.assertion.rewrite"


def _finds(finder: Any, top: str) -> bool:
    find = getattr(finder, "find_spec", None)
    try:
        return find is not None and find(top, None) is not None
    except Exception:  # the finder would have failed in a normal import, too
        return True


#: The modules that this process's template imported, or this process itself if it is a template.
_held: HeldModules | None = None


def held() -> HeldModules | None:
    """Return the modules that this process may adopt, or None if it does not come from a template."""
    return _held


def hold(recorder: Recorder) -> HeldModules:
    """Begin to hold modules, in a template."""
    global _held
    _held = HeldModules(recorder)
    return _held


def module(name: str) -> Any:
    """Return a module that is loaded or waits to be adopted; None for all others."""
    found = MODULES.get(name)
    return found if found is not None or _held is None else _held.pending.get(name)


def is_warm(name: str) -> bool:
    """Return whether the template imported this module.

    A fork point learns nothing from a run that adopts or replaces such a module.
    """
    return _held is not None and name in _held.warmed


def pytest_begins() -> None:
    """From now on, what an import prints and warns is shown."""
    if _held is not None:
        _held.is_heard = True


def before_tests(*, ahead: bool = False) -> None:
    """Note the names of modules before a test can replace them (see :class:`HeldModules`).

    A process that waits for its run does so ``ahead``, because it takes 11 ms for 6,500 names.
    """
    if _held is not None:
        _held.before_tests(ahead=ahead)


def on_difference(start_over: Callable[[str, str], None]) -> None:
    """Set the function that replaces the process, in a fork of a template (see :class:`HeldModules`)."""
    if _held is not None:
        _held.start_over = start_over


def stay() -> None:
    """Disable starting over, in any other fork: it has no place from which it could start over."""
    if _held is not None:
        _held.start_over = None
