"""Prepares runs in a server: processes that have begun a run ahead, for the next run that differs in the test only.

After a run of a file, or of a test in it, a fork of the template begins the same run ahead (``standby/prepared.py``).
It parks when the initial conftests are loaded; a fork of it has imported the test file with all that it imports. The
next run with the same options, variables and folder is a fork of the second if it names the same file, of the first if
it names another file of the same folder. For a while after a run, edits of what it imports are looked for, so that the
next run finds the edited file imported.

A process is used only if each of its inputs is unchanged when the run is asked for. In doubt, the run is a fork of the
template, or of the process before.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pytest_hotreload.process.channel import pair
from pytest_hotreload.process.fork_messages import Gone, Refused, Start, Started
from pytest_hotreload.process.slots import anonymous_file
from pytest_hotreload.watch.attach_protocol import Attach, Prepare, RunFacts, Unprepared
from pytest_hotreload.watch.environment import discard_bytecode
from pytest_hotreload.watch.input_states import InputStates
from pytest_hotreload.watch.prepared_kinds import Kind, Point, file_of, shape_of
from pytest_hotreload.watch.process import Process
from pytest_hotreload.watch.protocol import Extend, Ready
from pytest_hotreload.watch.template_processes import TemplateProcesses

#: The numbers of kinds of runs, and of files of each, that are prepared at the same time: each file takes the memory
#: of what it imports, 20 to 50 MB.
_KINDS, _FILES = 3, 4
#: Seconds between the end of a run and the preparation of the next one: what the run wrote at its end is then settled
#: (``input_states.py``), and a run that follows at once has the processor for itself.
_PAUSE = 0.05
#: Seconds between two looks for edits, 1 ms each, and the seconds after a run for which these go on: an agent, or a
#: person, edits and runs again within this time.
_LOOK, _LOOKED_FOR = 0.5, 120.0
#: Processes that are started between two runs at most: something may write the files that they read all the time.
_ATTEMPTS = 12
#: Files of these kinds decide whether what could not be prepared is tried again: an import that writes what it reads
#: would otherwise write again and again.
_SOURCES = (".py", ".ini", ".toml", ".cfg")
#: Seconds in which killed processes are gone, unless the system is at its limits. A guess, on the safe side.
_CLOSING = 1.0
#: Seconds that one preparation may take, as for the fork points of a watch.
_AHEAD_SECONDS = 60.0


class PreparedRuns:
    """The prepared processes of a server.

    ``token`` returns the next number of a process. ``in_use`` tells whether a run is a fork of this process, and
    ``busy`` whether there is any run.
    """

    def __init__(
        self,
        root: str,
        processes: TemplateProcesses,
        token: Callable[[], int],
        in_use: Callable[[Process], bool],
        busy: Callable[[], bool],
    ) -> None:
        self._root, self._processes, self._token = root, processes, token
        self._in_use, self._busy = in_use, busy
        #: In the order of their last use.
        self._kinds: list[Kind] = []
        #: Processes that must not be used again, and end with the last run that is a fork of them.
        self._retired: list[Process] = []
        #: The kind whose last run is to be prepared.
        self._wanted: Kind | None = None
        self._building: Point | None = None
        #: When the next process may be started, in monotonic seconds.
        self._begin = 0.0
        #: When edits are looked for next, and until when, in monotonic seconds.
        self._next_look = self._last_look = 0.0

    # -- runs ----------------------------------------------------------------------------------------

    def point(self, run: Attach, *, on_terminal: bool) -> Process | None:
        """The process of which this run can be a fork; None if only the template is one.

        ``on_terminal``: whether the client's standard output is a terminal, on which ``--hotreload`` may decide before
        the conftests.
        """
        for kind in self._kinds:
            file = kind.shape.file(run) if not (on_terminal and kind.facts.is_active) else ""
            if file and os.path.isfile(os.path.join(run.folder, file)):
                found = self._fitting(kind, file, run.environment)
                if found is not None:
                    return found
        return None

    def _fitting(self, kind: Kind, file: str, environment: Mapping[str, str]) -> Process | None:
        """The process that has imported the most of what this file needs. Those that are stale are dropped."""
        for point in (kind.files.get(file), kind.conftests):
            if (
                point is None
                or point.states is None
                or not point.suits(environment, is_active=kind.facts.is_active)
            ):
                continue
            changed = point.states.changed()
            if not changed:
                if point is not kind.conftests:
                    kind.files[file] = kind.files.pop(file)  # the one that was used last is dropped last
                return point.process
            discard_bytecode(changed)  # its header misses an edit within a second that keeps the size
            self._drop(kind, point)
        return None

    def ran(self, run: Attach, facts: RunFacts) -> None:
        """Prepare the next run, after this one has ended."""
        shape = shape_of(run, facts.named)
        if shape is None:
            return
        file = file_of(facts.named)
        kind = next((each for each in self._kinds if each.is_of(shape, run.environment)), None)
        kind = kind or Kind(shape, run, file, facts)
        kind.run, kind.file, kind.facts, kind.attempts = run, file, facts, 0
        self._kinds = [kind, *(each for each in self._kinds if each is not kind)]
        for old in self._kinds[_KINDS:]:
            self._drop_all_of(old)
        del self._kinds[_KINDS:]
        self._next_look = self._last_look = time.monotonic() + _LOOKED_FOR
        self._look(kind)

    def _look(self, kind: Kind) -> None:
        """Drop what is stale of the last run of this kind, and begin to prepare what is missing."""
        self._fitting(kind, kind.file, kind.run.environment)
        for name in ("", kind.file):
            if name in kind.refused and kind.refused[name][1].changed():
                del kind.refused[name]
        now = time.monotonic()
        self._begin, self._next_look = now + _PAUSE, now + _LOOK
        self._wanted = kind if self._missing(kind) and kind.attempts < _ATTEMPTS else None

    def _missing(self, kind: Kind) -> str:
        """What can be prepared for the last run of this kind, and is not: "conftests", "file", or ""."""
        if kind.conftests is None:
            return "" if "" in kind.refused else "conftests"
        is_there = kind.file in kind.files or kind.file in kind.refused
        return "" if is_there or not kind.facts.imports_early else "file"

    def advance(self) -> None:
        """Start the next process that is wanted, unless one is being prepared."""
        kind = self._wanted
        if kind is None or self._building is not None or time.monotonic() < self._begin:
            return
        missing, template = self._missing(kind), self._processes.template
        if missing == "conftests" and template is not None:
            environment = kind.run.environment
            kind.conftests = self._building = self._fork(template, Prepare(kind.run), environment)
        elif missing == "file" and kind.conftests is not None:
            while len(kind.files) >= _FILES:
                self._drop(kind, next(iter(kind.files.values())))
            path = os.path.normpath(os.path.join(kind.run.folder, kind.file))
            order = Extend(tests=(path,), written=kind.facts.written)
            parent = kind.conftests
            kind.files[kind.file] = self._building = self._fork(parent.process, order, parent.environment)
        else:
            self._wanted = None
            return
        kind.attempts += 1

    def _fork(self, parent: Process, order: Any, environment: Mapping[str, str]) -> Point:
        ours, theirs = pair()
        process = Process("prepared", parent, ours, order, self._token())
        descriptors = [theirs.fileno()]
        opened = []
        if isinstance(order, Prepare):
            printed = anonymous_file("hotreload-printed")
            opened = [os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), printed]
            descriptors = [*opened, printed, *descriptors]
        start = Start(process.token, 0, (), False, order, len(descriptors))
        with contextlib.suppress(OSError):  # the end of the parent is read next
            parent.channel.send_with(start, descriptors)
        theirs.close()
        for descriptor in opened:
            os.close(descriptor)
        self._processes.register(process)
        return Point(process, time.time_ns(), environment)

    # -- messages ------------------------------------------------------------------------------------

    def hear(self, process: Process, message: Any) -> None:
        """Handle a message of a process or about one; ``None``: it has ended."""
        is_about_fork = isinstance(message, Started | Gone | Refused)
        for kind, point in list(self._all()):
            if is_about_fork and point.process.token == message.token:
                point.process.pid = message.pid if isinstance(message, Started) else 0
                if isinstance(message, Refused):
                    self._refuse(kind, point, Unprepared("it cannot be forked"))
            elif not is_about_fork and point.process is process:
                self._of_point(kind, point, message)
        self.advance()

    def _of_point(self, kind: Kind, point: Point, message: Any) -> None:
        if point is self._building:
            self._building = None
        if isinstance(message, Ready):
            places = [*message.search_path, *_parents(kind, self._root)]
            point.states = InputStates(message.inputs, places, point.since_ns)
            point.variables = message.variables
            if point.states.unsettled:
                self._drop(kind, point)
                self._wanted = None
            return
        self._refuse(kind, point, message if isinstance(message, Unprepared) else Unprepared("it has ended"))

    def _refuse(self, kind: Kind, point: Point, message: Unprepared) -> None:
        sources = frozenset(file for file in message.inputs.files if file.endswith(_SOURCES))
        states = InputStates(message.inputs._replace(files=sources, asked=frozenset()), (), point.since_ns)
        if not states.unsettled:  # otherwise the next run tries again
            kind.refused[_named(kind, point)] = message.why, states
        self._wanted = None
        self._drop(kind, point)

    def _all(self) -> Iterator[tuple[Kind, Point]]:
        for kind in self._kinds:
            for point in kind.points:
                yield kind, point

    # -- ending --------------------------------------------------------------------------------------

    def _drop(self, kind: Kind, point: Point) -> None:
        """Use this process no more, nor its forks."""
        dropped = [point]
        if point is kind.conftests:
            dropped, kind.conftests = kind.points, None
        kind.files = {file: each for file, each in kind.files.items() if each not in dropped}
        self._retired += [each.process for each in dropped]
        if self._building in dropped:
            self._building = None
        self.release()

    def _drop_all_of(self, kind: Kind) -> None:
        for point in reversed(kind.points):
            self._drop(kind, point)

    def drop_all(self) -> None:
        """Use no process any more, because there is another template."""
        for kind in self._kinds:
            self._drop_all_of(kind)
        self._kinds.clear()
        self._wanted = None

    def close(self) -> None:
        """End all processes, and wait for that as long as it takes their parents to notice: "stopped" means stopped."""
        pids = [each.process.pid for _, each in self._all()] + [each.pid for each in self._retired]
        self._in_use = lambda _: False
        self.drop_all()
        deadline = time.monotonic() + _CLOSING
        while any(pid and _exists(pid) for pid in pids) and time.monotonic() < deadline:
            time.sleep(0.002)

    def release(self) -> None:
        """End the processes that are not used any more and of which no run is a fork."""
        for process in reversed(self._retired[:]):
            if not any(each.parent is process for each in self._retired) and not self._in_use(process):
                self._retired.remove(process)
                self._processes.end(process)

    def wait(self) -> float | None:
        """Seconds until :meth:`tick` has something to do; None for never."""
        if self._building is not None:
            return max(self._building.process.began + _AHEAD_SECONDS - time.monotonic(), 0.0)
        now = time.monotonic()
        if self._wanted is not None:
            return max(self._begin - now, 0.0)
        return max(self._next_look - now, 0.0) if self._kinds and now < self._last_look else None

    def tick(self) -> None:
        """Begin what is due, and end a process whose preparation does not end."""
        late = self._building
        if late is not None and self.wait() == 0:
            for kind in [kind for kind in self._kinds if late in kind.points]:
                self._refuse(kind, late, Unprepared("its import does not end"))
        if self._building is None and self._wanted is None and self.wait() == 0:
            self._next_look = time.monotonic() + _LOOK
            if not self._busy():
                self._look(self._kinds[0])
        self.advance()

    def described(self) -> tuple[list[str], list[tuple[str, str]]]:
        """The files that are imported ahead; and those that are not ("" for the conftests), each with the reason."""
        files = [file for kind in self._kinds for file, point in kind.files.items() if point.is_ready]
        refused = [(file, why) for kind in self._kinds for file, (why, _) in kind.refused.items()]
        return files, refused


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def _named(kind: Kind, point: Point) -> str:
    """The file of this process; "" for the conftests."""
    return next((file for file, each in kind.files.items() if each is point), "")


def _parents(kind: Kind, root: str) -> Iterator[str]:
    """The folders in which pytest looks for conftests and settings, from that of the file up to the root."""
    folder = os.path.normpath(os.path.join(kind.run.folder, kind.shape.folder))
    yield folder
    while folder not in (root, os.path.dirname(folder)):
        folder = os.path.dirname(folder)
        yield folder
