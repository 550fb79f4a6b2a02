"""Prepares a run before its first child: nodes, shared fixtures, and groups that may not run together."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pytest_hotreload.compat import console, handover, plugins
from pytest_hotreload.process import proc
from pytest_hotreload.records import conflicts
from pytest_hotreload.run import messages, warm_functions
from pytest_hotreload.run.fixtures.shared import Shared, set_up
from pytest_hotreload.run.gathered import carry
from pytest_hotreload.run.gathered.merge import Merger
from pytest_hotreload.world import BUILTINS, contextlib

__builtins__ = BUILTINS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pytest_hotreload.records.declarations import Declarations
    from pytest_hotreload.run.child.reporter import Reporter
    from pytest_hotreload.run.context import RunContext
    from pytest_hotreload.run.launcher import Launcher
    from pytest_hotreload.run.schedule import Group


def tell_of_nodes(context: RunContext, *, several: bool) -> None:
    """Let plugins that follow xdist's convention prepare the data for workers.

    Each fork starts with this data.
    """
    nodes = context.nodes
    nodes.configure()
    nodes.collected([item.nodeid for item in context.items])
    handover.prepare(context.session, nodes.any_workerinput(), several=several)
    plugins.stand_in_for_xdist()
    plugins.flush_coverage()


def warm(context: RunContext, groups: Sequence[Group], sources: Launcher) -> None:
    """Call the warm functions if enough children will be forked from this process. Raises UsageError."""
    options = context.options
    forks = options.start == "fork" and options.isolate != "strict" and not sources.own_slots
    if forks and warm_functions.worthwhile(len(groups), len(sources.slots)):
        running = [group.path for group in groups]
        warm_functions.call_all(context, running, sources.origin.lifeline[0])


def shared(context: RunContext, groups: Sequence[Group]) -> Shared:
    """Set up the shared fixtures of the tests that will run."""
    running = {group.path for group in groups}
    items = [item for item in context.items if str(item.path) in running]
    with context.records.sharing() if context.records is not None else contextlib.nullcontext():
        return set_up(context.session, context.options.shared_fixtures, items)


def tell(context: RunContext, notices: Iterable[str]) -> None:
    """Print the notices that users should see before the first test."""
    if sys.platform == "linux" and not proc.is_there():
        console.notice(context.config, messages.no_proc())
    for text in notices:
        console.notice(context.config, text)


def gathers(context: RunContext, reporter: Reporter, *, several: bool) -> Merger | None:
    """Prepare to merge the data that plugins gather in children; None if there is no such data."""
    skip = plugins.hand_over(context.config, several=several)
    state = reporter.gathered = carry.note(context.session, skip, context.totals.notices.append)
    if state is None:
        return None
    context.replay.gathered = merger = Merger(state)
    return merger


def find_apart(context: RunContext, groups: Sequence[Group], sources: Launcher) -> None:
    """Mark the groups that can't be forked from this process as self-collecting."""
    running = {group.path for group in groups}
    unsafe = {path: what for path, what in sources.unsafe().items() if path in running}
    for path, what in unsafe.items():
        console.remark(context.config, messages.threads_left(context.shown(path), what))
    if sources.own_slots:
        console.remark(context.config, messages.own_slots(sources.own_slots))
    for group in groups:
        if context.options.isolate == "strict":
            group.alone = "strict"
        group.alone = group.alone or unsafe.get(group.path, "")


def keep_apart(
    context: RunContext, groups: Sequence[Group], declarations: Declarations, sources: Launcher
) -> None:
    """Let files that share a port, a written path, a declared name, or what the collection left, take turns."""
    if context.records is not None:
        known = context.records.conflicts()
        keys = {group.path: known[group.path] for group in groups if group.path in known}
    else:  # declarations hold without any record
        declared = declarations.serial(context.items)
        keys = {path: conflicts.keys_of((), (), names) for path, names in declared.items() if names}
    for group in groups:
        group.keys = keys.get(group.path, frozenset())
    names = conflicts.shared(keys.values())
    if names:
        console.remark(context.config, messages.taking_turns(names))
    shared = None if len(groups) < 2 or sources.own_slots else sources.origin.shared
    left = shared.what_is_new() if shared is not None else ""
    if left:
        console.remark(context.config, messages.one_at_a_time(left))
        for group in groups:
            group.keys |= {left}
