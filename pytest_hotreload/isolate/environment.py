"""`isolate_imports`: runs functions of a package in forks of a process that holds its third-party imports.

Neither this module nor what the module imports needs pytest.
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
from pytest_hotreload.isolate.process import Callback, IsolatedProcess
from pytest_hotreload.isolate.reader import PendingCall, Reader
from pytest_hotreload.isolate.template import Handle

__all__ = ["IsolatedEnvironment", "IsolatedProcess", "isolate_imports"]

Output = Literal["capture", "inherit"] | Callback

#: Errors of a send if the other end is gone.
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
    """Create an environment whose processes already hold the third-party imports of ``package``.

    The environment starts its template with ``with``, ``async with`` or the first call, and must be closed: by the
    end of the block, or by :meth:`IsolatedEnvironment.close`.

    Args:
        package: The dotted name of a package or module. Its sources are read; the package is not imported.
        ignored_modules: Modules that the template does not import, together with their submodules.
        include: Additional modules that the template imports, wherever they are installed.
        env: Variables for the template and for each call, in addition to those of this process.
        cwd: The working directory of the template and of each call; None means that of this process.
        output: "capture" keeps the last 1 MiB of each stream; "inherit" writes to the output of this process; a
            function is called with (process, "stdout" or "stderr", text), and the text is kept as with "capture".

    Raises:
        IsolationError: An argument is not valid. A package that does not exist is reported at the start.
    """
    return IsolatedEnvironment(
        Package(package, ignored=ignored_modules, include=include), env=env, cwd=cwd, output=output
    )


class IsolatedEnvironment:
    """An environment that runs functions in processes of their own; :func:`isolate_imports` creates it.

    Several threads may use one environment. A fork of its process can't use the environment.
    """

    def __init__(
        self,
        package: Package,
        *,
        env: Mapping[str, str] | None,
        cwd: str | os.PathLike[str] | None,
        output: Output,
    ) -> None:
        """Create an environment; :func:`isolate_imports` explains the arguments.

        Raises:
            IsolationError: ``output`` is not valid.
        """
        if output not in ("capture", "inherit") and not callable(output):
            raise IsolationError(
                f"output is {output!r}, which is not a valid value",
                hint='give "capture", "inherit" or a function of (process, stream, text)',
            )
        self._package, self._output = package, output
        self._env = dict(env or {})
        self._cwd = None if cwd is None else os.path.abspath(cwd)  # noqa: PTH100 - a string, links kept
        #: The environment variables of all templates, so that all of them are alike.
        self._base = {**os.environ, **self._env}
        self._tokens = itertools.count(1)
        self._current: Handle | None = None
        self._closed = False
        #: Held for seconds, while a thread decides whether a new template is needed, and starts it.
        self._starting = threading.Lock()
        #: Held briefly, to read or change `_current` and `_closed` together.
        self._state = threading.Lock()
        #: One line for each import or file that is not warm, with the reason.
        self.notices: tuple[str, ...] = ()
        ourselves = weakref.ref(self)
        self._reader = Reader(lambda run: _again(ourselves, run))
        self._finalizer = weakref.finalize(self, self._reader.close)

    def __repr__(self) -> str:
        """Show the package, and whether the template is warm."""
        state = "closed" if self._closed else "warm" if self._current is not None else "not started"
        return f"<IsolatedEnvironment {self._package.name}, {state}>"

    # -- life cycle --------------------------------------------------------------------------------

    def __enter__(self) -> IsolatedEnvironment:  # noqa: PYI034 - Self is not in 3.10
        """Start the template and wait until it is warm.

        Raises:
            EnvironmentClosed: The environment is closed, or belongs to another process.
            IsolationError: The package does not exist, or the template did not start.
            OSError: The system refused the process.
        """
        try:
            self._template()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Close the environment."""
        self.close()

    async def __aenter__(self) -> IsolatedEnvironment:  # noqa: PYI034 - Self is not in 3.10
        """Start the template without blocking the event loop; the errors are those of ``with``."""
        import asyncio

        await asyncio.to_thread(self.__enter__)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the environment without blocking the event loop."""
        import asyncio

        await asyncio.to_thread(self.close)

    def close(self) -> None:
        """End all processes and the template, and wait for their end.

        Calls that were running raise :class:`IsolatedStopped`. The method is idempotent, and has no effect in
        a fork of the environment's process.
        """
        if self._reader.is_ours():
            with self._state:
                self._closed, self._current = True, None
            self._finalizer()

    def update_environment(self) -> bool:
        """Read the package's sources again, and start a new template if the set of modules to import differs.

        Processes that are running continue to their end.

        Returns:
            Whether a new template was started.

        Raises:
            EnvironmentClosed: The environment is closed, or belongs to another process.
            IsolationError: The package does not exist any more, or the new template did not start. The old template
                stays in use.
            OSError: The system refused the process.
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
        """The living template; one thread starts a new one if there is none."""
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
        """Log each line that was not logged before; of many lines, one as a warning."""
        now = (*lines, *(messages.quarantined(name, why) for name, why in handle.quarantine.items()))
        before, self.notices = self.notices, now
        new = [line for line in now if line not in before]
        if len(new) <= messages.FEW:
            for line in new:
                messages.tell(line)
            return
        messages.tell(messages.many_lines(self._package.name, new))
        for line in new:
            messages.mention(line)

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
        """Run ``func(*args, **kwargs)`` in a process of its own, without waiting for the end of the call.

        Args:
            func: Functions of modules are imported in the process, from the current files. Functions of
                ``__main__``, nested functions and closures are passed by value.
            *args: Positional arguments, which are pickled.
            name: The name of the call in errors; the default is the function's qualified name.
            timeout: Seconds from the moment when the process has the call; then the process is ended. None means no
                limit.
            **kwargs: Keyword arguments, which are pickled.

        Returns:
            The process, whose :meth:`IsolatedProcess.result` waits for the end of the call.

        Raises:
            CarryError: The function or an argument can't be pickled.
            EnvironmentClosed: The environment is closed, or belongs to another process.
            IsolationError: ``timeout`` is not above 0, cloudpickle is missing, the package does not exist, or the
                template did not start.
            OSError: The system refused a process, a pipe or a file.
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
        """Wait for a process and return the result of its function.

        Ctrl-C, or another exception while the method waits, stops the process.

        Args:
            process: A process that :meth:`exec` returned.

        Returns:
            The return value of the function.

        Raises:
            Exception: The exception that the function raised, and the errors of :meth:`IsolatedProcess.result`.
        """
        try:
            process.wait()
        except IsolationError:  # this thread may not wait for the process
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
        """Run a function as :meth:`exec` does, with the same arguments, and await the result.

        Cancelling stops the process.

        Returns:
            The return value of the function.

        Raises:
            Exception: The exception that the function raised, and the errors of :meth:`exec` and
                :meth:`IsolatedProcess.result`.
        """
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
        """End a process together with all processes that it started, and wait for the end.

        The call then raises :class:`IsolatedStopped`. A process that has ended keeps its result.

        Args:
            process: A process that :meth:`exec` returned.

        Raises:
            EnvironmentClosed: The environment belongs to another process.
        """
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
            run.open_output(inherit=self._output == "inherit")
            self._ask(run)
        except BaseException as error:
            self._reader.fail(run, error)
            raise

    def _ask(self, run: PendingCall) -> None:
        """Request the process from the template, or from a new one if the template is gone."""
        while True:
            handle = self._template()
            token = next(self._tokens)
            self._reader.begin(token, run, handle)
            try:
                handle.fork(token, [run.call, *run.theirs])
            except OSError as error:
                if not self._reader.forget(token):
                    return  # the reader has noticed the end, too, and handles the call
                if error.errno not in _GONE:
                    raise
                handle.popen.wait()
                handle.how = handle.how or messages.ended(handle.popen.returncode)
            else:
                return


def _again(environment: weakref.ref[IsolatedEnvironment], run: PendingCall) -> None:
    """Restart a call whose template died before the process existed. Runs in a thread of its own."""
    ours = environment()
    if ours is None:
        return
    try:
        ours._ask(run)
    except BaseException as error:
        ours._reader.fail(run, error)
