"""Transfers a ``CallInfo``, the argument ``call`` of ``pytest_exception_interact``, to the controller.

Its exception arrives with class, text, attributes and notes, and without the frames, which stay in their
process. Checked on pytest 8.4.2, 9.0 and 9.2.0 (``CallInfo``'s and ``ExceptionInfo``'s constructors).
"""

from __future__ import annotations

from typing import Any

from pytest_hotreload.compat.pickling import pack
from pytest_hotreload.compat.rebuilt_classes import class_of, names_of, with_text
from pytest_hotreload.compat.unpickling import loads, text_of
from pytest_hotreload.world import BUILTINS, pytest

__builtins__ = BUILTINS


def pack_call(config: pytest.Config, call: Any) -> bytes:
    """Pickle the call; always succeeds."""
    error = call.excinfo.value if call.excinfo is not None else None
    text = text_of(str, error)
    names = names_of(type(error)) if error is not None else ()
    notes = list(getattr(error, "__notes__", ()))
    times = (call.start, call.stop, call.duration, call.when)
    return pack((names, text, notes, times, error), config)


def unpack_call(config: pytest.Config, data: bytes, item: pytest.Item) -> pytest.CallInfo[Any]:
    """Rebuild the call that :func:`pack_call` packed."""
    names, text, notes, times, error = loads(data, config, item)
    start, stop, duration, when = times
    excinfo = _excinfo(names, text, notes, error) if names else None
    return pytest.CallInfo(
        None, excinfo, start=start, stop=stop, duration=duration, when=when, _ispytest=True
    )


def _excinfo(names: Any, text: str, notes: list[str], error: Any) -> pytest.ExceptionInfo[BaseException]:
    kind = class_of(names, BaseException, Exception)
    if not isinstance(error, BaseException) or text_of(str, error) != text:
        error = with_text(kind, text)
        if notes:
            error.__notes__ = notes
    return pytest.ExceptionInfo.from_exc_info((type(error), error, None))  # type: ignore[arg-type]
