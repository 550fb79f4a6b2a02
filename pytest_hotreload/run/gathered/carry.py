"""Carries the data that plugins gather in children to the controller, where their session-end hooks read it.

Before the first fork, the objects that those hooks read (``end_hooks.py``) are noted with their content. At
its end, a child compares, and sends the additions: elements of lists and sets, keys of dicts and attributes,
counts. The controller adds them to its own objects, in pytest's order of files. So each child's part is added
once, as plain pytest's single process would have added it.

Data that changed in any other way, or can't be pickled, is named in one line at the end of the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary

from pytest_hotreload.compat import pytest_config
from pytest_hotreload.process import foreign, proc
from pytest_hotreload.run.gathered.containers import (
    ATOMS,
    MISSING,
    Container,
    Keyed,
    Members,
    Names,
    Sequence,
    Text,
    container_of,
)
from pytest_hotreload.run.gathered.end_hooks import (
    ALL_ATTRIBUTES,
    AT_END,
    PER_TEST,
    HookReader,
    Owner,
    Reached,
    child_hooks,
    owners,
    pytests_attributes,
)
from pytest_hotreload.run.gathered.item_attributes import ItemAttributes
from pytest_hotreload.run.gathered.known_objects import KnownObjects
from pytest_hotreload.world import BUILTINS, pickle, pytest

__builtins__ = BUILTINS

#: The maximum number of noted objects. Noting 20,000 takes 15 ms.
_MOST_CONTAINERS = 20_000
#: The attribute of a report that holds the values which weak dictionaries of plugins have for this report.
_HELD = "_hotreload_held"

#: The first part of the paths of objects that hang on the config or the session.
_CONFIG, _SESSION = "config", "session"


def note(
    session: pytest.Session, skip: Iterable[object] = (), say: Callable[[str], None] = lambda _: None
) -> GatheredState | None:
    """Note the state that session-end hooks read, with its content; None if no plugin has such a hook.

    ``skip`` holds plugins that hand over their data by xdist's convention. ``say`` receives the reason if an
    error prevents this.
    """
    try:
        return GatheredState(session, {id(plugin) for plugin in skip}) or None
    except Exception as error:  # objects of plugins may raise anything: an optional feature never fails a run
        say(
            f"data that plugins gather is not sent to the controller: {type(error).__name__}: {error}".splitlines()[
                0
            ]
        )
        return None


class GatheredState:
    """The state that the session-end hooks of one session read.

    The controller and its children hold the same, inherited object. ``containers`` is keyed by path, which is
    the same text in every process that collected this session.
    """

    def __init__(self, session: pytest.Session, skip: set[int]) -> None:
        self.session, self.config = session, session.config
        self.containers: dict[str, Container] = {}
        self.known = KnownObjects(session)
        self.held: dict[str, WeakKeyDictionary[Any, Any]] = {}
        self.of_items = ItemAttributes(self.config)
        self.problems: list[tuple[str, str, str]] = []
        self._sent: dict[tuple[str, bytes], bytes] = {}
        self._sent_paths: set[str] = set()
        self._taken: dict[str, set[str]] = {}
        self.implementing = pytest_config.implementing_plugins(self.config, "pytest_hotreload_gather")
        skip |= {id(plugin) for plugin in self.implementing}
        found = [
            each for each in owners(self.config) if not any(id(plugin) in skip for plugin in each.plugins)
        ]
        packages = [owner.package for owner in found]
        self.sources: dict[str, list[str]] = {}
        for owner in found:
            self._note(owner, packages)
        for container in self.containers.values():
            container.note()
        #: The containers that hooks for each test read; mostly none.
        self._live = [container for container in self.containers.values() if container.live]

    def __bool__(self) -> bool:
        return bool(self.containers or self.held or self.of_items or self.implementing)

    # -- noting the state ------------------------------------------------------------------------

    def _note(self, owner: Owner, packages: list[str]) -> None:
        reader = HookReader(self.config, owner, packages)
        in_child = reader.follow(child_hooks(owner), fixtures=True)
        per_test = reader.follow(PER_TEST)
        if in_child.functions:
            self._add(owner, per_test.common(in_child), live=True)
        at_end = reader.follow(AT_END)
        self._add(owner, at_end, live=False)
        if in_child.functions:
            self._add_passed(owner)
        self.sources[owner.label] = sorted({*at_end.files(), *in_child.files()})
        self.of_items.note(owner.label, at_end, per_test)

    def _add(self, owner: Owner, found: Reached, *, live: bool) -> None:
        for namespace, names in found.globals_of.values():
            data = {name for name in names if not _is_code(namespace.get(name))}
            self._walk(Names(str(namespace.get("__name__")), owner.label, namespace, live, names=data))
        for kind in found.classes.values():
            data = found.names - {n for n, v in foreign.class_dict(kind).items() if _is_code(v)}
            self._walk(
                Names(f"{foreign.module_of(kind)}.{kind.__qualname__}", owner.label, kind, live, names=data)
            )
        everything = found.names & ALL_ATTRIBUTES
        for number, thing in enumerate(found.instances.values()):
            path = f"{owner.label}<{foreign.module_of(type(thing))}.{type(thing).__qualname__}#{number}>"
            own = pytests_attributes(type(thing))
            held = set(foreign.attribute_dict(thing) or {}) if everything and own else set()
            wanted = None if everything and not own else (found.names | held) - own
            self._walk(Names(path, owner.label, thing, live, names=wanted))
        for cell, path in found.cells.values():
            self._walk(Names(f"{owner.label}:{path}", owner.label, cell, live))
        for value, path in found.defaults.values():
            self._visit(value, f"{owner.label}:{path}", owner.label, live)
        self._add_pytests(owner, found, live)

    def _add_passed(self, owner: Owner) -> None:
        """Note all attributes of the objects that a script passed to ``pytest.main``, and reads afterwards."""
        for number, thing in enumerate(owner.passed):
            kind = type(thing)
            path = f"{owner.label}<passed {foreign.module_of(kind)}.{kind.__qualname__}#{number}>"
            self._walk(Names(path, owner.label, thing, live=False))

    def _add_pytests(self, owner: Owner, found: Reached, live: bool) -> None:
        """Note the attributes and stash entries that plugins set on the config and the session."""
        for thing, path in ((self.config, _CONFIG), (self.session, _SESSION)):
            taken = self._taken.setdefault(path, set())
            names = found.names - pytest_config.own_attributes(thing) - taken
            taken |= names
            self._walk(Names(f"{path}<{owner.label}>", owner.label, thing, live, names=names), again=True)
            stored = pytest_config.stash_content(thing) if "stash" in found.names else None
            for key, name in found.stash_keys() if stored is not None else ():
                self.known.add(key, f"key {name}")
                if f"{path}.stash[{name}]" not in self.containers:
                    container = Keyed(f"{path}.stash[{name}]", owner.label, stored, live, only=key)
                    self._walk(container, again=True)

    def _walk(self, container: Container, *, again: bool = False) -> None:
        """Note a container, and all that is in it."""
        if len(self.containers) >= _MOST_CONTAINERS:
            return
        known = self.known.paths.get(id(container.thing))
        if known is not None and not again and type(self.containers.get(known)) is type(container):
            self._widen(self.containers[known], container)
            return
        if not again:
            self.known.add(container.thing, container.path)
        self.containers[container.path] = container
        for step, value in _inside(container):
            self._visit(value, container.path + step, container.owner, container.live)

    def _widen(self, known: Container, container: Container) -> None:
        """Add more names to an object that is noted already."""
        if isinstance(known, Names) and isinstance(container, Names) and known.names is not None:
            new = None if container.names is None else container.names - known.names
            known.names = None if new is None else known.names | new
            for step, value in _inside(known):
                if new is None or step[1:] in new:
                    self._visit(value, known.path + step, known.owner, known.live)

    def _visit(self, value: Any, path: str, label: str, live: bool) -> None:
        if id(value) in self.known.paths:
            return
        if type(value) in (tuple, frozenset):
            for number, each in enumerate(value):
                self._visit(each, f"{path}[{number}]", label, live)
        elif foreign.is_a(value, WeakKeyDictionary):
            if live:
                self.held[path] = value
        else:
            container = container_of(value, path, label)
            if container is not None:
                container.live = live
                self._walk(container)

    def holder_of(self, things: Iterable[Any]) -> str:
        """Return the owner of a container that now holds one of these objects, in words; "" if none does."""
        wanted = {id(thing) for thing in things if type(thing) not in ATOMS}
        for container in self.containers.values():
            content = container.content()
            values = content.values() if type(content) is dict else content
            if type(content) is not str and any(id(value) in wanted for value in values):
                return container.owner
        return ""

    # -- in the child ------------------------------------------------------------------------------

    def changes(
        self, *, live: bool = False, last: bool = False, item: pytest.Item | None = None
    ) -> bytes | None:
        """Return the additions since the last call, or None. Never raises because of the objects it reads.

        ``live``: what hooks that pytest calls with a report read, also on the ``item``.
        """
        operations = self._ask_plugins() if last else []
        if item is not None and self.of_items:
            operations += self.of_items.live(item)
        for container in self._live if live else list(self.containers.values()):
            try:
                operations += self._compare(container)
            except Exception as error:
                self._problem(container, "", error)
        problems, self.problems = self.problems, []
        return pickle.dumps((operations, problems), 5) if operations or problems else None

    def _ask_plugins(self) -> list[Any]:
        """Ask the plugins that implement ``pytest_hotreload_gather`` for their data."""
        operations = []
        for plugin in self.implementing:
            name = str(self.config.pluginmanager.get_name(plugin))
            try:
                found = pytest_config.call_for(
                    self.config, "pytest_hotreload_gather", [plugin], config=self.config
                )
                operations += [("hook", name, self.known.dumps(each)) for each in found]
            except Exception as error:
                why = f"{type(error).__name__}: {error}"
                self.problems.append((name, "pytest_hotreload_gather", why))
        return operations

    def _compare(self, container: Container) -> list[Any]:
        now, before = container.content(), container.before
        container.before = now
        path = container.path
        if isinstance(container, Sequence):
            return self._compare_lists(container, before, now)
        if isinstance(container, Members):
            added = [self._pack(container, "", each) for each in now if each not in before]
            removed = [self._pack(container, "", each) for each in before if each not in now]
            return [("members", path, _packed(added), _packed(removed))] if added or removed else []
        if isinstance(container, Text):
            if now == before:
                return []
            grown = now[: len(before)] == before
            return [("text", path, now[len(before) :] if grown else now, grown)]
        return self._compare_keys(container, before, now)

    def _compare_lists(self, container: Sequence, before: list[Any], now: list[Any]) -> list[Any]:
        known = len(before)
        if len(now) < known or any(not _same(a, b) for a, b in zip(before, now, strict=False)):
            return [("replace", container.path, _packed([self._pack(container, "", each) for each in now]))]
        added = [self._pack(container, "", each) for each in now[known:]]
        return [("extend", container.path, _packed(added))] if added else []

    def _compare_keys(self, container: Container, before: dict[Any, Any], now: dict[Any, Any]) -> list[Any]:
        changed = []
        for key, value in now.items():
            old = before.get(key, MISSING)
            if _same(old, value) or _is_code(value):
                continue
            if old is None and type(value) is int and value > 1 and proc.is_process(value):
                self.problems.append((container.owner, _named(container, key), "it is a process id"))
                continue
            packed, name = self._pack(container, key, value), self._pack(container, key, key)
            if packed is not None and name is not None:
                changed.append((name, packed, self._sent.get((container.path, name))))
                self._sent[container.path, name] = packed
                self._sent_paths.add(container.path)
        changed += self._changed_inside(container, before, now)
        gone = [self._pack(container, key, key) for key in before if key not in now]
        return [("keys", container.path, changed, _packed(gone))] if changed or gone else []

    def _changed_inside(self, container: Container, before: dict[Any, Any], now: dict[Any, Any]) -> list[Any]:
        """Return values that were sent and have changed since; they did not exist before the fork."""
        changed = []
        for (path, name), data in list(self._sent.items()) if container.path in self._sent_paths else ():
            if (
                path == container.path
                and (key := self.known.loads(name)) in now
                and _same(before.get(key), now[key])
            ):
                packed = self._pack(container, key, now[key])
                if packed is not None and packed != data:
                    changed.append((name, packed, data))
                    self._sent[path, name] = packed
        return changed

    def _pack(self, container: Container, key: Any, value: Any) -> bytes | None:
        try:
            return self.known.dumps(value)
        except Exception as error:
            self._problem(container, key, error)
            return None

    def _problem(self, container: Container, key: Any, error: Exception) -> None:
        why = f"{type(error).__name__}: {error}".splitlines()[0][:100]
        self.problems.append((container.owner, _named(container, key), why))

    # -- items and reports ---------------------------------------------------------------------------

    def item_begins(self, item: pytest.Item) -> None:
        """In the child: see :mod:`item_attributes`."""
        if self.of_items:
            self.of_items.begins(item)

    def item_ended(self, item: pytest.Item) -> bytes | None:
        """In the child: return what plugins set on the item, for the session-end hooks."""
        found = self.of_items.ended(item, self.known.dumps, self._problem_of_items)
        return pickle.dumps((found, []), 5) if found else None

    def _problem_of_items(self, what: str, error: Exception) -> None:
        self.problems.append((self.of_items.owner, what, type(error).__name__))

    def hold(self, report: Any) -> None:
        """In the child: attach to the report the values that weak dictionaries of plugins hold for it."""
        for path, held in self.held.items():
            try:
                value = held.get(report)
                if value is not None:
                    report.__dict__.setdefault(_HELD, []).append((path, self.known.dumps(value)))
            except Exception as error:
                self.problems.append((path, path, type(error).__name__))

    def release(self, report: Any) -> None:
        """In the child, after the report is packed: remove the values that :meth:`hold` attached."""
        report.__dict__.pop(_HELD, None)

    def restore(self, report: Any) -> None:
        """In the controller: put the values that :meth:`hold` attached into the weak dictionaries."""
        for path, value in getattr(report, "__dict__", {}).pop(_HELD, ()):
            try:
                self.held[path][report] = self.known.loads(value)
            except Exception as error:
                self.problems.append((path, path, type(error).__name__))

    def files(self, container: Container) -> list[str]:
        """Return the source files whose code may update the container."""
        if container.path.startswith((_CONFIG, _SESSION)):
            return [file for files in self.sources.values() for file in files]
        return self.sources.get(container.owner, [])


def _packed(values: list[bytes | None]) -> list[bytes]:
    return [value for value in values if value is not None]


def _is_code(value: Any) -> bool:
    """Whether the value is a function, a class or a module, and therefore no data."""
    return foreign.function_of(value) is not None or foreign.is_a(
        value, type, ModuleType, property, type(len)
    )


def _same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    return type(one) is type(other) and type(one) in (int, str, bytes, bool, float) and one == other


def _named(container: Container, key: Any) -> str:
    path = container.path.replace("<", " <") if "<" not in container.path[:1] else container.path
    return f"{path}.{key}" if type(key) is str and key and isinstance(container, Names) else path


def _inside(container: Container) -> Iterator[tuple[str, Any]]:
    content = container.content()
    if isinstance(container, Sequence):
        yield from ((f"[{number}]", value) for number, value in enumerate(content))
    elif isinstance(container, Keyed):
        for number, (key, value) in enumerate(content.items()):
            if isinstance(container, Names):
                yield f".{key}", value
            else:
                yield f"[{key!r}]" if type(key) in (str, int) else f"[#{number}]", value
