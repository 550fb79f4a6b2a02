"""Pickles what plugins gathered, without the objects that the controller has itself: these travel by their names."""

from __future__ import annotations

from typing import Any

from pytest_hotreload.process import foreign
from pytest_hotreload.world import BUILTINS, io, pickle, pytest

__builtins__ = BUILTINS

#: Outcome exceptions by name, because their classes claim the module ``builtins`` and so can't be pickled.
_OUTCOMES: dict[str, Any] = {
    "skip": pytest.skip.Exception,
    "fail": pytest.fail.Exception,
    "exit": pytest.exit.Exception,
    "xfail": pytest.xfail.Exception,
}


class KnownObjects:
    """The objects that the controller and its children both have: noted ones, items, the session, the config."""

    def __init__(self, session: pytest.Session) -> None:
        self.session, self.config = session, session.config
        self.objects: dict[str, Any] = {}
        #: The identity of each noted object -> its path, which is the same text in every process.
        self.paths: dict[int, str] = {}
        self._items: dict[str, pytest.Item] = {}

    def add(self, thing: object, path: str) -> None:
        """Note an object by its path."""
        self.objects[path], self.paths[id(thing)] = thing, path

    def item(self, nodeid: str) -> pytest.Item | None:
        """Return the controller's own item with this node id."""
        if not self._items:
            self._items = {item.nodeid: item for item in reversed(self.session.items)}
        return self._items.get(nodeid)

    def dumps(self, value: Any) -> bytes:
        """Pickle a value; objects that both processes have are named, not copied."""
        buffer = io.BytesIO()
        _Pickler(buffer, self).dump(value)
        return buffer.getvalue()

    def loads(self, data: bytes) -> Any:
        """Unpickle the result of :meth:`dumps`."""
        return _Unpickler(io.BytesIO(data), self).load()


class _Pickler(pickle.Pickler):
    """Writes names for objects that the controller has: noted objects, items, the session, the config."""

    def __init__(self, buffer: io.BytesIO, known: KnownObjects) -> None:
        super().__init__(buffer, 5)
        self._known = known

    def persistent_id(self, obj: Any) -> Any:
        path = self._known.paths.get(id(obj))
        if path is not None and self._known.objects.get(path) is obj:
            return ("noted", path)
        if foreign.is_a(obj, pytest.Item, pytest.Collector):
            return ("session", "") if obj is self._known.session else ("node", obj.nodeid)
        if foreign.is_a(obj, pytest.Config):
            return ("config", "")
        for name, kind in _OUTCOMES.items():
            if obj is kind:
                return ("outcome", name)
        return None

    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is pytest.ExceptionInfo:
            return _exception_info, (obj.type, obj.value)
        return NotImplemented


def _exception_info(kind: type[BaseException], value: BaseException) -> pytest.ExceptionInfo[BaseException]:
    """Rebuild an ``ExceptionInfo`` without its frames, which stay in their process."""
    return pytest.ExceptionInfo.from_exc_info((kind, value, None))  # type: ignore[arg-type]


class _Unpickler(pickle.Unpickler):
    def __init__(self, buffer: io.BytesIO, known: KnownObjects) -> None:
        super().__init__(buffer)
        self._known = known

    def persistent_load(self, pid: Any) -> Any:
        kind, name = pid
        if kind == "noted":
            return self._known.objects[name]
        if kind == "node":
            return self._known.item(name)
        if kind == "outcome":
            return _OUTCOMES[name]
        return self._known.session if kind == "session" else self._known.config
