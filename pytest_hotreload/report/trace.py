"""Writes the timeline as a trace, in the JSON object format that Perfetto and Chrome's viewer read.

The trace has one process, with one thread for the controller and one for each slot; nested spans are drawn
below the spans that contain them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pytest_hotreload.report.timeline import Child, Timeline

_PID = 1


def trace(timeline: Timeline) -> str:
    """Return the content of the trace file."""
    return json.dumps(
        {
            "traceEvents": [
                *_names(timeline),
                *_controller(timeline),
                *_children(timeline),
                *_not_run(timeline),
                *_counters(timeline),
            ],
            "displayTimeUnit": "ms",
            "otherData": {
                "schema": "hotreload-trace/1",
                "began": timeline.began,
                "exitstatus": timeline.exitstatus,
                **timeline.facts,
            },
        },
        separators=(",", ":"),
    )


def _micro(at: float) -> int:
    return round(at * 1e6)


def _span(name: str, kind: str, thread: int, begin: float, end: float, **args: Any) -> dict[str, Any]:
    """Make a complete event. Ends are rounded, not durations, so that nested spans stay nested."""
    return {
        "name": name,
        "cat": kind,
        "ph": "X",
        "ts": _micro(begin),
        "dur": _micro(end) - _micro(begin),
        "pid": _PID,
        "tid": thread,
        "args": args,
    }


def _named(what: str, thread: int, **args: Any) -> dict[str, Any]:
    return {"name": what, "ph": "M", "ts": 0, "pid": _PID, "tid": thread, "args": args}


def _names(timeline: Timeline) -> Iterator[dict[str, Any]]:
    yield _named("process_name", 0, name="pytest --hotreload")
    for thread, name in enumerate(["controller", *timeline.slots]):
        yield _named("thread_name", thread, name=name)
        yield _named("thread_sort_index", thread, sort_index=thread)


def _controller(timeline: Timeline) -> Iterator[dict[str, Any]]:
    for phase in timeline.phases:
        yield _span(phase.name, "controller", 0, phase.begin, phase.end)
    for each in timeline.collection:
        yield _span(each.file, "collection", 0, each.begin, each.end, seconds=round(each.seconds, 6))
        if each.imports is not None:
            yield _span("imports", "collection", 0, each.begin, min(each.end, each.begin + each.imports))


def _children(timeline: Timeline) -> Iterator[dict[str, Any]]:
    for number, child in enumerate(timeline.children):
        thread = child.slot + 1
        args = {"how": child.how, "ending": child.ending or "well", "cpu": child.cpu}
        yield _span(child.file or "plain pytest", "child", thread, child.begin, child.end, **args)
        yield from _tests(timeline, number, child, thread)
        for span in child.setups:
            yield _span(span.name, "fixture", thread, span.begin, span.end)


def _tests(timeline: Timeline, number: int, child: Child, thread: int) -> Iterator[dict[str, Any]]:
    first = True
    for index in child.order:
        test = timeline.tests[index]
        phases = [phase for phase in test.phases if phase.child == number]
        if not phases:
            continue
        if first and child.how != "plain":
            what = "fork" if child.how == "fork" else "start, imports, collection"
            yield _span(what, "child", thread, child.begin, phases[0].begin)
        first = False
        begin, end = phases[0].begin, phases[-1].end
        yield _span(test.nodeid, "test", thread, begin, end, outcome=test.outcome, file=test.file)
        for phase in phases:
            yield _span(phase.when, "phase", thread, phase.begin, phase.end)


def _not_run(timeline: Timeline) -> Iterator[dict[str, Any]]:
    """Yield events for tests with an outcome but no time of their own: earlier results that hold."""
    for test in timeline.tests:
        if test.outcome and not test.phases:
            args = {"outcome": test.outcome, "file": test.file}
            yield {
                "name": test.nodeid,
                "cat": "not run",
                "ph": "i",
                "ts": 0,
                "pid": _PID,
                "tid": 0,
                "s": "t",
                "args": args,
            }


def _counters(timeline: Timeline) -> Iterator[dict[str, Any]]:
    """Yield the number of living children over time."""
    changes = [(_micro(child.begin), 1) for child in timeline.children]
    changes += [(_micro(child.end), -1) for child in timeline.children]
    living = 0
    for at, change in sorted(changes):
        living += change
        yield {"name": "children", "ph": "C", "ts": at, "pid": _PID, "tid": 0, "args": {"living": living}}
