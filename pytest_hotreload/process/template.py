"""The template: a parked process that has imported pytest, its plugins and the shared third-party modules.

The template is forked from the controller before the first conftest is loaded, and waits there. It imports
the warm modules only when they are needed (``strict``, slots with processes of their own, files with threads,
a death by signal), so an ordinary run never pays for that. Its children continue at the very place where the
template was forked: each is an ordinary pytest that collects for itself (``run/child/self_collecting.py``).

Invariant: the template never imports a first-party module, and runs no thread.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from pytest_hotreload._native import freeze, note_opens, noted_opens, set_child_subreaper
from pytest_hotreload.process import adoption
from pytest_hotreload.process.channel import Channel, pair
from pytest_hotreload.process.fork_messages import Probe, Probed, Start, Warm, Warmed
from pytest_hotreload.process.fork_server import ForkPoint, Unwind, serve
from pytest_hotreload.process.fork_state import (
    flush_standard,
    output_to_memory,
    output_to_nowhere,
    print_fatal_traceback,
)
from pytest_hotreload.process.import_inputs import Recorder
from pytest_hotreload.process.lifeline import end_with
from pytest_hotreload.process.living import NativeThreads
from pytest_hotreload.process.quiet_fork import fork_quietly
from pytest_hotreload.world import MODULES, contextlib, os, pickle, threading, time

#: Separates the names of the modules that a warm-up began with from its result. No name contains it.
_VERDICT = b"\0"
#: The reason for keeping out a module that starts a Python thread at import: no thread survives a fork.
STARTS_THREAD = "starts a thread while it is imported"


class Become(Unwind):
    """Unwinds a child of the template to the place where the template was forked."""

    def __init__(self, start: Start, descriptors: list[int]) -> None:
        super().__init__()
        self.start, self.descriptors = start, descriptors


class Template(ForkPoint):
    """The controller's handle of the template."""

    kind = "template"
    warmed: Warmed | None = None

    def warm(self, modules: Sequence[str], barred: Sequence[str] = ()) -> Warmed:
        """Import the modules in the template, once, and wait for that.

        Raises EOFError if the imports end the template.
        """
        if self.warmed is None:
            self.channel.send(-1, Warm(tuple(modules), tuple(barred)))
            _, self.warmed = self.channel.receive()
        assert self.warmed is not None
        return self.warmed

    def probe(self, modules: Sequence[str]) -> int:
        """Return how many native threads remain after these modules are imported; -1 if unknown."""
        self.channel.send(-1, Probe(tuple(modules)))
        _, answer = self.channel.receive()
        return int(answer.threads)


def park(lifeline: tuple[int, int]) -> tuple[Template | None, Become | None]:
    """Fork the template. Returns its handle in the controller, and the requested task in each of its children.

    Raises OSError where the system refuses to fork.
    """
    ours, theirs = pair()
    flush_standard()  # a script that calls pytest.main may have printed; both processes would write its text
    pid = fork_quietly()
    if pid:
        theirs.close()
        return Template(pid, ours), None
    try:
        ours.close()
        os.close(lifeline[1])
        theirs.pid = os.getpid()
        theirs.descriptors = []
        parked = Parked(theirs, lifeline[0])
        serve(theirs, parked.become, lifeline[0], parked.answer)
    except Become as become:
        return None, become
    except BaseException:
        os._exit(70)  # EX_SOFTWARE; the controller sees its channel close
    os._exit(0)


class Parked:
    """The template's handlers: warm-up, probes and the start of children."""

    def __init__(
        self,
        control: Channel,
        lifeline: int,
        leave: Callable[[], None] = lambda: None,
        recorder: Recorder | None = None,
        kept: Collection[str] = (),
    ) -> None:
        #: ``leave`` is called by a process that a warm-up left behind, when the template that continued from
        #: it has ended.
        self.control, self.lifeline, self.leave = control, lifeline, leave
        known = adoption.held() if recorder is None else None  # this process may be a fork of a template
        #: The modules that forks of this process adopt.
        self.held = known or adoption.hold(recorder or Recorder())
        self.held.start_over = None
        #: Modules that stay in ``sys.modules``, whichever module imported them.
        self.kept = kept if recorder is not None else set(MODULES)
        freeze()

    def objection(self) -> str:
        """Return why the module that was just imported must not be kept; "" if there is no reason."""
        recorder = self.held.recorder
        if not recorder.refused:
            return ""
        name = recorder.refused[0]
        return _kept_out(name) if recorder.is_barred(name) else _first_party(name)

    def settle(self) -> None:
        """Hold the imported modules back, after all of them were imported."""
        self.held.hold_back(self.kept)
        freeze()

    def become(self, start: Start, descriptors: list[int]) -> None:
        raise Become(start, [os.dup(descriptor) for descriptor in descriptors])

    def answer(self, message: Any) -> Any:
        if isinstance(message, Warm):
            return self._warm(message)
        if isinstance(message, Probe):
            return Probed(in_fork(lambda: _count_after(message.modules), -1))
        return None

    def _warm(self, order: Warm) -> Warmed:
        """Continue in a fork that holds the modules; if a module fails, in a fresh fork without it.

        This process stays behind as a parent that only waits: a failed import can't be undone, only left
        behind.
        """
        recorder = self.held.recorder
        recorder.barred = (*recorder.barred, *order.barred)
        quarantine = {name: _kept_out(name) for name in order.modules if recorder.is_barred(name)}
        while True:
            wanted = [name for name in order.modules if name not in quarantine]
            read, write = os.pipe()
            pid = fork_quietly()
            if pid == 0:
                os.close(read)
                return self._warm_here(wanted, quarantine, write)
            os.close(write)
            with os.fdopen(read, "rb") as verdict:
                told = verdict.read()
            begun, _, told = told.partition(_VERDICT)
            if told == b"warm":
                ended, status = os.wait()
                while ended != pid:  # a fork from before the warm-up
                    ended, status = os.wait()
                self.leave()
                os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
            os.waitpid(pid, 0)
            last = begun.decode().splitlines()[-1:]
            name, why = pickle.loads(told) if told else (last[0], "ended the process")
            quarantine[name] = why

    def _warm_here(self, modules: list[str], quarantine: dict[str, str], write: int) -> Warmed:
        set_child_subreaper(True)
        end_with(self.lifeline)
        self.control.pid = os.getpid()
        began = time.perf_counter()
        costs: dict[str, float] = {}
        self.held.restore()
        with quiet(), recording(self.held.recorder):
            for name in modules:
                before = time.perf_counter()
                os.write(write, name.encode() + b"\n")
                failed = import_module(name)
                why = self.objection() or failed
                if why:
                    os.write(write, _VERDICT + pickle.dumps((name, why)))
                    os._exit(0)
                costs[name] = round(time.perf_counter() - before, 4)
        os.write(write, _VERDICT + b"warm")
        os.close(write)
        self.settle()
        return Warmed(len(sys.modules), time.perf_counter() - began, costs, quarantine)


def _kept_out(name: str) -> str:
    return f"{name} is kept out of the template"


def _first_party(name: str) -> str:
    return f"it looks for {name}, which is not installed"


@contextlib.contextmanager
def recording(recorder: Recorder) -> Iterator[None]:
    """Record, in this block, the imported modules, the inputs that they read, and whether they print or warn."""
    with warnings.catch_warnings(record=True) as caught, output_to_memory() as printed:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", ResourceWarning)  # the garbage collector decides when it comes
        recorder.heard = lambda: (len(caught), printed())
        recorder.start()
        recorder.note_opens(note_opens, noted_opens)
        try:
            yield
        finally:
            recorder.stop()
            recorder.heard = lambda: None


def import_module(name: str) -> str:
    """Import a module. Returns why it must be kept out, or ""."""
    try:
        importlib.import_module(name)
    except BaseException as error:  # even sys.exit at import affects only this module
        return f"its import failed: {type(error).__name__}: {error}".splitlines()[0][:200]
    return STARTS_THREAD if threading.active_count() > 1 else ""


def _count_after(modules: Sequence[str]) -> int:
    with quiet():
        native = NativeThreads()
        for name in modules:
            if import_module(name):
                return -1
        return native.started()


def in_fork(work: Any, otherwise: Any) -> Any:
    """Return the result of ``work()`` in a fork that is thrown away, or ``otherwise`` if there is no result."""
    read, write = os.pipe()
    pid = fork_quietly()
    if pid == 0:
        try:
            os.write(write, pickle.dumps(work()))
        except BaseException:
            print_fatal_traceback()  # an error in our own code: what imports raise, `work` catches
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as result:
        data = result.read()
    with contextlib.suppress(ChildProcessError):  # a conftest ignores SIGCHLD
        os.waitpid(pid, 0)
    return pickle.loads(data) if data else otherwise


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hide what imports print and warn of in this block: the controller's own import shows it."""
    with output_to_nowhere(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
