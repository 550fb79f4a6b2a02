"""The template of a watch: a fresh interpreter that has imported all plugins, as pytest imports them.

It starts pytest once without a session, and then unwinds that start completely. ``park.py`` continues in its forks.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_hotreload._native import put_back_modes, remember_modes
from pytest_hotreload.compat import pytest_config
from pytest_hotreload.process import import_answers, import_inputs
from pytest_hotreload.process.channel import Channel, pair
from pytest_hotreload.process.lifeline import end_with
from pytest_hotreload.process.template import Parked
from pytest_hotreload.watch import beginning
from pytest_hotreload.watch.attach_protocol import Attach, Prepare
from pytest_hotreload.watch.protocol import Consulted, Inputs, Ready
from pytest_hotreload.watch.standby import attached_run, park, prepared
from pytest_hotreload.watch.standby.asking import installed_sources
from pytest_hotreload.watch.terminal_modes import Modes
from pytest_hotreload.world import contextlib, os, select, signal, sockets, subprocess

#: The environment variable that holds the inherited descriptors of a template: its channel and its lifeline.
_ENVIRONMENT = "PYTEST_HOTRELOAD_STANDING"

#: Milliseconds between the closing of a dying process's first and last descriptor. A guess, on the safe side.
_DEATH_MS = 200

#: The template's program. The only modules of this package that it loads itself are the recorder of import inputs,
#: which has to see the first module already, and what the recorder imports. The other modules are imported with
#: pytest's plugins, as always.
_BOOT = """\
import os, runpy, sys
path, sys.path[:] = sys.path[{skipped}:], {path}; sys.argv[:] = {argv!r}
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location('pytest_hotreload.process.import_inputs', {questions!r})
questions = module_from_spec(spec)
spec.loader.exec_module(questions)
asked, environment, plain = set(), dict(os.environ), os.environ.encodekey
def note(name):
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == '<module>' and frame.f_globals.get('__name__') != '__main__':
            asked.add(name)
            break
        frame = frame.f_back
    return plain(name)
os.environ.encodekey = note
recorder = questions.Recorder(stands_in=True)
recorder.start()
def start():
    try:
        runpy.run_module('pytest', run_name='__main__', alter_sys=True)
    except BaseException as error:
        return error
end = start()
recorder.stop()
if hasattr(end, 'park_template'):
    end.park_template(path, environment, asked, plain, recorder)
    sys.modules['pytest_hotreload.watch.standby.park'].exit_rerun(start())
raise end
"""


def start_template(
    arguments: Sequence[str],
    folder: Path,
    lifeline: int,
    environment: Mapping[str, str],
    modes: Modes | None,
) -> tuple[int, Channel]:
    """Start a fresh interpreter that becomes the template. Returns its process id and the channel to it.

    ``modes``: the modes of the terminal at standard input, which the template restores if the watcher is killed.
    Raises OSError if the system refuses.
    """
    ours, theirs = pair()
    passed = [theirs.fileno(), lifeline]
    messages = os.dup(0) if modes is not None else -1  # capture puts another file in place of 0
    told = ":".join([str(messages), *map(str, modes[:4]), _characters(modes).hex()]) if modes else ""
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    program = str(Path(import_inputs.__file__))
    path, skipped = beginning.search_path(folder), beginning.entries_in_front()
    code = _BOOT.format(path=path, skipped=skipped, argv=[sys.argv[0], *arguments], questions=program)
    # Only the watcher handles Ctrl-C. An ignored signal stays ignored across an exec.
    heard = signal.signal(signal.SIGINT, signal.SIG_IGN)
    process = subprocess.Popen(
        [sys.executable, *flags, "-c", code],
        cwd=folder,
        env={**environment, _ENVIRONMENT: ",".join([*map(str, passed), told])},
        pass_fds=[*passed, messages] if modes is not None else passed,
    )
    signal.signal(signal.SIGINT, heard)
    theirs.close()
    if modes is not None:
        os.close(messages)
    process.returncode = 0  # the process is reaped by the reader of its channel, not by subprocess
    return process.pid, ours


def _characters(modes: Modes) -> bytes:
    return bytes(each if isinstance(each, int) else each[0] for each in modes[6])


def _outlive(lifeline: int, told: str) -> None:
    """Let the template end when the watcher is killed, and restore the terminal's modes then."""
    if told:
        *numbers, characters = told.split(":")
        messages, took, gave, control, local = map(int, numbers)
        os.set_inheritable(messages, False)
        with contextlib.suppress(OSError):  # the terminal hung up
            remember_modes(messages, (took, gave, control, local), bytes.fromhex(characters))
    end_with(lifeline)


def _left_behind(lifeline: int) -> None:
    """Restore the terminal's modes if the watcher died.

    To be called in the process that remembers the modes, after the template ended: the template may have noticed the
    watcher's death earlier.
    """
    poll = select.poll()
    poll.register(lifeline, 0)
    if poll.poll(_DEATH_MS):
        put_back_modes()


class TemplateStart(BaseException):
    """Unwinds a template's first start of pytest, back to where that start began."""

    def __init__(self, control: Channel, lifeline: int) -> None:
        super().__init__()
        self.control, self.lifeline = control, lifeline
        self._rewriting = pytest_config.rewriting_hook()

    def park_template(
        self,
        path: list[str],
        environment: dict[str, str],
        asked: set[str],
        plain: Any,
        recorder: import_inputs.Recorder,
    ) -> None:
        """Serve as the template until the watcher closes the channel. Returns in forks only.

        ``path``, ``environment``: ``sys.path`` and the variables at the interpreter's start. ``asked``: the variables
        for :class:`Consulted`, a set that grows. ``plain``: the original ``os.environ.encodekey``, which was replaced
        to note these variables. ``recorder``: the import inputs of plugins.
        """
        self._asked = asked
        recorder.forget_stand_ins()
        park.tell_ready(self.control, Ready(Inputs()))
        exit_rerun = functools.partial(_left_behind, self.lifeline)
        parked = Parked(self.control, self.lifeline, exit_rerun, recorder, _pytests_own(recorder))
        self._answer = parked.answer
        become, lifeline = park.serve_forks(
            self.control, self.lifeline, park.ignoring_interrupts(parked.become), self._rewrite_and_answer
        )
        os.environ.encodekey = plain
        order: Any = become.start.assignment
        beginning = attached_run.InterpreterStart(path, environment)
        if isinstance(order, Attach):
            park.attach(order, become, lifeline, beginning)
        elif isinstance(order, Prepare):
            prepared.prepare(order, become, lifeline, beginning)
        else:
            park.enter((become, lifeline))

    def _rewrite_and_answer(self, message: Any) -> Any:
        """Answer a message with pytest's rewriting hook installed, and send the variables that modules have read.

        The hook rewrites plugin modules at their import; otherwise each start of pytest would warn about them.
        """
        if self._rewriting is not None:
            sys.meta_path.insert(0, self._rewriting)
        try:
            return self._answer(message)
        finally:
            if self._rewriting is not None:
                sys.meta_path.remove(self._rewriting)
            with contextlib.suppress(OSError):  # the watcher has ended: the next read shows it
                self.control.send(-1, Consulted(frozenset(self._asked), installed_sources()))


def _pytests_own(recorder: import_inputs.Recorder) -> set[str]:
    """The modules that stay in ``sys.modules``: pytest, this package, and their imports. Every run has them first."""
    own = [name for name in recorder.modules if name.partition(".")[0] in import_answers.OURS]
    return recorder.imported_by([*own, "pygments", "cloudpickle"])


def template_start() -> TemplateStart | None:
    """The exception that makes this interpreter the template; None if :func:`start_template` did not start it.

    To be called before the first conftest.
    """
    named = os.environ.pop(_ENVIRONMENT, "")
    if not named:
        return None
    *numbers, told = named.split(",")
    descriptors = [int(number) for number in numbers]
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    _outlive(descriptors[1], told)
    control = Channel(sockets.socket(fileno=descriptors[0]))
    control.descriptors = []
    return TemplateStart(control, descriptors[1])
