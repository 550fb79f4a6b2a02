"""One call that runs in a process of its own, as its caller sees it."""

from __future__ import annotations

import codecs
import contextlib
import os
import threading
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Literal

from pytest_hotreload.isolate import messages
from pytest_hotreload.isolate.errors import (
    EnvironmentClosed,
    IsolatedDeath,
    IsolatedEnd,
    IsolatedStopped,
    IsolatedTimeout,
    IsolationError,
)

if TYPE_CHECKING:
    from pytest_hotreload.isolate.calls import Outcome

Stream = Literal["stdout", "stderr"]
#: The reason for which we ended a process, or "".
Reason = Literal["", "stopped", "timeout"]
Callback = Callable[["IsolatedProcess", Stream, str], object]

#: Bytes that are kept from the end of each stream, so that endless output does not fill the caller's memory.
KEPT_BYTES = 1 << 20


class Tail:
    """The last part of one stream, as text; the size is limited to ``KEPT_BYTES``."""

    def __init__(self) -> None:
        """Begin with an empty stream."""
        self._data = bytearray()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.dropped = 0

    def add(self, data: bytes) -> str:
        """Append bytes.

        Args:
            data: The bytes that were read; b"" is the end of the stream.

        Returns:
            The characters that these bytes complete.
        """
        self._data += data
        if len(self._data) > 2 * KEPT_BYTES:
            self._cut()
        return self._decoder.decode(data, final=not data)

    def _cut(self) -> None:
        over = len(self._data) - KEPT_BYTES
        if over > 0:
            del self._data[:over]
            self.dropped += over

    def text(self) -> str:
        """Return the kept output; bytes that are not UTF-8 are replaced."""
        return bytes(self._data[-KEPT_BYTES:]).decode("utf-8", "replace")

    def lost(self) -> int:
        """Return the number of bytes that came before the kept output."""
        return self.dropped + max(len(self._data) - KEPT_BYTES, 0)


class IsolatedProcess:
    """A function that runs, or has run, in a process of its own.

    :meth:`IsolatedEnvironment.exec` creates it. Any thread may use it. ``await`` returns the result.
    """

    def __init__(
        self, name: str, timeout: float | None, callback: Callback | None, host: Caller, environment: object
    ) -> None:
        """Create a process that has not begun yet.

        Args:
            name: The name of the call in errors.
            timeout: Seconds that the call may take, or None.
            callback: Called with (process, "stdout" or "stderr", text), or None.
            host: The process and the thread that read the environment's processes.
            environment: Kept alive as long as this object is referenced.
        """
        self._name, self._timeout, self._callback, self._host = name, timeout, callback, host
        #: A reference that keeps the environment alive: an environment without references is closed.
        self._environment = environment
        self._begun, self._ended = threading.Event(), threading.Event()
        self._lock = threading.RLock()  # reentrant: a callback may read the output
        self._tails: dict[Stream, Tail] = {"stdout": Tail(), "stderr": Tail()}
        self._when_done: list[Callable[[], object]] = []
        self._pid: int | None = None
        self._outcome: Outcome | None = None
        self._error: Callable[[], BaseException] | None = None
        self._leftovers: tuple[str, ...] = ()
        self._reason: Reason = ""

    def __repr__(self) -> str:
        """Show the name, the process id and whether the process has ended."""
        state = "done" if self.done else "running"
        return f"<IsolatedProcess {self._name}, pid {self._pid}, {state}>"

    @property
    def name(self) -> str:
        """The name that was given to ``exec``; the default is the function's qualified name."""
        return self._name

    @property
    def pid(self) -> int:
        """The process id; the property waits until the process exists.

        Raises:
            EnvironmentClosed: The environment belongs to another process.
            IsolationError: The process never existed; :meth:`result` raises the reason.
        """
        self._host.check()
        self._begun.wait()
        if self._pid is None:
            raise IsolationError(
                f"{self._name} has no process", hint="call its result(), which raises the reason"
            )
        return self._pid

    @property
    def done(self) -> bool:
        """Whether the process has ended and all its output was read."""
        return self._ended.is_set()

    @property
    def stdout(self) -> str:
        """The text that the process has written to standard output so far: the last 1 MiB."""
        return self._read("stdout")

    @property
    def stderr(self) -> str:
        """The text that the process has written to standard error so far: the last 1 MiB."""
        return self._read("stderr")

    @property
    def dropped(self) -> int:
        """The number of bytes of both streams that came before the kept output."""
        with self._lock:
            return sum(tail.lost() for tail in self._tails.values())

    @property
    def leftovers(self) -> tuple[str, ...]:
        """Processes that the call left behind; they were ended together with its process."""
        return self._leftovers

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the process has ended, without holding the interpreter's lock.

        Args:
            timeout: The most seconds to wait; None means no limit.

        Returns:
            Whether the process has ended.

        Raises:
            EnvironmentClosed: The environment belongs to another process.
            IsolationError: An output callback of the same environment waits.
        """
        if not self.done:
            self._host.check(waiting=True)
        return self._ended.wait(timeout)

    def result(self) -> Any:
        """Wait for the end of the call and return its result.

        Returns:
            The return value of the function.

        Raises:
            Exception: The exception that the function raised; its ``__cause__`` has the traceback of the other
                process.
            IsolatedExit: The function called ``sys.exit``.
            IsolatedDeath: A signal or ``os._exit`` ended the process.
            IsolatedTimeout: The call took longer than its timeout.
            IsolatedStopped: The process was stopped on request.
            CarryError: The result or the exception can't be pickled, or can't be unpickled here.
            EnvironmentClosed: The environment was closed before the process began, or belongs to another process.
            IsolationError: The process could not be started, or its result could not be read.
        """
        self.wait()
        if self._outcome is None:
            assert self._error is not None
            raise self._error()
        try:
            return self._outcome.result()
        except IsolatedEnd as error:
            error.stdout, error.stderr = self.stdout, self.stderr
            raise

    def on_output(self, callback: Callback) -> None:
        """Pass the output to a function: first the output kept so far, then all further output.

        A callback that raises is reported in one line, and is not called again.

        Args:
            callback: Called with (process, "stdout" or "stderr", text), by the environment's thread. The function
                must be short, and must not wait for processes of the same environment.
        """
        with self._lock:
            before = [(stream, tail.text()) for stream, tail in self._tails.items()]
            self._callback = callback
            for stream, text in before:
                if text:
                    self._call(stream, text)

    def __await__(self) -> Generator[Any, None, Any]:
        """Await the result; cancelling ends the waiting only, not the process."""
        import asyncio

        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(lambda: None if waiter.done() else waiter.set_result(None))

        self._host.check()
        self._call_when_done(wake)
        yield from waiter
        return self.result()

    def _read(self, stream: Stream) -> str:
        with self._lock:
            return self._tails[stream].text()

    def _call_when_done(self, function: Callable[[], object]) -> None:
        with self._lock:
            if not self.done:
                self._when_done.append(function)
                return
        function()

    # -- called by the environment -----------------------------------------------------------------

    def _start(self, pid: int) -> None:
        self._pid = pid
        self._begun.set()

    def _hear(self, stream: Stream, data: bytes) -> None:
        """Add output that was read from a stream; b"" is its end."""
        with self._lock:
            text = self._tails[stream].add(data)
            if text:
                self._call(stream, text)

    def _call(self, stream: Stream, text: str) -> None:
        if self._callback is None:
            return
        try:
            self._callback(self, stream, text)
        except Exception as error:
            self._callback = None
            messages.tell(messages.callback_failed(error))

    def _end(
        self, outcome: Outcome | None, error: Callable[[], BaseException], leftovers: tuple[str, ...] = ()
    ) -> None:
        """Set the outcome. Called once. ``error`` creates the exception to raise if there is no outcome."""
        self._leftovers = leftovers
        self._outcome, self._error = outcome, error
        with self._lock:
            self._begun.set()
            self._ended.set()
            waiting, self._when_done = self._when_done, []
        for function in waiting:
            function()

    def _death(self, returncode: int) -> BaseException:
        """The exception for a process that ended without an outcome."""
        said = {"stdout": self.stdout, "stderr": self.stderr}
        if self._reason == "timeout":
            assert self._timeout is not None
            how = messages.timed_out(self._timeout)
            return IsolatedTimeout(
                messages.ended_by(self._name, self._pid, how), hint=messages.MORE_TIME, **said
            )
        if self._reason == "stopped":
            return IsolatedStopped(
                messages.ended_by(self._name, self._pid, "was stopped"), hint=messages.NO_RESULT, **said
            )
        how = messages.how(returncode)
        error = IsolatedDeath(
            messages.ended_by(self._name, self._pid, how), hint=messages.LOOK_AT_OUTPUT, **said
        )
        error.returncode = returncode
        return error


class Caller:
    """The process and the thread that read the processes of an environment."""

    def __init__(self) -> None:
        """Take the current process as the one that owns the environment."""
        self._pid = os.getpid()
        self.thread: threading.Thread | None = None

    def is_ours(self) -> bool:
        """Return whether the current process is the owner, and not a fork of it."""
        return os.getpid() == self._pid

    def check(self, *, waiting: bool = False) -> None:
        """Check that the current process may use the environment.

        Args:
            waiting: Whether the caller is about to wait for a process.

        Raises:
            EnvironmentClosed: The current process is a fork of the owner.
            IsolationError: The reading thread would wait for itself.
        """
        if not self.is_ours():
            raise EnvironmentClosed(
                f"the environment belongs to process {self._pid}, from which this process was forked",
                hint="create a new environment in this process",
            )
        if waiting and threading.current_thread() is self.thread:
            raise IsolationError(
                "an output callback can't wait for a process of the same environment",
                hint="wait in another thread",
            )
