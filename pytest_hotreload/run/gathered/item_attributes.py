"""Carries what plugins set on an item while the item runs: attributes, and entries of its stash.

Hooks of the controller read them from its own items: those at the end of the session from ``session.items``,
and those that pytest calls for each test from an item that they keep or look up. What the latter name is sent
before each report, everything else when the item has run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_hotreload.compat import pytest_config
from pytest_hotreload.compat.pickling import pack
from pytest_hotreload.compat.unpickling import loads
from pytest_hotreload.run.gathered.end_hooks import ALL_ATTRIBUTES
from pytest_hotreload.world import BUILTINS, pytest

__builtins__ = BUILTINS

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_hotreload.run.gathered.end_hooks import Reached

#: Attributes that pytest sets on an item while the item runs.
_OF_ITEMS = {
    "funcargs",
    "_request",
    "_instance",
    "_excinfo",
    "_testcase",
    "_explicit_tearDown",
    "_obj",
    "_nodeid",
}

#: (kind, node id, attributes, entries of the stash by the names of their keys)
Operation = tuple[str, str, dict[str, bytes], dict[str, bytes]]


class ItemAttributes:
    """What hooks of the controller read on items, and what was sent of it for the item that runs."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        #: The plugin whose session-end hooks read items, or "".
        self.owner = ""
        self._live: set[str] = set()
        self._all_live = False
        self._keys: dict[str, Any] = {}
        self._keys_at_end: set[str] = set()
        #: Names in the code of session-end hooks that names ``items``, perhaps those of a dict: whatever else can't be
        #: sent is not missed.
        self._named_at_end: set[str] = set()
        self._all_at_end = False
        self._known: set[str] = set()
        self._stashed: dict[str, Any] = {}
        self._sent: dict[str, bytes] = {}

    def note(self, label: str, at_end: Reached, per_test: Reached) -> None:
        """Note what the hooks of one owner read."""
        self._live |= per_test.names | per_test.texts()
        self._all_live = self._all_live or bool(per_test.names & ALL_ATTRIBUTES)
        self._keys |= {name: key for key, name in per_test.stash_keys()}
        if "items" in at_end.names:
            self.owner = self.owner or label
            self._named_at_end |= at_end.names | at_end.texts()
            self._all_at_end = self._all_at_end or bool(at_end.names & {"__dict__", "vars"})
            keys = {name: key for key, name in at_end.stash_keys()}
            self._keys |= keys
            self._keys_at_end |= keys.keys()

    def __bool__(self) -> bool:
        return bool(self.owner or self._live or self._keys)

    # -- in the child ------------------------------------------------------------------------------

    def begins(self, item: pytest.Item) -> None:
        """Remember the item as it is, so that what is new is recognized as set by plugins."""
        self._known = vars(item).keys() | _OF_ITEMS
        self._stashed = self._stash(item)
        self._sent = {}

    def live(self, item: pytest.Item) -> list[Operation]:
        """Return what is to be done for the hooks that read the item with its next report."""
        attributes = {
            name: pack(value, self.config)
            for name, value in vars(item).items()
            if (self._all_live or name in self._live) and name not in self._known
        }
        stashed = {name: pack(value, self.config) for name, value in self._new_in_stash(item).items()}
        new = self._unsent("attribute ", attributes), self._unsent("stash ", stashed)
        return [("seen", item.nodeid, *new)] if any(new) else []

    def ended(
        self, item: pytest.Item, dumps: Callable[[Any], bytes], problem: Callable[[str, Exception], None]
    ) -> list[Operation]:
        """Return what is to be done for the session-end hooks, after the item has run."""
        if not self.owner:
            return []

        def dumped(values: dict[str, Any], what: str) -> dict[str, bytes]:
            found = {}
            for name, value in values.items():
                try:
                    found[name] = dumps(value)
                except Exception as error:
                    if self._all_at_end or name in self._named_at_end:
                        problem(what.format(name), error)
            return found

        new = {name: value for name, value in vars(item).items() if name not in self._known}
        kept = {name: value for name, value in self._new_in_stash(item).items() if name in self._keys_at_end}
        done = dumped(new, "{} of tests"), dumped(kept, "stash[{}] of tests")
        return [("item", item.nodeid, *done)] if any(done) else []

    def _stash(self, item: pytest.Item) -> dict[str, Any]:
        """Return the entries of the stash that hooks of the controller name."""
        content = (pytest_config.stash_content(item) or {}) if self._keys else {}
        return {name: content[key] for name, key in self._keys.items() if key in content}

    def _new_in_stash(self, item: pytest.Item) -> dict[str, Any]:
        before = self._stashed
        return {
            name: value
            for name, value in self._stash(item).items()
            if name not in before or before[name] is not value
        }

    def _unsent(self, kind: str, values: dict[str, bytes]) -> dict[str, bytes]:
        new = {name: data for name, data in values.items() if self._sent.get(kind + name) != data}
        self._sent |= {kind + name: data for name, data in new.items()}
        return new

    # -- in the controller -------------------------------------------------------------------------

    def seen(self, item: pytest.Item, attributes: dict[str, bytes], stashed: dict[str, bytes]) -> None:
        """Set on the controller's item what :meth:`live` found."""
        self.set(item, attributes, stashed, lambda data: loads(data, self.config, item))

    def set(
        self,
        item: pytest.Item,
        attributes: dict[str, bytes],
        stashed: dict[str, bytes],
        read: Callable[[bytes], Any],
    ) -> None:
        """Set attributes and entries of the stash on the controller's item."""
        vars(item).update({name: read(data) for name, data in attributes.items()})
        for name, data in stashed.items():
            item.stash[self._keys[name]] = read(data)
