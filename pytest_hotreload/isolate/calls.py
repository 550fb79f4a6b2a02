"""Passes a call and its outcome through a memory file that the caller and the child share.

The first byte states the kind of the content. That byte is written last, so a child that dies while writing
leaves no outcome. A socket or a pipe would have to be read while the child writes, and would stay open as
long as a grandchild holds it. The file has no name, and both processes belong to the same user; pickle is
therefore safe here.
"""

from __future__ import annotations

import os
import pickle
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from pytest_hotreload.isolate.errors import CarryError, IsolatedExit, IsolationError, RemoteTraceback
from pytest_hotreload.process.slots import anonymous_file

#: Values of the first byte.
_CALL, _RETURNED, _RAISED, _EXITED, _STUCK = range(5)


class CallContext(NamedTuple):
    """The state of the caller at the time of the call, which the child adopts."""

    name: str
    #: The differences from the template's start; None stands for a removed variable.
    environ: Mapping[str, str | None]
    #: The current folder; None if it no longer exists.
    cwd: str | None
    path: Sequence[str]
    argv: Sequence[str]


def _cloudpickle() -> Any:
    try:
        import cloudpickle
    except ImportError as error:
        raise IsolationError(
            f"isolate_imports needs cloudpickle, which can't be imported here: {error}",
            hint="pip install 'cloudpickle>=3'",
        ) from None
    return cloudpickle


# ------------------------------------------------------------------------------- in the caller


def write_call(
    context: CallContext, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> int:
    """Write the call into a new memory file, and return its descriptor.

    Raises :class:`CarryError`, OSError.
    """
    cloudpickle = _cloudpickle()
    descriptor = anonymous_file("hotreload-call")
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(bytes([_CALL]))
            pickle.dump(tuple(context), file, 5)
            try:
                cloudpickle.dump((func, tuple(args), dict(kwargs)), file, 5)
            except Exception as error:
                raise CarryError(
                    f"{context.name} and its arguments can't be sent to another process: "
                    f"{type(error).__name__}: {error}",
                    hint="pass only objects that can be pickled; open files, locks and connections in the function",
                ) from error
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


class Outcome:
    """The outcome that a child wrote into the file. :meth:`result` returns or raises it."""

    def __init__(self, name: str, data: memoryview) -> None:
        self._name, self._kind, self._data = name, data[0], data[1:]

    def result(self) -> Any:
        """Return what the function returned.

        Raises what the function raised, with the child's traceback as its cause; or :class:`IsolatedExit`,
        :class:`CarryError`.
        """
        if self._kind == _RETURNED:
            return self._load(f"the result of {self._name}", lambda: pickle.loads(self._data))
        told = pickle.loads(self._data)
        if self._kind == _EXITED:
            raise self._exit(*told)
        if self._kind == _STUCK:
            raise _cant_return(self._name, *told)
        payload, shown, text = told
        error = self._load(f"the exception of {self._name}, {shown},", lambda: pickle.loads(payload), text)
        error.__cause__ = RemoteTraceback(text)
        raise error

    def _load(self, what: str, load: Callable[[], Any], text: str = "") -> Any:
        try:
            return load()
        except Exception as error:
            raise CarryError(
                f"{what} can't be read here: {type(error).__name__}: {error}",
                hint="return and raise only objects that can be pickled, of modules that can be imported on both sides",
                remote_traceback=text,
            ) from error

    def _exit(self, code: int | str | None) -> IsolatedExit:
        said = "" if code is None else repr(code)
        error = IsolatedExit(
            f"{self._name} called sys.exit({said})",
            hint="return a value instead, or catch IsolatedExit and look at its `code`",
        )
        error.code = code
        return error


def _cant_return(name: str, reason: str, text: str) -> CarryError:
    error = CarryError(
        f"the result of {name} can't be sent back: {reason}",
        hint="return an object that can be pickled, or plain data",
        remote_traceback=text,
    )
    error.__cause__ = RemoteTraceback(text) if text else None
    return error


def read_outcome(descriptor: int, name: str) -> Outcome | None:
    """The outcome of a child that has ended, or None if the child died before it wrote one."""
    size = os.fstat(descriptor).st_size
    if not size or os.pread(descriptor, 1, 0)[0] == _CALL:
        return None
    data = bytearray(size)
    done = 0
    while done < size:
        done += os.preadv(descriptor, [memoryview(data)[done:]], done)
    return Outcome(name, memoryview(data).toreadonly())


# ------------------------------------------------------------------------------- in the child


class CallFile:
    """The child's view of the memory file."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._file = os.fdopen(descriptor, "rb", closefd=False)

    def context(self) -> CallContext:
        """Read the call context. Comes first, because the function may only be importable with it."""
        self._file.seek(1)
        return CallContext(*pickle.load(self._file))

    def call(self) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
        """Read the function and its arguments, which imports what they need.

        Raises whatever these imports raise.
        """
        call: tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]] = pickle.load(self._file)
        return call

    def put_result(self, value: Any) -> None:
        try:
            self._put(_RETURNED, value)
        except Exception as error:
            self._put(_STUCK, (f"{type(error).__name__}: {error}", _text_of(error)))

    def put_error(self, error: BaseException) -> None:
        shown, text = _shown(error), _text_of(error)
        if isinstance(error, SystemExit):
            given: object = error.code
            code = given if isinstance(given, int | str | None) else str(given)
            self._put(_EXITED, (code,))
            return
        try:
            payload = _dumps(error)
        except Exception as why:
            payload = pickle.dumps(_Unpicklable(f"it can't be pickled: {type(why).__name__}: {why}"), 5)
        self._put(_RAISED, (payload, shown, text))

    def _put(self, kind: int, value: Any) -> None:
        """Write an outcome into the file: small values through the file's buffer, large ones directly.

        Values that pickle cannot write are written by cloudpickle.
        """
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        with os.fdopen(self._descriptor, "wb", closefd=False) as file:
            file.write(bytes([_CALL]))
            try:
                pickle.dump(value, file, 5)
            except Exception:
                file.seek(1)
                file.truncate()
                _cloudpickle().dump(value, file, 5)
        os.pwrite(self._descriptor, bytes([kind]), 0)


class _Unpicklable:
    """Stands for an exception that cannot be pickled; unpickling it raises the reason."""

    def __init__(self, why: str) -> None:
        self._why = why

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return _refuse, (self._why,)


def _refuse(why: str) -> object:
    raise pickle.UnpicklingError(why)


def _dumps(value: Any) -> bytes:
    """Pickle a value by reference if possible, and classes of ``__main__`` by value."""
    try:
        return pickle.dumps(value, 5)
    except Exception:
        data: bytes = _cloudpickle().dumps(value, 5)
        return data


def _shown(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception_only(type(error), error)).strip()
    except Exception:  # the exception's own __str__ may raise
        return type(error).__qualname__


def _text_of(error: BaseException) -> str:
    """The traceback as the child would have printed it, without the frames of this plugin."""
    try:
        frames = error.__traceback__
        while frames is not None and str(frames.tb_frame.f_globals.get("__package__")).startswith(
            "pytest_hotreload"
        ):
            frames = frames.tb_next
        return "".join(traceback.format_exception(type(error), error, frames))
    except Exception:
        return f"{type(error).__qualname__}, whose traceback can't be shown\n"
