"""The starting point of pytest's debuggers: ``pytestPDB._init_pdb`` (pytest 8.4 to 9.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pytest_hotreload import _native
from pytest_hotreload.world import BUILTINS

__builtins__ = BUILTINS


def call_before(act: Callable[[], None]) -> None:
    """Call ``act`` from now on before a debugger begins; it acquires the terminal.

    The functions that have begun are watched no more: in Python 3.14, ``breakpoint()`` in a watched function stopped
    one line later than in plain pytest.
    """
    from _pytest.debugging import pytestPDB

    plain = pytestPDB._init_pdb.__func__  # type: ignore[attr-defined]

    def with_terminal(cls: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        act()
        _native.pause_functions()
        return plain(cls, method, *args, **kwargs)

    pytestPDB._init_pdb = classmethod(with_terminal)  # type: ignore[assignment]
