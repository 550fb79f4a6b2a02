"""The template: pytest and its plugins, and the third-party modules that test files share, import-only.

It is forked from the controller before the first conftest is loaded and waits there. It warms itself
only when something needs it (``strict``, slots of their own, files with threads, a death by signal):
an ordinary run never pays for it. Its children go on from the very place where it was forked: each is
an ordinary pytest that collects for itself (``run/child/self_collecting.py``).

Invariant: no first-party module is ever imported here, and no thread runs.
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
from pytest_hotreload.process.fork_server import ForkPoint, Unwind, fork_quietly, serve
from pytest_hotreload.process.fork_state import output_to_nowhere
from pytest_hotreload.process.import_inputs import Recorder
from pytest_hotreload.process.lifeline import end_with
from pytest_hotreload.process.messages import Probe, Probed, Start, Warm, Warmed
from pytest_hotreload.process.proc import native_threads
from pytest_hotreload.world import MODULES, contextlib, os, pickle, threading, time

#: Between the names of the modules that a warm-up began with and what came of it. In no name.
_VERDICT = b"\0"
#: Why a module is kept out when it starts a Python thread at import: no thread survives a fork.
_STARTS_THREAD = "starts a thread while it is imported"


class Become(Unwind):
    """Unwinds a template's child to the place where the template was forked."""

    def __init__(self, start: Start, descriptors: list[int]) -> None:
        super().__init__()
        self.start, self.descriptors = start, descriptors


class Template(ForkPoint):
    """The controller's handle of the parked process."""

    kind = "template"
    warmed: Warmed | None = None

    def warm(self, modules: Sequence[str], barred: Sequence[str] = ()) -> Warmed:
        """Import the modules in the template, once; waits. Raises EOFError if it dies of it."""
        if self.warmed is None:
            self.channel.send(-1, Warm(tuple(modules), tuple(barred)))
            _, self.warmed = self.channel.receive()
        assert self.warmed is not None
        return self.warmed

    def probe(self, modules: Sequence[str]) -> int:
        """How many native threads importing these leaves behind; -1 where it can't be told."""
        self.channel.send(-1, Probe(tuple(modules)))
        _, answer = self.channel.receive()
        return int(answer.threads)


def park(lifeline: tuple[int, int]) -> tuple[Template | None, Become | None]:
    """Fork the template. In the controller: its handle. In each of its children: what it shall be.

    Raises OSError where the system refuses to fork.
    """
    ours, theirs = pair()
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
    """What the template does besides forking.

    ``leave``: called by a process that a warm-up left behind, when the template that came of it has ended.
    ``held``: what its forks adopt. ``kept``: modules that stay in ``sys.modules``, whoever imported them.
    """

    def __init__(
        self,
        control: Channel,
        lifeline: int,
        leave: Callable[[], None] = lambda: None,
        recorder: Recorder | None = None,
        kept: Collection[str] = (),
    ) -> None:
        self.control, self.lifeline, self.leave = control, lifeline, leave
        known = adoption.held() if recorder is None else None  # this process may come from a template itself
        self.held = known or adoption.hold(recorder or Recorder())
        self.held.start_over = None
        self.kept = kept if recorder is not None else set(MODULES)
        freeze()

    def objection(self) -> str:
        """What else speaks against keeping what was just imported; "" if nothing does."""
        recorder = self.held.recorder
        if not recorder.refused:
            return ""
        name = recorder.refused[0]
        return _kept_out(name) if recorder.is_barred(name) else _first_party(name)

    def settle(self) -> None:
        """Everything is imported."""
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
        """Go on in a fork that holds the modules; where one fails, in a fresh one without it.

        This process stays behind as a parent that only waits: a failed import can't be undone, only
        left behind.
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
                while ended != pid:  # a fork of before the warm-up
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
    """What is imported meanwhile is recorded with what it asks for."""
    recorder.start()
    recorder.note_opens(note_opens, noted_opens)
    try:
        yield
    finally:
        recorder.stop()


def import_module(name: str) -> str:
    """Import a module; why it must stay out, or ""."""
    try:
        importlib.import_module(name)
    except BaseException as error:  # sys.exit at import, too, costs that module only
        return f"its import failed: {type(error).__name__}: {error}".splitlines()[0][:200]
    return _STARTS_THREAD if threading.active_count() > 1 else ""


def _count_after(modules: Sequence[str]) -> int:
    with quiet():
        before = native_threads()
        for name in modules:
            if import_module(name):
                return -1
        return native_threads() - before


def in_fork(work: Any, otherwise: Any) -> Any:
    """The result of ``work()`` in a process that is thrown away."""
    read, write = os.pipe()
    pid = fork_quietly()
    if pid == 0:
        try:
            os.write(write, pickle.dumps(work()))
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as result:
        data = result.read()
    os.waitpid(pid, 0)
    return pickle.loads(data) if data else otherwise


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Nothing that an import prints or warns of is seen here: the controller's own import shows it."""
    with output_to_nowhere(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
