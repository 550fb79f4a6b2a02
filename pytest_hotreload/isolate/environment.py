"""`isolate_imports`: run functions of a package in forks of a process that holds its third-party imports.

Nothing here, and nothing that it imports, needs pytest.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from pytest_hotreload.isolate import messages
from pytest_hotreload.isolate.calls import CallContext, write_call
from pytest_hotreload.isolate.errors import EnvironmentClosed, IsolationError
from pytest_hotreload.isolate.package import Package, Warmth
from pytest_hotreload.isolate.process import Callback, IsolatedProcess, Stream
from pytest_hotreload.isolate.reader import PendingCall, Reader
from pytest_hotreload.isolate.template import Handle

__all__ = ["IsolatedEnvironment", "IsolatedProcess", "isolate_imports"]

Output = Literal["capture", "inherit"] | Callback

#: What sending says where the other end is gone.
_GONE = (errno.EPIPE, errno.ECONNRESET, errno.EBADF, errno.ENOTCONN)


def isolate_imports(
    package: str,
    *,
    ignored_modules: Iterable[str] = (),
    include: Iterable[str] = (),
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    output: Output = "capture",
) -> IsolatedEnvironment:
    """An environment whose processes hold what ``package`` imports of others, and nothing of the package itself.

    ``package``: its dotted name; nothing of it is imported here. ``ignored_modules``: kept out, with all below
    them. ``include``: imported as well, wherever they lie. ``env``: variables, besides those of this process, for the
    template and for each call. ``cwd``: the folder of both; None is that of this process. ``output``: of the
    processes: "capture" keeps its end, "inherit" lets them write where this process does, and a function is called
    with (process, "stdout" or "stderr", text) besides keeping it.

    Used with ``with``, or closed by ``close``. Raises :class:`IsolationError` for arguments that can't be right.
    """
    return IsolatedEnvironment(
        Package(package, ignored=ignored_modules, include=include), env=env, cwd=cwd, output=output
    )


class IsolatedEnvironment:
    """Where functions run; see :func:`isolate_imports`. May be used by several threads.

    ``notices``: a line for each thing that is not warm, and why.
    """

    def __init__(
        self,
        package: Package,
        *,
        env: Mapping[str, str] | None,
        cwd: str | os.PathLike[str] | None,
        output: Output,
    ) -> None:
        if output not in ("capture", "inherit") and not callable(output):
            raise IsolationError(
                f"output is {output!r}, which is not a valid value",
                hint='give "capture", "inherit" or a function of (process, stream, text)',
            )
        self._package, self._output = package, output
        self._env = dict(env or {})
        self._cwd = None if cwd is None else os.path.abspath(cwd)  # noqa: PTH100 - a string, links kept
        #: What templates are started with, so that all of them are alike.
        self._base = {**os.environ, **self._env}
        self._tokens = itertools.count(1)
        self._current: Handle | None = None
        self._closed = False
        #: Around looking whether another template is needed, and starting it: seconds.
        self._starting = threading.Lock()
        #: Around `_current` and `_closed` together: no time.
        self._state = threading.Lock()
        self.notices: tuple[str, ...] = ()
        ourselves = weakref.ref(self)
        self._reader = Reader(lambda run: _again(ourselves, run))
        self._finalizer = weakref.finalize(self, self._reader.close)

    def __repr__(self) -> str:
        state = "closed" if self._closed else "warm" if self._current is not None else "not started"
        return f"<IsolatedEnvironment {self._package.name}, {state}>"

    # -- its life ----------------------------------------------------------------------------------

    def __enter__(self) -> IsolatedEnvironment:  # noqa: PYI034 - Self is not in 3.10
        try:
            self._template()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> IsolatedEnvironment:  # noqa: PYI034 - Self is not in 3.10
        import asyncio

        await asyncio.to_thread(self.__enter__)
        return self

    async def __aexit__(self, *_: object) -> None:
        import asyncio

        await asyncio.to_thread(self.close)

    def close(self) -> None:
        """End all its processes and the template, and wait for them. Nothing if it is closed, or in a fork."""
        if self._reader.is_ours():
            with self._state:
                self._closed, self._current = True, None
            self._finalizer()

    def update_environment(self) -> bool:
        """Read the package's sources again. Whether another template was needed, and is there now.

        It is if the set of modules to hold differs; processes that run go on to their end. Raises
        :class:`IsolationError` where the package is gone: the template stays then.
        """
        self._check()
        with self._starting:
            self._check()
            warmth, lines = self._package.look()
            before = self._current
            if before is not None and not before.how and warmth.is_same(before.warmth):
                self._tell(lines, before)
                return False
            self._start(warmth, lines)
            if before is not None:
                self._reader.retire(before)
            return True

    def _template(self) -> Handle:
        """The one that lives; started if there is none, by one thread."""
        if (living := self._living()) is not None:
            return living
        with self._starting:
            if (living := self._living()) is not None:
                return living
            if self._current is not None:
                messages.tell(messages.template_gone(self._current.how))
            return self._start(*self._package.look())

    def _living(self) -> Handle | None:
        self._check()
        current = self._current
        return current if current is not None and not current.how else None

    def _start(self, warmth: Warmth, lines: list[str]) -> Handle:
        handle, warmed = Handle.start(warmth, self._base, self._cwd)
        with self._state:
            if not self._closed:
                self._reader.add(handle)
                self._current = handle
        if self._closed:
            handle.end()
            self._check()
        handle.quarantine = dict(warmed.quarantine)
        self._tell(lines, handle)
        return handle

    def _tell(self, lines: list[str], handle: Handle) -> None:
        """Once, what was not told before."""
        now = (*lines, *(messages.quarantined(name, why) for name, why in handle.quarantine.items()))
        before, self.notices = self.notices, now
        for line in now:
            if line not in before:
                messages.tell(line)

    def _check(self) -> None:
        self._reader.check()
        if self._closed:
            raise EnvironmentClosed(
                f"the environment of {self._package.name} is closed",
                hint="create a new environment with isolate_imports",
            )

    # -- running -----------------------------------------------------------------------------------

    def exec(
        self,
        func: Callable[..., Any],
        /,
        *args: Any,
        name: str | None = None,
        timeout: float | None = None,
        **kwargs: Any,
    ) -> IsolatedProcess:
        """Run ``func(*args, **kwargs)`` in a process of its own; does not wait for it.

        Functions of modules are imported there, as they stand on the disk then; those of ``__main__``, nested ones
        and closures travel by value. ``name``: what errors call it. ``timeout``: seconds from when its process has it.

        Raises :class:`CarryError` for what can't be pickled, :class:`EnvironmentClosed`, OSError.
        """
        self._check()
        if timeout is not None and not timeout > 0:
            raise IsolationError(
                f"timeout is {timeout!r}, not a number of seconds above 0",
                hint="give a number above 0, or None for no limit",
            )
        shown = name or str(getattr(func, "__qualname__", type(func).__qualname__))
        callback = self._output if callable(self._output) else None
        process = IsolatedProcess(shown, timeout, callback, self._reader, self)
        call = write_call(self._surroundings(shown), func, args, kwargs)
        self._submit(process, call, timeout)
        return process

    def communicate_isolated(self, process: IsolatedProcess) -> Any:
        """Wait for a process: what its function returned, or raised; see :meth:`IsolatedProcess.result`.

        Ctrl-C, or another exception while it waits, stops the process.
        """
        try:
            process.wait()
        except IsolationError:  # it can't be waited for here
            raise
        except BaseException:
            self.stop_isolated(process)
            raise
        return process.result()

    async def run(
        self,
        func: Callable[..., Any],
        /,
        *args: Any,
        name: str | None = None,
        timeout: float | None = None,
        **kwargs: Any,
    ) -> Any:
        """``exec``, and its result, for ``await``. Cancelling stops the process."""
        import asyncio

        if self._current is None or self._current.how:
            await asyncio.to_thread(self._template)
        process = self.exec(func, *args, name=name, timeout=timeout, **kwargs)
        try:
            return await process
        finally:
            if not process.done:
                self._reader.stop(process, "stopped")

    def stop_isolated(self, process: IsolatedProcess) -> None:
        """End a process with all that it started, and wait until it is gone. Nothing if it has ended."""
        if process.done:
            return
        self._reader.check()
        self._reader.stop(process, "stopped")
        if threading.current_thread() is not self._reader.thread:
            process.wait()

    def _surroundings(self, name: str) -> CallContext:
        now = {**os.environ, **self._env}
        changed: dict[str, str | None] = {
            key: value for key, value in now.items() if self._base.get(key) != value
        }
        changed.update(dict.fromkeys(self._base.keys() - now.keys()))
        cwd = self._cwd
        if cwd is None:
            with contextlib.suppress(FileNotFoundError):
                cwd = os.getcwd()  # noqa: PTH109
        return CallContext(name, changed, cwd, list(sys.path), list(sys.argv))

    def _submit(self, process: IsolatedProcess, call: int, timeout: float | None) -> None:
        run = PendingCall(process, call, timeout)
        try:
            self._open_output(run)
            self._ask(run)
        except BaseException as error:
            self._reader.fail(run, error)
            raise

    def _open_output(self, run: PendingCall) -> None:
        """What the child gets as descriptors 1 and 2, and where that is read."""
        streams: tuple[Stream, Stream] = ("stdout", "stderr")
        for number, stream in enumerate(streams, start=1):
            if self._output == "inherit":
                run.theirs.append(os.dup(number))
                continue
            read, write = os.pipe()
            os.set_blocking(read, False)
            run.pipes[read] = stream
            run.theirs.append(write)

    def _ask(self, run: PendingCall) -> None:
        """Ask the template for it; where that is gone, a new one."""
        while True:
            handle = self._template()
            token = next(self._tokens)
            self._reader.begin(token, run, handle)
            try:
                handle.fork(token, [run.call, *run.theirs])
            except OSError as error:
                if not self._reader.forget(token):
                    return  # the reader has seen it too, and sees to it
                if error.errno not in _GONE:
                    raise
                handle.popen.wait()
                handle.how = handle.how or messages.ended(handle.popen.returncode)
            else:
                return


def _again(environment: weakref.ref[IsolatedEnvironment], run: PendingCall) -> None:
    """In a thread of its own: a process whose template died before it was born."""
    ours = environment()
    if ours is None:
        return
    try:
        ours._ask(run)
    except BaseException as error:
        ours._reader.fail(run, error)
