"""Starts children, from the fork point of the collected controller or from a source that collects for itself.

Self-collecting sources are the template (``strict``, files with threads, second tries), slot processes, and
fresh interpreters (``spawn``, and wherever fork is refused).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from pytest_hotreload.ci.sharding import shard_of
from pytest_hotreload.compat import pytest_output
from pytest_hotreload.imports import learning
from pytest_hotreload.imports.analysis import Analysis, analyse, third_party
from pytest_hotreload.original_names import ORIGINAL_NAMES
from pytest_hotreload.process import fork_state
from pytest_hotreload.process.channel import Channel, pair
from pytest_hotreload.process.fork_messages import Assignment, SlotCollected, Start, Warm
from pytest_hotreload.process.fork_server import ForkPoint
from pytest_hotreload.process.import_answers import is_inside
from pytest_hotreload.process.installed import is_installed
from pytest_hotreload.process.proc import native_threads
from pytest_hotreload.process.slots import Slot
from pytest_hotreload.process.template import Template
from pytest_hotreload.records.observer import Observed, Observer
from pytest_hotreload.run import messages
from pytest_hotreload.run.child import reset
from pytest_hotreload.run.child.context import SlotEnd
from pytest_hotreload.run.child.entry import ChildFactory, random_state
from pytest_hotreload.run.fixtures.processes import FixtureProcesses
from pytest_hotreload.run.rewinding import Rewinding
from pytest_hotreload.run.schedule import Group
from pytest_hotreload.run.spawn import SpawnLauncher
from pytest_hotreload.wording import many
from pytest_hotreload.world import BUILTINS, contextlib

__builtins__ = BUILTINS

if TYPE_CHECKING:
    from pytest_hotreload.run.child.reporter import Reporter
    from pytest_hotreload.run.context import Origin, RunContext

#: The number of groups from which huge pages pay: 1,000 trivial files gained 0.6 of 5.9 s, 60 heavy ones
#: nothing.
_MANY = 200
#: The limit for a slot's own ``pytest_sessionfinish``. Plain pytest waits forever.
_SESSION_END_SECONDS = 60.0


class SlotPoint(ForkPoint):
    """The fork point in a slot process; the template reaps the process."""

    def __init__(self, channel: Channel, collected: Callable[[Any], None]) -> None:
        """``collected`` receives what the slot process observed while it collected."""
        super().__init__(-1, channel)
        self._collected = collected

    def read(self) -> tuple[list[Any], bool]:
        """As in a fork point, without what only a slot process says."""
        messages, closed = super().read()
        for message in messages:
            if isinstance(message, SlotCollected):
                self._collected(message.observed)
        return [message for message in messages if not isinstance(message, SlotCollected)], closed

    def _wait(self) -> None:
        """Wait until the process, which is not our child, closes its end, after the end of its session."""
        self.channel.socket.settimeout(_SESSION_END_SECONDS)
        with contextlib.suppress(OSError):
            while self.channel.socket.recv(65536):
                pass

    def kill(self) -> None:
        self.channel.close()


class Launcher:
    """Starts the child of a group from the right source.

    ``own_slots`` names the files that read the worker id early, or is "". ``real`` holds duplicates of this
    process's file descriptors 1 and 2.
    """

    def __init__(
        self,
        context: RunContext,
        origin: Origin,
        reporter: Reporter,
        slots: Sequence[Slot],
        real: tuple[int, int],
    ) -> None:
        self.context, self.origin = context, origin
        self.reporter, self.slots, self.real = reporter, slots, real
        self.randomness = random_state()
        self.template: Template | None = origin.template
        self.own_slots = origin.early_readers
        self._point: ForkPoint | None = None
        self._spawner: SpawnLauncher | None = None
        self._slot_points: dict[int, ForkPoint] = {}
        self._warm = self._many = False
        self._cleared: tuple[tuple[str, str], ...] = ()
        self._learner = learning.Learner()
        self.had_threads = False
        #: Set up session fixtures once; None if children do so for themselves.
        self.fixtures: FixtureProcesses | None = None
        self.rewinding = Rewinding(context.options, context.items, context.totals)

    def prepare(self, groups: Sequence[Group], cleared: Iterable[tuple[str, str]]) -> None:
        """Prepare for the first child: freeze this process's GC, and register the template if there is one.

        ``groups`` will run. ``cleared`` holds (base id, name) of fixtures that children leave out.
        """
        self._many, self._cleared = len(groups) >= _MANY, tuple(cleared)
        options = self.context.options
        if options.share and not options.direct and options.isolate in ("file", "test"):
            self.fixtures = FixtureProcesses(self.context, self.slots, groups)
        self.had_threads = native_threads() > 1
        self.inherited = fork_state.inventory()
        pytest_output.flush_terminal(self.context.config)
        fork_state.flush_before_fork(self.inherited)
        reset.freeze_gc()
        if self.template is not None:
            self.context.children.add_point(self.template)
        if self.context.options.start == "spawn":
            self._spawn_everything("")

    def learn(self, modules: Sequence[str]) -> None:
        """Record modules that a child imported, so that the fork point can import them for later children."""
        barred = self.context.config.getini("hotreload_not_warm")
        ready = self._learner.add(name for name in modules if not is_inside(name, barred))
        if ready and self._point is not None and self._point in self.context.children.points:
            self.context.children.renew()
            with contextlib.suppress(OSError):
                self._point.channel.send(-1, Warm(ready))

    def start(self, group: Group, slot: Slot) -> None:
        """Start a child for ``group`` in ``slot``."""
        if group.alone:
            self._start_apart(group, slot)
        elif self.own_slots:
            self._start_in(
                self._with_fixtures(self._slot_point(slot), group, slot, of_slot=True), group, slot
            )
        else:
            point = self._fork_point()
            if point is None:
                self._start_apart(group, slot)
            else:
                self.context.totals.forked_in.add(slot.index)
                self._start_in(self._with_fixtures(point, group, slot), group, slot)

    def _with_fixtures(
        self, point: ForkPoint, group: Group, slot: Slot, *, of_slot: bool = False
    ) -> ForkPoint:
        """Return the process that holds the costly session fixtures of the group, or ``point``."""
        if self.fixtures is None:
            return point
        return self.fixtures.point_for(group, slot, point, of_slot=of_slot)

    def _start_in(self, point: ForkPoint, group: Group, slot: Slot) -> None:
        context = self.context
        failed = context.session.testsfailed
        if self.rewinding.needs_fork(group):
            context.children.dismiss(slot.index)
        context.children.start(
            group,
            slot,
            point,
            own_group=not context.options.direct,
            failed=failed,
            rewind=self.rewinding.mode(group, len(context.schedule) - self._free_slots(slot)),
            elsewhere=() if self.fixtures is None else self.fixtures.elsewhere(group, slot, point),
        )

    def _free_slots(self, slot: Slot) -> int:
        return sum(other.running is None for other in self.slots if other is not slot)

    # -- the fork point of the collected controller -----------------------------------------------

    def _fork_point(self) -> ForkPoint | None:
        """Return the fork point, a fork of this collected process; a new one if the last one was killed."""
        children = self.context.children
        if self._point is None or self._point not in children.points:
            try:
                kept = [slot.channel for slot in self.slots]
                kept += [point.channel for point in children.points]
                self._point = children.add_point(
                    ForkPoint.fork(
                        self._child_factory().unwind,
                        self.origin.lifeline,
                        kept,
                        functools.partial(learning.answer, observer=self._observer),
                        many=self._many,
                    )
                )
            except OSError as error:
                self._spawn_everything(messages.no_fork(error))
                return None
        return self._point

    def _child_factory(self) -> ChildFactory:
        context = self.context
        return ChildFactory(
            session=context.session,
            reporter=self.reporter,
            items=dict(enumerate(context.items)),
            slots={slot.index: self._end(slot) for slot in self.slots},
            lifeline=self.origin.lifeline[0],
            real=self.real,
            randomness=self.randomness,
            inherited=self.inherited,
            direct=context.options.direct,
            several_files=context.options.isolate == "worker",
            observer=self._observer,
        )

    @property
    def _observer(self) -> Observer | None:
        return self.context.records.observer if self.context.records is not None else None

    def _end(self, slot: Slot) -> SlotEnd:
        nodes = self.context.nodes
        return SlotEnd(
            slot.child_end.socket, slot.files, slot.worker_id, nodes.workerinput(slot), nodes.environ(slot)
        )

    # -- self-collecting children ------------------------------------------------------------------

    def _start_apart(self, group: Group, slot: Slot) -> None:
        if self.fixtures is not None:
            self.fixtures.make_room(group, slot)
        point = self._apart_point()
        items = self.context.items
        order = self._assignment(
            slot,
            (group.path,),
            tuple((index, items[index].nodeid) for index in group.indices),
            f"{slot.worker_id}-{group.indices[0]}",
        )
        failed = self.context.session.testsfailed
        self.context.children.start_apart(group, slot, point, order, [*slot.descriptors()], failed=failed)

    def _apart_point(self) -> Any:
        """Return the warmed template or, without a template, the launcher of fresh interpreters."""
        template = self.template
        if template is None or template not in self.context.children.points:
            return self.spawner()
        if not self._warm:
            self._warm = True
            self._warm_template(template)
        return template if template in self.context.children.points else self.spawner()

    def _warm_template(self, template: Template) -> None:
        paths = list(dict.fromkeys(str(item.path) for item in self.context.items))
        with ORIGINAL_NAMES:
            found = analyse(self.context.config, paths, minimum=1 if self.own_slots else 2)
        learned = [name for name in third_party(self.context.totals.learned) if name not in found.quarantine]
        try:
            barred = self.context.config.getini("hotreload_not_warm")
            warmed = template.warm([*found.modules, *learned], barred)
        except (OSError, EOFError):
            self.context.children.drop_point(template)
            self.context.totals.notices.append(messages.template_died())
            return
        self.context.totals.quarantine = {**found.quarantine, **warmed.quarantine}
        self.context.totals.warmed = warmed
        self._tell(found)

    def _tell(self, found: Analysis) -> None:
        if self.context.config.get_verbosity() > 0:
            for path, line, text in found.diagnostics:
                self.context.totals.notices.append(messages.diagnostic(path, line, text))

    def spawner(self) -> SpawnLauncher:
        """Return the launcher of fresh interpreters."""
        if self._spawner is None:
            self._spawner = SpawnLauncher(self.context.config, self.origin.sys_path, self.origin.lifeline[0])
            self.context.children.add_point(self._spawner)
        return self._spawner

    def _spawn_everything(self, notice: str) -> None:
        """Start every later child in a fresh interpreter."""
        self.template = None
        self.own_slots = ""
        self.context.schedule.all_alone("spawn")
        if notice and notice not in self.context.totals.fell_back:
            self.context.totals.fell_back.append(notice)

    # -- slot processes ----------------------------------------------------------------------------

    def _slot_point(self, slot: Slot) -> ForkPoint:
        known = self._slot_points.get(slot.index)
        if known is not None and known in self.context.children.points:
            return known
        parent = self._apart_point()
        ours, theirs = pair()
        wanted = tuple((index, item.nodeid) for index, item in enumerate(self.context.items))
        order = self._assignment(slot, None, wanted, slot.worker_id)
        order = order._replace(serve=True, shard=shard_of(self.context.config))
        descriptors = [*slot.descriptors(), theirs.fileno()]
        start = Start(-1 - slot.index, slot.index, (), True, order, len(descriptors))
        parent.start_with(start, descriptors)
        theirs.close()
        point = self._slot_points[slot.index] = SlotPoint(ours, self._slot_collected)
        self.context.children.add_point(point)
        return point

    def _slot_collected(self, observed: Observed) -> None:
        if self.context.records is not None:
            self.context.records.slot_collected(observed)

    def _assignment(
        self, slot: Slot, args: tuple[str, ...] | None, wanted: tuple[tuple[int, str], ...], name: str
    ) -> Assignment:
        nodes = self.context.nodes
        return Assignment(
            args=args,
            wanted=wanted,
            worker_id=slot.worker_id,
            workerinput=nodes.workerinput(slot),
            environ=nodes.environ(slot),
            randomness=self.randomness,
            name=name,
            log_file=pytest_output.has_log_file(self.context.config),
            observe=self._observer is not None,
            cleared=self._cleared,
        )

    def unsafe(self) -> dict[str, str]:
        """Return the files whose import left threads behind that matter: path -> description in words."""
        watch = self.origin.threads
        unsafe = dict(watch.found)
        for path, (count, modules) in watch.doubtful.items():
            if self.template is None or self._import_starts(count, modules):
                continue
            unsafe[path] = many(count, "native thread")
        return unsafe

    def _import_starts(self, count: int, modules: list[str]) -> bool:
        """Whether the import of the third-party modules alone explains the threads."""
        assert self.template is not None
        third_party = [name for name in modules if _is_installed(name)]
        try:
            return self.template.probe(third_party) >= count
        except (OSError, EOFError):
            return False


def _is_installed(name: str) -> bool:
    import sys

    file = getattr(sys.modules.get(name), "__file__", None) or ""
    return is_installed(file)
