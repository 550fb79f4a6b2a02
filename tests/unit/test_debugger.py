"""The setup that precedes pytest's debugger."""

from __future__ import annotations

from typing import Any

import pytest
from _pytest.debugging import pytestPDB

from pytest_hotreload.compat import debugger


def test_we_are_called_first_with_what_pytest_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[Any] = []

    def init(cls: type, method: str, *args: Any, **kwargs: Any) -> str:
        called.append((cls, method, args, kwargs))
        return "a debugger"

    monkeypatch.setattr(pytestPDB, "_init_pdb", classmethod(init))
    debugger.call_before(lambda: called.append("ours"))
    debugger.call_before(lambda: called.append("first"))
    assert pytestPDB._init_pdb("set_trace", 1, header="x") == "a debugger"
    assert called == ["first", "ours", (pytestPDB, "set_trace", (1,), {"header": "x"})]
