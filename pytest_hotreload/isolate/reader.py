"""The thread that reads from an environment's templates and children, so that no other thread has to.

Only this thread closes the descriptors that it reads, so that no descriptor number is reused under it. This
thread never sends, and therefore keeps reading while another thread waits for a full socket to be emptied.
"""

from __future__ import annotations

import contextlib
import functools
import os
import selectors
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field

from pytest_hotreload.isolate import messages
from pytest_hotreload.isolate.calls import read_outcome
from pytest_hotreload.isolate.errors import EnvironmentClosed, IsolatedDeath, IsolationError
from pytest_hotreload.isolate.process import Caller, IsolatedProcess, Reason, Stream
from pytest_hotreload.isolate.template import Handle
from pytest_hotreload.process.fork_messages import Gone, Refused, Started

#: The maximum size of one read from a pipe: a pipe's capacity.
_CHUNK = 1 << 16
#: The maximum that is read from a pipe after its writer's end: an escaped daemon may still hold and fill the
#: pipe.
_LAST = 1 << 20


@dataclass
class PendingCall:
    """A call and the caller's resources for it."""

    process: IsolatedProcess
    #: The descriptor of the memory file.
    call: int
    #: The timeout of the call.
    seconds: float | None
    #: Descriptors to read -> stream.
    pipes: dict[int, Stream] = field(default_factory=dict)
    #: The other ends of the pipes, which are kept open until the process exists.
    theirs: list[int] = field(default_factory=list)
    handle: Handle | None = None
    #: The end of the timeout on the monotonic clock.
    deadline: float | None = None
    tries: int = 0

    def open_output(self, *, inherit: bool) -> None:
        """Open the child's descriptors 1 and 2, and the pipes from which they are read."""
        streams: tuple[Stream, Stream] = ("stdout", "stderr")
        for number, stream in enumerate(streams, start=1):
            if inherit:
                self.theirs.append(os.dup(number))
                continue
            read, write = os.pipe()
            os.set_blocking(read, False)
            self.pipes[read] = stream
            self.theirs.append(write)


@dataclass
class _Wake:
    """A pipe that wakes the reading thread."""

    read: int = -1
    write: int = -1

    def open(self) -> None:
        self.read, self.write = os.pipe()
        os.set_blocking(self.read, False)
        os.set_blocking(self.write, False)

    def say(self) -> None:
        with contextlib.suppress(OSError):
            os.write(self.write, b"\0")

    def hear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self.read, _CHUNK)

    def close(self) -> None:
        for descriptor in (self.read, self.write):
            os.close(descriptor)


class Reader(Caller):
    """The reading thread and its state.

    ``again`` restarts a call whose template died before the call began; it runs in a thread of its own.
    """

    def __init__(self, again: Callable[[PendingCall], None]) -> None:
        super().__init__()
        self._again = again
        self._selector = selectors.DefaultSelector()
        self._wake = _Wake()
        self._wake.open()
        self._selector.register(self._wake.read, selectors.EVENT_READ, None)
        self._handles: list[Handle] = []
        self._runs: dict[int, PendingCall] = {}
        self._failed: list[tuple[PendingCall, BaseException]] = []
        self._timed = False
        #: Protects ``_closing`` and ``_over``: a call that begins or fails is either ended with all others or
        #: refused.
        self._ending = threading.Lock()
        self._closing = self._over = False
        self.thread = threading.Thread(target=self._read, name="isolate_imports", daemon=True)
        self.thread.start()
        _READERS.add(self)

    # -- any thread --------------------------------------------------------------------------------

    def add(self, handle: Handle) -> None:
        """Read messages from a template."""
        self._handles.append(handle)
        self._selector.register(handle.channel.socket, selectors.EVENT_READ, handle)

    def begin(self, token: int, run: PendingCall, handle: Handle) -> None:
        """Register a process that is about to be requested. Raises :class:`EnvironmentClosed`."""
        with self._ending:
            if self._closing:
                raise EnvironmentClosed(
                    "the environment was closed", hint="create a new environment with isolate_imports"
                )
            run.handle = handle
            run.tries += 1
            handle.tokens.add(token)
            self._runs[token] = run
        if run.tries == 1:
            for descriptor, stream in run.pipes.items():
                self._selector.register(descriptor, selectors.EVENT_READ, (run, stream))

    def forget(self, token: int) -> bool:
        """Remove a call that could not be requested or is over.

        Returns whether the call was still registered: the thread that removes it is responsible for its end.
        """
        run = self._runs.pop(token, None)
        if run is not None and run.handle is not None:
            run.handle.tokens.discard(token)
        return run is not None

    def fail(self, run: PendingCall, error: BaseException) -> None:
        """End a call that never began."""
        with self._ending:
            if not self._over:
                self._failed.append((run, error))
                self._wake.say()
                return
        self._finish(run, lambda: error)

    def retire(self, handle: Handle) -> None:
        """End a template as soon as its last child has ended."""
        handle.retired = True
        self._wake.say()

    def stop(self, process: IsolatedProcess, reason: Reason) -> None:
        """End a process. Sending may block, so the reading thread leaves that to another thread."""
        for token, run in list(self._runs.items()):
            if run.process is process and run.handle is not None and not process._reason:
                process._reason = reason
                if threading.current_thread() is self.thread:
                    threading.Thread(target=run.handle.kill, args=(token,), daemon=True).start()
                else:
                    run.handle.kill(token)

    def close(self) -> None:
        """End all templates and processes and the thread, and wait for it.

        No effect in a fork of the caller.
        """
        if not self.is_ours() or self.thread is None:
            return
        with self._ending:
            self._closing = True
            if not self._over:
                self._wake.say()
        if threading.current_thread() is not self.thread:
            self.thread.join()

    # -- the thread --------------------------------------------------------------------------------

    def _read(self) -> None:
        try:
            while not self._closing:
                for key, _ in self._selector.select(self._timeout()):
                    self._hear(key)
                self._end_late()
                self._end_retired()
                self._end_failed()
        finally:
            self._end_all()

    def _hear(self, key: selectors.SelectorKey) -> None:
        if key.data is None:
            self._wake.hear()
        elif isinstance(key.data, Handle):
            self._hear_template(key.data)
        else:
            self._hear_pipe(key.fd, *key.data)

    def _timeout(self) -> float | None:
        """Seconds until the next deadline, or None."""
        if not self._timed:
            return None
        deadlines = [run.deadline for run in list(self._runs.values()) if run.deadline is not None]
        self._timed = bool(deadlines)
        return max(min(deadlines) - time.monotonic(), 0.0) if deadlines else None

    def _hear_template(self, handle: Handle) -> None:
        frames, closed = handle.channel.drain()
        for _, message in frames:
            run = self._runs.get(message.token)
            if run is None:
                continue
            if isinstance(message, Started):
                _close_all(run.theirs)
                run.process._start(message.pid)
                if run.seconds is not None:
                    run.deadline, self._timed = time.monotonic() + run.seconds, True
            elif isinstance(message, Gone):
                self.forget(message.token)
                self._gone(run, message)
            elif isinstance(message, Refused):
                self.forget(message.token)
                said = messages.refused(run.process.name, os.strerror(message.errno))
                self._finish(run, functools.partial(_same, IsolationError(said, hint=messages.FEWER)))
        if closed:
            self._lose(handle)

    def _hear_pipe(self, descriptor: int, run: PendingCall, stream: Stream) -> None:
        if descriptor not in run.pipes:
            return  # an earlier event of this round closed it
        data = _read_some(descriptor)
        if data is None:
            return
        run.process._hear(stream, data)
        if not data:
            self._close_pipe(run, descriptor)

    def _close_pipe(self, run: PendingCall, descriptor: int) -> None:
        del run.pipes[descriptor]
        with contextlib.suppress(KeyError, RuntimeError):  # not registered, or everything is over
            self._selector.unregister(descriptor)
        os.close(descriptor)

    def _gone(self, run: PendingCall, gone: Gone) -> None:
        process = run.process
        if gone.leftovers:
            messages.tell(messages.left_behind(process.name, gone.leftovers))
        returncode = os.waitstatus_to_exitcode(gone.status)
        self._finish(run, lambda: process._death(returncode), gone.leftovers)

    def _finish(
        self, run: PendingCall, error: Callable[[], BaseException], leftovers: tuple[str, ...] = ()
    ) -> None:
        """Finish a call when its process has ended.

        Other processes may still hold the pipes, so their end is not awaited.
        """
        _close_all(run.theirs)
        for descriptor, stream in list(run.pipes.items()):
            left = _LAST
            while left > 0 and (data := _read_some(descriptor)):
                run.process._hear(stream, data)
                left -= len(data)
            run.process._hear(stream, b"")
            self._close_pipe(run, descriptor)
        try:
            outcome = read_outcome(run.call, run.process.name)
        except (OSError, MemoryError) as failed:
            said = messages.unreadable(run.process.name, failed)
            outcome, error = None, lambda: IsolationError(said, hint=messages.LESS)
        os.close(run.call)
        run.process._end(outcome, error, leftovers)

    def _lose(self, handle: Handle) -> None:
        """Handle the unexpected end of a template."""
        handle.how = messages.ended(self._end(handle))

    def _end(self, handle: Handle) -> int:
        """End a template with its children, and return its exit status.

        Calls that it never started are restarted.
        """
        self._selector.unregister(handle.channel.socket)
        self._handles.remove(handle)
        status = handle.end()
        for token in list(handle.tokens):
            run = self._runs.get(token)
            if run is None or not self.forget(token):
                continue
            if run.process._pid is None and run.tries < 2 and not run.process._reason:
                threading.Thread(target=self._again, args=(run,), daemon=True).start()
                continue
            process = run.process
            self._finish(run, functools.partial(_death_with_template, process))
        return status

    def _end_late(self) -> None:
        if not self._timed:
            return
        now = time.monotonic()
        for run in list(self._runs.values()):
            if run.deadline is not None and run.deadline <= now:
                run.deadline = None
                self.stop(run.process, "timeout")

    def _end_retired(self) -> None:
        for handle in [each for each in self._handles if each.retired and not each.tokens]:
            self._end(handle)

    def _end_failed(self) -> None:
        while self._failed:
            run, error = self._failed.pop()
            self._finish(run, functools.partial(_same, error))

    def _end_all(self) -> None:
        with self._ending:
            self._closing = True
        for handle in self._handles:
            handle.end()
        for token, run in list(self._runs.items()):
            self.forget(token)
            run.process._reason = run.process._reason or "stopped"
            self._finish(run, functools.partial(run.process._death, 0))
        with self._ending:
            self._over = True
        self._end_failed()
        self._selector.close()
        self._wake.close()
        _READERS.discard(self)

    # -- in a fork of the caller -------------------------------------------------------------------

    def disown(self) -> None:
        """Close all inherited descriptors, so that a fork keeps nothing alive that the caller ends."""
        self.thread = None
        self._selector.close()
        self._wake.close()
        for handle in self._handles:
            handle.disown()
        for run in self._runs.values():
            _close_all([run.call, *run.pipes, *run.theirs])
        self._handles, self._runs = [], {}


def _same(error: BaseException) -> BaseException:
    return error


def _close_all(descriptors: list[int]) -> None:
    while descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptors.pop())


def _read_some(descriptor: int) -> bytes | None:
    """The available bytes; None if there are none now, b"" at the end of the stream."""
    try:
        return os.read(descriptor, _CHUNK)
    except BlockingIOError:
        return None


def _death_with_template(process: IsolatedProcess) -> BaseException:
    error = process._death(-9)
    if isinstance(error, IsolatedDeath):
        how = messages.ended_by(process.name, process._pid, messages.with_template())
        error = IsolatedDeath(how, hint=messages.RUN_AGAIN, stdout=error.stdout, stderr=error.stderr)
        error.returncode = -9
    return error


_READERS: weakref.WeakSet[Reader] = weakref.WeakSet()


def _disown_all() -> None:
    for reader in list(_READERS):
        reader.disown()
    _READERS.clear()


os.register_at_fork(after_in_child=_disown_all)
