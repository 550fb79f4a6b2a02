"""Adds the data that a child gathered to the controller's own objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_hotreload.compat import pytest_config
from pytest_hotreload.process import foreign
from pytest_hotreload.run.gathered import update_rules
from pytest_hotreload.run.gathered.containers import (
    MISSING,
    Container,
    Keyed,
    Members,
    Names,
    Sequence,
    Text,
    attributes,
)
from pytest_hotreload.world import BUILTINS, pickle, pytest

__builtins__ = BUILTINS

if TYPE_CHECKING:
    from pytest_hotreload.run.gathered.carry import GatheredState


class Merger:
    """Adds children's data, in the order of replay.

    ``problems`` maps an owner to the data that could not be added, each with the reason.
    """

    def __init__(self, state: GatheredState) -> None:
        self.state = state
        self.applied: set[str] = set()
        self.lost: list[str] = []
        self.problems: dict[str, dict[str, str]] = {}
        self._replaced: set[str] = set()

    def take(self, payload: bytes) -> None:
        """Add the data in one message of a child."""
        operations, problems = pickle.loads(payload)
        self.apply(operations, problems)

    def apply(self, operations: list[Any], problems: list[tuple[str, str, str]]) -> None:
        """Apply the operations of one message, and note its problems."""
        for owner, what, why in problems:
            self._problem(owner, what, why)
        for kind, name, *details in operations:
            try:
                if kind in ("item", "seen"):
                    self._item(kind, name, *details)
                    continue
                if kind == "hook":
                    self._hook(name, *details)
                    continue
                container = self.state.containers.get(name)
                if container is None:
                    self._problem("plugins", name, "it does not exist in the controller")
                    continue
                self.applied.add(container.owner)
                getattr(self, f"_{kind}")(container, *details)
            except Exception as error:
                owner = self.state.containers[name].owner if name in self.state.containers else name
                self._problem(owner, name, f"{type(error).__name__}: {error}")

    def _problem(self, owner: str, what: str, why: str) -> None:
        self.problems.setdefault(owner, {}).setdefault(what, why)

    # -- one method per operation ------------------------------------------------------------------

    def _hook(self, name: str, data: bytes) -> None:
        config, plugin = self.state.config, self.state.config.pluginmanager.get_plugin(name)
        self.applied.add(name)
        gathered = self.state.known.loads(data)
        pytest_config.call_for(config, "pytest_hotreload_merge", [plugin], config=config, gathered=gathered)

    def _item(self, kind: str, nodeid: str, attributes: dict[str, bytes], stashed: dict[str, bytes]) -> None:
        item, of_items = self.state.known.item(nodeid), self.state.of_items
        if item is None:
            return
        if kind == "seen":
            of_items.seen(item, attributes, stashed)
        else:
            of_items.set(item, attributes, stashed, self.state.known.loads)

    def _extend(self, container: Sequence, values: list[bytes]) -> None:
        container.extend(self._load_all(container, values))

    def _replace(self, container: Sequence, values: list[bytes]) -> None:
        now = container.content()
        untouched = len(now) == len(container.before) and all(
            a is b for a, b in zip(now, container.before, strict=True)
        )
        if not untouched:
            self._problem(container.owner, container.path, "more than one test file rearranged it")
        container.replace(self._load_all(container, values))

    def _members(self, container: Members, added: list[bytes], removed: list[bytes]) -> None:
        set.update(container.thing, self._load_all(container, added))
        set.difference_update(container.thing, self._load_all(container, removed))

    def _text(self, container: Text, value: Any, grown: bool) -> None:
        if not grown and container.content() != container.before:
            self._problem(container.owner, container.path, "more than one test file rewrote it")
        container.write(value, grown=grown)

    def _keys(
        self, container: Keyed, changed: list[tuple[bytes, bytes, bytes | None]], gone: list[bytes]
    ) -> None:
        now = container.content()
        for name, data, previous in changed:
            key = self._load(container, name)
            new = self._load(container, data)
            if key is MISSING or new is MISSING:
                continue
            base = container.before.get(key, MISSING) if previous is None else self._load(container, previous)
            container.put(key, self._combine(container, key, base, now.get(key, MISSING), new))
        for key in self._load_all(container, gone):
            container.drop(key)

    def _load_all(self, container: Container, values: list[bytes]) -> list[Any]:
        return [value for data in values if (value := self._load(container, data)) is not MISSING]

    def _load(self, container: Container, data: bytes) -> Any:
        try:
            return self.state.known.loads(data)
        except Exception as error:
            why = f"{type(error).__name__}: {error}".splitlines()[0][:100]
            self._problem(container.owner, container.path, why)
            return MISSING

    # -- two values for one name ---------------------------------------------------------------------

    def _combine(self, container: Container, key: Any, base: Any, now: Any, new: Any) -> Any:
        """Return the value of a name that one file changed from ``base`` to ``new``.

        ``now`` is the value that earlier files left in the controller.
        """
        if foreign.is_a(new, pytest.Item, pytest.Collector):  # the item that runs: one replaces the other
            return new
        if now is MISSING or now is base or (base is not MISSING and type(now) in _PLAIN and now == base):
            return new
        combined = self._combine_alike(container, key, base, now, new)
        if combined is not MISSING:
            return combined
        if not _equal(now, base) and not _equal(now, new):
            self._problem(container.owner, _name(container, key), "two test files gave it different values")
        return new

    def _combine_alike(self, container: Container, key: Any, base: Any, now: Any, new: Any) -> Any:
        """Combine two values of one kind; return MISSING if no rule applies."""
        if type(now) in _PLAIN and type(new) in _PLAIN:
            return self._combine_plain(container, key, base, now, new)
        if type(now) is not type(new):
            return MISSING
        if type(now) in (list, tuple):
            known = list(base) if type(base) is type(new) else []
            return now + new[len(known) :] if _equal(list(new[: len(known)]), known) else MISSING
        if foreign.is_a(now, dict):
            return self._combine_dicts(container, base, now, new)
        if type(now) is set:
            return now | new
        return (
            MISSING
            if foreign.attribute_dict(now) is None
            else self._combine_attributes(container, base, now, new)
        )

    def _combine_dicts(self, container: Container, base: Any, now: Any, new: Any) -> Any:
        inner = Keyed(container.path, container.owner, now)
        counts = type(now).__name__ == "Counter" or getattr(now, "default_factory", None) in (int, float)
        for key, value in dict.items(new):
            before = base.get(key, MISSING) if type(base) is type(new) else MISSING
            held = dict.get(now, key, MISSING)
            if counts and held is not MISSING:
                inner.put(key, held + value - (0 if before is MISSING else before))
            else:
                inner.put(key, self._combine(container, key, before, held, value))
        return now

    def _combine_attributes(self, container: Container, base: Any, now: Any, new: Any) -> Any:
        inner = Names(container.path, container.owner, now)
        known = attributes(base) if type(base) is type(new) else {}
        for name, value in attributes(new).items():
            held = attributes(now).get(name, MISSING)
            inner.put(name, self._combine(inner, name, known.get(name, MISSING), held, value))
        return now

    def _combine_plain(self, container: Container, key: Any, base: Any, now: Any, new: Any) -> Any:
        """Combine two numbers or two texts."""
        if type(now) is not type(new) and {type(now), type(new)} != {int, float}:
            return MISSING
        rule = self._rule(container, key)
        if rule == update_rules.UNKNOWN and now == new:
            rule = update_rules.LAST if type(new) in (str, bytes, bool) else rule
        if rule == update_rules.ADD and type(new) is not bool:
            if type(new) in (str, bytes):
                known = base if type(base) is type(new) and new.startswith(base) else new[:0]
                return now + new[len(known) :]
            return now + new - (base if type(base) in (int, float) else 0)
        if rule in (update_rules.LARGEST, update_rules.SMALLEST):
            return (max if rule == update_rules.LARGEST else min)(now, new)
        if rule == update_rules.FIRST:
            return now
        if rule == update_rules.UNKNOWN:
            self._problem(container.owner, _name(container, key), "two test files gave it different values")
        return new

    def _rule(self, container: Container, key: Any) -> str:
        if type(container.thing).__name__ == "Counter" or (
            foreign.is_a(container.thing, dict)
            and getattr(container.thing, "default_factory", None) in (int, float)
        ):
            return update_rules.ADD
        return update_rules.rule_of(self.state.files(container), str(key))


def _equal(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except Exception:
        return False


_PLAIN = (int, float, str, bytes, bool)


def _name(container: Container, key: Any) -> str:
    return f"{container.path}.{key}" if isinstance(container, Names) else f"{container.path}[{key!r}]"
