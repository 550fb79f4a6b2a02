"""Finds the state that plugins' session-end hooks read, by following their code.

A plugin or conftest that gathers data while tests run keeps the data somewhere: in a global of a module, in
an attribute of its own object, of the config or of a class, or in a closure. Its session-end hooks read the
data there. The bytecode reveals these places: names that a hook loads, functions that it calls, attributes
that it reads.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any

import pytest

from pytest_hotreload.compat import pytest_config
from pytest_hotreload.process import foreign
from pytest_hotreload.process.installed import is_installed

#: Hooks that run in the controller after the last test.
AT_END = ("pytest_sessionfinish", "pytest_terminal_summary", "pytest_unconfigure")
#: Hooks that run in the controller for each test.
PER_TEST = (
    "pytest_runtest_logreport",
    "pytest_runtest_logstart",
    "pytest_runtest_logfinish",
    "pytest_report_teststatus",
)
#: Hooks that run in the child.
IN_CHILD = (
    "pytest_runtest_protocol",
    "pytest_runtest_setup",
    "pytest_runtest_call",
    "pytest_runtest_teardown",
    "pytest_runtest_makereport",
    "pytest_pyfunc_call",
    "pytest_fixture_setup",
    "pytest_fixture_post_finalizer",
    "pytest_exception_interact",
    "pytest_assertrepr_compare",
    "pytest_assertion_pass",
)
#: Names that code uses to read attributes without naming them.
ALL_ATTRIBUTES = {"__dict__", "vars", "asdict", "pickle", "deepcopy", "dumps", "dump"}
#: Packages whose state need not be carried: pytest's and ours, and those that ``compat/plugins.py`` handles
#: separately.
_KNOWN = {
    "_pytest",
    "pytest",
    "pluggy",
    "pytest_hotreload",
    "hotreload_recorder",
    "xdist",
    "execnet",
    "pytest_cov",
    "coverage",
    # Its hooks pause the patches of the process that they run in, and the controller has none.
    "pyfakefs",
    # Each process writes its own results; the listener keys its data by addresses of objects.
    "allure_pytest",
    "allure_commons",
}
_MOST_FUNCTIONS = 2000
_MOST_ELEMENTS = 50
_CONTAINERS = (list, tuple, set, frozenset, dict)


@dataclass
class Owner:
    """A package of plugins, or a conftest, whose hooks read the state."""

    #: The name by which the user knows the owner.
    label: str
    package: str
    plugins: list[Any] = field(default_factory=list)
    #: Objects that a script passed to ``pytest.main``, and may read when the run is over.
    passed: list[Any] = field(default_factory=list)


def owners(config: pytest.Config) -> list[Owner]:
    """Return all plugins whose state the controller reads, by package or conftest.

    These have a session-end hook or a hook for each test, or are objects that were passed to ``pytest.main``.
    """
    found: dict[str, Owner] = {}
    ending = {
        id(plugin)
        for hook in (*AT_END, *PER_TEST)
        for plugin in pytest_config.implementing_plugins(config, hook)
    }
    given = config.invocation_params.plugins or ()
    passed = {id(plugin) for plugin in given if type(plugin) not in (str, ModuleType)}
    needed = set()
    for name, plugin in config.pluginmanager.list_name_plugin():
        module = _module_name(plugin)
        if plugin is None or module.partition(".")[0] in _KNOWN:
            continue
        file = getattr(sys.modules.get(module), "__file__", None) or ""
        if type(plugin) is ModuleType:
            file = foreign.module_dict(plugin).get("__file__") or ""
        key, label = _identity(config, module, file, name)
        owner = found.setdefault(key, Owner(label, module.partition(".")[0]))
        owner.plugins.append(plugin)
        if id(plugin) in passed:
            owner.passed.append(plugin)
        if id(plugin) in ending or id(plugin) in passed:
            needed.add(key)
    return [owner for key, owner in found.items() if key in needed]


def _module_name(plugin: Any) -> str:
    if type(plugin) is ModuleType:
        return str(foreign.module_dict(plugin).get("__name__", ""))
    return foreign.module_of(plugin if foreign.is_a(plugin, type) else type(plugin))


def _identity(config: pytest.Config, module: str, file: str, name: str) -> tuple[str, str]:
    """Return (the owner's key, the name by which the user knows the owner)."""
    path = Path(file)
    if path.is_relative_to(config.rootpath) and not is_installed(file):
        return file, path.relative_to(config.rootpath).as_posix()
    top = module.partition(".")[0]
    return top or name, top.replace("_", "-") or name


@dataclass
class Reached:
    """The state that code can read, starting from certain hooks."""

    #: Every name that occurs, including attributes.
    names: set[str] = field(default_factory=set)
    #: Namespaces of modules by id, each with the names that the code looks up in it.
    globals_of: dict[int, tuple[dict[str, Any], set[str]]] = field(default_factory=dict)
    classes: dict[int, type] = field(default_factory=dict)
    instances: dict[int, Any] = field(default_factory=dict)
    cells: dict[int, tuple[CellType, str]] = field(default_factory=dict)
    defaults: dict[int, tuple[Any, str]] = field(default_factory=dict)
    functions: dict[int, FunctionType] = field(default_factory=dict)
    modules: dict[int, dict[str, Any]] = field(default_factory=dict)

    def common(self, other: Reached) -> Reached:
        """Return the state that both these hooks and the other ones can read."""
        theirs = other.values()
        namespaces = {}
        for key, (namespace, names) in self.globals_of.items():
            asked = other.globals_of[key][1] if key in other.globals_of else set()
            namespaces[key] = namespace, {n for n in names if n in asked or id(namespace.get(n)) in theirs}
        return Reached(
            self.names & other.names,
            namespaces,
            {key: kind for key, kind in self.classes.items() if key in other.classes},
            {key: thing for key, thing in self.instances.items() if key in other.instances},
            {key: cell for key, cell in self.cells.items() if key in other.cells},
            {key: value for key, value in self.defaults.items() if key in other.defaults},
            self.functions,
        )

    def values(self) -> set[int]:
        """Return the ids of the values of modules' names; a value may be imported under another name."""
        found = {id(ns.get(name)) for ns, names in self.globals_of.values() for name in names}
        return found - {id(None), id(True), id(False)}

    def files(self) -> set[str]:
        """Return the source files of the code."""
        return {function.__code__.co_filename for function in self.functions.values()}

    def stash_keys(self) -> Iterator[tuple[Any, str]]:
        """Yield the keys of pytest's stash that the code names."""
        for namespace, names in self.globals_of.values():
            for name in sorted(names):
                if type(namespace.get(name)).__name__ == "StashKey":
                    yield namespace[name], f"{namespace.get('__name__')}.{name}"

    def texts(self) -> set[str]:
        """Return the values of the names that hold a text: attributes may be named by a constant of a module."""
        values = (ns.get(name) for ns, names in self.globals_of.values() for name in names)
        return {value for value in values if type(value) is str}

    def size(self) -> int:
        """Return a number that grows with each step that finds something."""
        asked = sum(len(names) for _, names in self.globals_of.values())
        return len(self.functions) + len(self.instances) + len(self.classes) + len(self.names) + asked


class HookReader:
    """Follows the code of an owner's hooks."""

    def __init__(self, config: pytest.Config, owner: Owner, packages: Iterable[str]) -> None:
        self.config, self.owner = config, owner
        self._packages = {owner.package, *packages} - _KNOWN - {""}
        self._allowed: dict[str, bool] = {}

    def follow(self, hooks: Iterable[str], *, fixtures: bool = False) -> Reached:
        """Return everything that these hooks of the owner can read; with ``fixtures``, also its fixtures."""
        found = Reached()
        for plugin in self.owner.plugins:
            for name in hooks:
                self._visit(found, _attribute(plugin, name))
            if fixtures and type(plugin) is ModuleType:
                for value in list(foreign.module_dict(plugin).values()):
                    if type(value).__name__ == "FixtureFunctionDefinition":
                        self._visit(found, value)
            if found.functions and type(plugin) is not ModuleType:
                self._add_instance(found, plugin)
        self._fixpoint(found)
        return found

    def _fixpoint(self, found: Reached) -> None:
        before = -1
        while before != (before := found.size()) and len(found.functions) <= _MOST_FUNCTIONS:
            for function in list(found.functions.values()):
                self._look_up(found, function)
            for kind in list(found.classes.values()):
                for name, value in list(foreign.class_dict(kind).items()):
                    if name in found.names or name[:2] == "__":
                        self._visit(found, value)
            for thing in (*found.instances.values(), self.config):
                for _, value in named(thing, found.names):
                    self._visit(found, value)
            for namespace in list(found.modules.values()):
                asked = found.globals_of[id(namespace)][1]
                for name in found.names & namespace.keys() - asked:
                    self._ask(found, namespace, name, asked)

    def _look_up(self, found: Reached, function: FunctionType) -> None:
        namespace = function.__globals__
        asked = found.globals_of.setdefault(id(namespace), (namespace, set()))[1]
        package = namespace.get("__package__") or ""
        for name in names_in(function.__code__):
            found.names.add(name)
            if name not in asked:
                self._ask(found, namespace, name, asked)
                for module in (name, f"{package}.{name}"):  # imported in the function's body
                    if name not in namespace and module in sys.modules:
                        self._visit(found, sys.modules[module])

    def _ask(self, found: Reached, namespace: dict[str, Any], name: str, asked: set[str]) -> None:
        if namespace is foreign.module_dict(pytest) and name in pytest_config.NAMES_OF_PYTEST:
            return
        asked.add(name)
        if name in namespace:
            self._visit(found, namespace[name])

    def _visit(self, found: Reached, value: Any) -> None:
        function = foreign.function_of(value)
        if function is not None:
            self._add_function(found, function)
        elif foreign.is_a(value, type):
            if self.allowed(foreign.module_of(value)):
                self._add_class(found, value)
        elif type(value) is ModuleType:
            self._add_module(found, value)
        elif type(value) in _CONTAINERS:
            for each in _some(value):
                if type(each) not in _CONTAINERS:
                    self._visit(found, each)
        elif self.allowed(foreign.module_of(type(value))):
            self._add_instance(found, value)

    def _add_function(self, found: Reached, function: FunctionType) -> None:
        if id(function) in found.functions or not self.allowed(str(function.__module__)):
            return
        found.functions[id(function)] = function
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
            found.cells[id(cell)] = cell, f"{function.__qualname__}.{name}"
            with contextlib.suppress(ValueError):  # the cell is still empty
                self._visit(found, cell.cell_contents)
        for value in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
            found.defaults[id(value)] = value, f"{function.__qualname__}()"
            self._visit(found, value)
        wrapped = function.__dict__.get("__wrapped__")
        if wrapped is not None:
            self._visit(found, wrapped)

    def _add_class(self, found: Reached, kind: type) -> None:
        for base in foreign.mro(kind):
            if self.allowed(foreign.module_of(base)):
                found.classes[id(base)] = base

    def _add_instance(self, found: Reached, thing: Any) -> None:
        if id(thing) not in found.instances:
            found.instances[id(thing)] = thing
            self._add_class(found, type(thing))

    def _add_module(self, found: Reached, module: ModuleType) -> None:
        namespace = foreign.module_dict(module)
        name = str(namespace.get("__name__", ""))
        if name == "pytest" or self.allowed(name):
            found.globals_of.setdefault(id(namespace), (namespace, set()))
            found.modules[id(namespace)] = namespace

    def allowed(self, module: str) -> bool:
        """Whether to follow code in this module: the owner's, another plugin's, or the user's."""
        known = self._allowed.get(module)
        if known is None:
            top = module.partition(".")[0]
            file = str(getattr(sys.modules.get(module), "__file__", None) or "")
            first_party = bool(file) and not is_installed(file) and top not in sys.stdlib_module_names
            known = top not in _KNOWN and (top in self._packages or first_party)
            self._allowed[module] = known
        return known


def child_hooks(owner: Owner) -> list[str]:
    """Return the owner's hooks that run in children: pytest's, and those that other plugins define."""
    names: set[str] = set()
    for plugin in owner.plugins:
        if type(plugin) is ModuleType:
            held: Iterable[str] = foreign.module_dict(plugin)
        else:
            kind = plugin if foreign.is_a(plugin, type) else type(plugin)
            held = {name for base in foreign.mro(kind) for name in foreign.class_dict(base)}
        names |= {name for name in held if name.startswith("pytest_")}
    return sorted(name for name in names if name in IN_CHILD or not pytest_config.is_pytests_hook(name))


def _attribute(plugin: Any, name: str) -> Any:
    """Return the plugin's hook as it is defined, without binding it."""
    if type(plugin) is ModuleType:
        return foreign.module_dict(plugin).get(name)
    held = foreign.attribute_dict(plugin) or {}
    if name in held:
        return held[name]
    kind = plugin if foreign.is_a(plugin, type) else type(plugin)
    return next((d[name] for base in foreign.mro(kind) if name in (d := foreign.class_dict(base))), None)


def pytests_attributes(kind: type) -> set[str]:
    """Return the attributes that constructors of pytest's classes set, as of a terminal reporter that is derived."""
    found: set[str] = set()
    for base in foreign.mro(kind):
        if foreign.module_of(base).partition(".")[0] in ("_pytest", "pytest"):
            made = foreign.function_of(foreign.class_dict(base).get("__init__"))
            found.update(made.__code__.co_names if made is not None else ())
    return found


def named(thing: Any, names: set[str]) -> Iterator[tuple[str, Any]]:
    """Yield the attributes of the instance whose name is one of ``names``."""
    held = foreign.attribute_dict(thing) or {}
    for name in held.keys() & names:
        yield name, held[name]


def _some(container: Any) -> list[Any]:
    values = dict.values(container) if type(container) is dict else container
    return [each for each, _ in zip(values, range(_MOST_ELEMENTS), strict=False)]


def names_in(code: CodeType) -> set[str]:
    """Return the names that the code, and code inside it, loads or stores.

    Names in its strings count, too, because of ``getattr``.
    """
    found = set(code.co_names)
    for constant in code.co_consts:
        if type(constant) is CodeType:
            found |= names_in(constant)
        elif type(constant) is str and constant.isidentifier():
            found.add(constant)
    return found
