"""Reads foreign objects without running any of their code.

Lazy proxies, dead weak references and unusual metaclasses answer ``isinstance``, ``vars`` or ``getattr`` with
code of their own, which may raise or have side effects. Here types are read by ``type()``, and attributes by
the interpreter's descriptors. All of these are bound when this module is imported, because tests may patch
modules later.
"""

from __future__ import annotations

from types import FunctionType, GetSetDescriptorType, MappingProxyType, MemberDescriptorType, ModuleType
from typing import Any

from pytest_hotreload.world import BUILTINS

__builtins__ = BUILTINS

_mro: Any = type.__dict__["__mro__"].__get__
_class_dict: Any = type.__dict__["__dict__"].__get__
_qualified_name: Any = type.__dict__["__qualname__"].__get__
_module_dict: Any = vars(ModuleType)["__dict__"].__get__


def mro(kind: type) -> tuple[type, ...]:
    """Return the interpreter's method resolution order of a class."""
    found: tuple[type, ...] = _mro(kind)
    return found


def is_a(value: object, *kinds: type) -> bool:
    """Return whether the value's own type derives from one of ``kinds``."""
    bases = _mro(type(value))
    return any(kind in bases for kind in kinds)


def class_dict(kind: type) -> MappingProxyType[str, Any]:
    """Return the attributes of the class itself."""
    found: MappingProxyType[str, Any] = _class_dict(kind)
    return found


def module_dict(module: ModuleType) -> dict[str, Any]:
    """Return the globals of the module."""
    found: dict[str, Any] = _module_dict(module)
    return found


def module_of(kind: type) -> str:
    """Return the name of the module that defines the class, or ""."""
    for base in _mro(kind):
        name = _class_dict(base).get("__module__")
        if type(name) is str:
            return name
    return ""


def qualified_name(kind: type) -> str:
    """Return the name of the class within its module."""
    return str(_qualified_name(kind))


def attribute_dict(value: object) -> dict[str, Any] | None:
    """Return the instance's ``__dict__``, or None if it has none."""
    for base in _mro(type(value)):
        found = _class_dict(base).get("__dict__")
        if type(found) is GetSetDescriptorType:
            held = found.__get__(value, base)
            return held if type(held) is dict else None
    return None


def slots(value: object) -> dict[str, MemberDescriptorType]:
    """Return the descriptors of the instance's slots that Python classes declare."""
    found: dict[str, MemberDescriptorType] = {}
    for base in _mro(type(value)):
        if type(_class_dict(base).get("__slots__")) in (tuple, list, str):
            for name, member in _class_dict(base).items():
                if type(member) is MemberDescriptorType and name != "__weakref__":
                    found.setdefault(name, member)
    return found


def function_of(value: object) -> FunctionType | None:
    """Return the Python function behind a method, property, partial or wrapper, or None."""
    for _ in range(10):
        kind = type(value)
        if kind is FunctionType:
            return value  # type: ignore[return-value]
        name = _INNER.get(f"{kind.__module__}.{kind.__name__}")
        if name is None:
            return None
        value = object.__getattribute__(value, name)
    return None


#: Type of a callable -> the attribute that holds the wrapped callable.
_INNER = {
    "builtins.method": "__func__",
    "builtins.staticmethod": "__func__",
    "builtins.classmethod": "__func__",
    "builtins.property": "fget",
    "functools.partial": "func",
    "functools.cached_property": "func",
    "functools._lru_cache_wrapper": "__wrapped__",
    "_pytest.fixtures.FixtureFunctionDefinition": "_fixture_function",
}
