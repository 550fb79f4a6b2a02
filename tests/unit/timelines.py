"""Timelines of every kind for property tests, and a large one."""

from __future__ import annotations

from hypothesis import strategies as st

from pytest_hotreload.records.file_outcome import OUTCOMES
from pytest_hotreload.records.saving import Saving
from pytest_hotreload.report.failure import Failure
from pytest_hotreload.report.timeline import (
    Child,
    CollectionSpan,
    Imported,
    ItemSpan,
    Phase,
    Span,
    Timeline,
    lay_out,
)

#: What a test's clock may say: the truth, or anything.
CLOCK = st.one_of(st.floats(0, 20), st.sampled_from([-1e9, 0.0, 1e9]))
SECONDS = st.floats(0, 3)
NAMES = st.text(max_size=12) | st.sampled_from(
    ["</script>", "<img src=x onerror=alert(1)>", "\"'&", "é中", "\ud800", "\x00"]
)
FAILURES = st.builds(
    Failure,
    nodeid=NAMES,
    outcome=st.sampled_from(["failed", "error", "rerun", "not collected", "internal error"]),
    when=st.sampled_from(["setup", "call", "teardown", "collect", ""]),
    subtest=NAMES,
    file=NAMES,
    line=st.integers(0, 9),
    message=NAMES,
    text=NAMES,
    output=st.lists(st.tuples(NAMES, NAMES), max_size=2).map(tuple),
)
OUTCOME = st.sampled_from([*OUTCOMES, "reused", ""])


@st.composite
def timelines(draw: st.DrawFn) -> Timeline:
    """Children in slots, tests in children, phases in tests: said by clocks that nobody trusts, then laid out."""
    slots = draw(st.integers(0, 3))
    timeline = Timeline(
        began=1.7e9,
        seconds=30.0,
        phases=[Span("start", 0.0, 1.0), Span("run", 1.0, 30.0)],
        slots=[f"gw{number}" for number in range(slots)],
        facts={"project": draw(NAMES), "python": "CPython", "pytest": "9", "isolation": "file"},
    )
    for _ in range(draw(st.integers(0, 6)) if slots else 0):
        number = len(timeline.children)
        begin = draw(st.floats(0, 20))
        child = Child(
            draw(st.integers(0, slots - 1)), draw(NAMES), begin, begin + draw(SECONDS), ending=draw(NAMES)
        )
        for _ in range(draw(st.integers(0, 3))):
            child.order.append(len(timeline.tests))
            phases = [
                Phase(when, at, at + draw(SECONDS), number)
                for when in draw(
                    st.sampled_from([("setup", "call", "teardown"), ("setup",), ("call", "None")])
                )
                for at in [draw(CLOCK)]
            ]
            timeline.tests.append(
                ItemSpan(child.file + "::" + draw(NAMES), child.file, draw(OUTCOME), phases)
            )
        child.setups = [Span(draw(NAMES), at, at + draw(SECONDS)) for at in draw(st.lists(CLOCK, max_size=2))]
        timeline.children.append(child)
    for name in draw(st.lists(NAMES, max_size=3)):
        timeline.collection.append(CollectionSpan(name, 0.5, 0.9, 0.5, draw(st.none() | st.floats(0, 1))))
    timeline.failures = draw(st.lists(FAILURES, max_size=3))
    timeline.imports = [Imported(draw(NAMES), 2, 0.5, 1.0)]
    timeline.saving = draw(st.builds(Saving, SECONDS, st.integers(0, 9), SECONDS, SECONDS))
    lay_out(timeline)
    return timeline


def big(tests: int = 5000, in_one: int = 25, slots: int = 4) -> Timeline:
    """That many tests with long names, in files of ``in_one``; one of 97 fails."""
    timeline = Timeline(
        began=1.7e9, slots=[f"gw{number}" for number in range(slots)], facts={"project": "big"}
    )
    for number in range(tests // in_one):
        file = f"tests/some_package/another/test_module_with_a_long_name_{number:04}.py"
        begin = (number // slots) * 0.5
        child = Child(number % slots, file, begin, begin + 0.49, cpu=0.1)
        for place in range(in_one):
            child.order.append(len(timeline.tests))
            at = begin + 0.01 + place * 0.019
            phases = [
                Phase("setup", at, at + 0.00312, number),
                Phase("call", at + 0.00312, at + 0.01745, number),
                Phase("teardown", at + 0.01745, at + 0.01812, number),
            ]
            outcome = "failed" if (number + place) % 97 == 0 else "passed"
            name = f"TestSomething::test_with_a_name_that_says_what_it_is_about[case-{place}-of-many]"
            test = ItemSpan(f"{file}::{name}", file, outcome, phases)
            timeline.tests.append(test)
            if outcome == "failed":
                timeline.failures.append(failure_of(test))
        timeline.children.append(child)
        timeline.collection.append(CollectionSpan(file, begin / 100, begin / 100 + 0.004, 0.004, 0.003))
    timeline.seconds = max(child.end for child in timeline.children) + 1
    timeline.phases = [Span("start", 0.0, 0.5), Span("run", 0.5, timeline.seconds)]
    lay_out(timeline)
    return timeline


def failure_of(test: ItemSpan) -> Failure:
    """A failure with a long text and some output."""
    frames = [
        f"{test.file}:{n}: in step_{n}\n    return step_{n + 1}(sum(prepared), depth)" for n in range(20)
    ]
    text = "\n".join([*frames, ">   assert actual == expected", *[f"E   line {n}" for n in range(10)]])
    output = "line of output\n" * 30
    return Failure(
        test.nodeid,
        "failed",
        file=test.file,
        line=20,
        message="AssertionError: line 0",
        text=text,
        output=(("Captured stdout call", output),),
    )
