"""The starting point of pytest's debuggers: ``pytestPDB._init_pdb`` (pytest 8.4 to 9.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pytest_hotreload.world import BUILTINS

__builtins__ = BUILTINS


def call_before(act: Callable[[], None]) -> None:
    """Call ``act`` from now on before a debugger begins; it acquires the terminal."""
    from _pytest.debugging import pytestPDB

    plain = pytestPDB._init_pdb.__func__  # type: ignore[attr-defined]

    def with_terminal(cls: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        act()
        return plain(cls, method, *args, **kwargs)

    pytestPDB._init_pdb = classmethod(with_terminal)  # type: ignore[assignment]
