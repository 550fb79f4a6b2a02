"""The template of an isolated environment: an interpreter with third-party modules that forks on request.

The template is started in a fresh interpreter, not forked, because the caller may have threads, an event
loop, or a notebook's kernel. Afterwards it works like the template of a run: warmed in forks of itself, and a
fork point for its children.

:func:`main` runs in the template process; :class:`Handle` represents it in the caller.

Invariant: nothing of the package is imported here, and nothing that the user wrote is unpickled.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from pytest_hotreload.isolate import child, messages
from pytest_hotreload.isolate.errors import IsolationError
from pytest_hotreload.isolate.package import Warmth
from pytest_hotreload.process import fork_state
from pytest_hotreload.process.channel import Channel, pair
from pytest_hotreload.process.fork_messages import Kill, Start, Warm, Warmed
from pytest_hotreload.process.fork_server import serve
from pytest_hotreload.process.import_inputs import Recorder
from pytest_hotreload.process.prefork import Prefork
from pytest_hotreload.process.template import Become, Parked
from pytest_hotreload.world import sockets

#: The number of bytes that a template can print before it dies: a pipe's capacity.
_SAID = 1 << 16
#: The time that a template has to end its children, which it kills.
_PATIENCE_SECONDS = 5.0

#: Before warming, only installed modules may be found, not those in the current folder; and of this plugin
#: only the caller's own copy, because another one may be installed.
_BOOT = """\
import sys
sys.path[:] = {path!r}
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location("pytest_hotreload", {ours!r})
sys.modules[spec.name] = module_from_spec(spec)
spec.loader.exec_module(sys.modules[spec.name])
from pytest_hotreload.isolate.template import main
main({control}, {lifeline}, {own!r})
"""


class Handle:
    """A running template, in the caller."""

    def __init__(self, popen: subprocess.Popen[bytes], channel: Channel, lifeline: int, words: int) -> None:
        self.popen, self.channel, self._lifeline, self._words = popen, channel, lifeline, words
        #: The living children.
        self.tokens: set[int] = set()
        self.retired = False
        self.warmth = Warmth()
        #: Module -> the reason for which the template does not hold it.
        self.quarantine: Mapping[str, str] = {}
        #: Serialises requests, each of which is sent completely.
        self._sending = threading.Lock()
        #: The words about an unexpected end, or "".
        self.how = ""

    @classmethod
    def start(cls, warmth: Warmth, environ: Mapping[str, str], cwd: str | None) -> tuple[Handle, Warmed]:
        """Start a template, and wait until it is warm. Raises :class:`IsolationError`, OSError."""
        ours, theirs = pair()
        lifeline, words = os.pipe(), os.pipe()
        os.set_blocking(words[1], False)  # the pipe is only read at the end
        try:
            popen = _spawn(warmth, environ, cwd, (theirs.fileno(), lifeline[0]), words[1])
        except BaseException:
            for descriptor in (lifeline[1], words[0]):
                os.close(descriptor)
            ours.close()
            raise
        finally:
            theirs.close()
            os.close(lifeline[0])
            os.close(words[1])
        handle = cls(popen, ours, lifeline[1], words[0])
        try:
            handle.warmth = warmth
            return handle, handle._warm(warmth.modules)
        except BaseException:
            handle.end()
            raise

    def _warm(self, modules: Sequence[str]) -> Warmed:
        try:
            self.channel.send(-1, Warm(tuple(modules)))
            _, warmed = self.channel.receive()
        except (EOFError, ConnectionError, BrokenPipeError):
            self.popen.wait()
            words = os.read(self._words, _SAID).decode("utf-8", "replace").strip().splitlines()
            raise IsolationError(
                messages.not_started(words[-1] if words else ""),
                hint="check that this interpreter starts with this environment and in this folder",
            ) from None
        assert isinstance(warmed, Warmed)
        return warmed

    def fork(self, token: int, descriptors: Sequence[int]) -> None:
        """Request a child. Raises OSError if the template is gone."""
        start = Start(token, 0, (), descriptors=len(descriptors))
        with self._sending:
            self.channel.send_with(start, descriptors)

    def kill(self, token: int) -> None:
        """End a child."""
        with contextlib.suppress(OSError), self._sending:
            self.channel.send(-1, Kill(token))

    def end(self) -> int:
        """End the template with all its children, and wait.

        Returns the exit status, negative for a signal.
        """
        with contextlib.suppress(OSError):
            self.channel.socket.shutdown(socket.SHUT_WR)
        os.close(self._lifeline)
        try:
            status = self.popen.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:  # the template was stopped; it leads its process group
            os.killpg(self.popen.pid, signal.SIGKILL)
            status = self.popen.wait()
        self.channel.close()
        os.close(self._words)
        return status

    def disown(self) -> None:
        """Release the template in a fork of the caller: it belongs to the caller, which may die before this process."""
        self.popen.returncode = 0
        self.channel.close()
        for descriptor in (self._lifeline, self._words):
            with contextlib.suppress(OSError):
                os.close(descriptor)


def _spawn(
    warmth: Warmth,
    environ: Mapping[str, str],
    cwd: str | None,
    passed: tuple[int, int],
    words: int,
) -> subprocess.Popen[bytes]:
    """Start the interpreter in a session of its own, so that no key of the caller's terminal reaches it.

    ``words`` is a pipe, because the children's standard streams are pipes as well, behind the same objects.
    """
    ours = str(Path(__file__).parents[1] / "__init__.py")
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    code = _BOOT.format(path=[*warmth.path], ours=ours, control=passed[0], lifeline=passed[1], own=warmth.own)
    return subprocess.Popen(
        [sys.executable, *flags, "-c", code],
        cwd=cwd,
        env=environ,
        pass_fds=passed,
        stdin=subprocess.DEVNULL,
        stdout=words,
        stderr=words,
        start_new_session=True,
    )


# ------------------------------------------------------------------------------- the process


def main(control: int, lifeline: int, own: str) -> None:
    """Serve until the caller closes the channel or dies.

    Each child continues from here and runs one function.
    """
    for descriptor in (control, lifeline):
        os.set_inheritable(descriptor, False)
    channel = Channel(sockets.socket(fileno=control))
    channel.descriptors = []
    with contextlib.suppress(ImportError):  # each child needs it for what was pickled by value
        import cloudpickle  # noqa: F401
    for name in ("main", "spec", "spec_from_file_location", "module_from_spec"):
        sys.modules["__main__"].__dict__.pop(name, None)
    holder = _Holder(channel, lifeline, own)
    try:
        begin = functools.partial(child.begin, lifeline)
        serve(channel, holder.become, lifeline, holder.answer, Prefork(begin))
    except Become as become:
        descriptors = become.descriptors
    else:
        os._exit(0)
    sys.meta_path.remove(holder.keeper)
    child.run(descriptors, holder.inherited)


class _Holder(Parked):
    """The parked template."""

    def __init__(self, control: Channel, lifeline: int, own: str) -> None:
        # Everything that can be found here is installed, or named by the user with ``include``.
        super().__init__(
            control, lifeline, recorder=Recorder(installed=[entry for entry in sys.path if entry])
        )
        self.keeper = _Keeper(own)
        sys.meta_path.insert(0, self.keeper)
        #: The state before the first child.
        self.inherited = fork_state.inventory()

    def objection(self) -> str:
        if self.keeper.asked:
            return messages.first_party(self.keeper.asked[0])
        return super().objection()

    def settle(self) -> None:
        child.prepare()
        gc.collect()
        super().settle()
        self.inherited = fork_state.inventory()


class _Keeper:
    """Keeps the package out: a third-party module may look for it, through an entry point or a path of its own.

    Such a module is then kept out as well, because it may remember that the package was not found.
    """

    def __init__(self, own: str) -> None:
        self._own = own
        self.asked: list[str] = []

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:  # noqa: ARG002
        if name == self._own or name.startswith(self._own + "."):
            self.asked.append(name)
            raise ModuleNotFoundError(f"{name} is not imported in the template", name=name)
