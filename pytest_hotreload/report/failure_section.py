"""The failures on the page about a run: the first thing that is shown, as HTML that needs no JavaScript."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from pytest_hotreload.report.failure import INTERNAL, NOT_COLLECTED, Failure
from pytest_hotreload.report.html import Section, text
from pytest_hotreload.report.timeline import Timeline
from pytest_hotreload.wording import many

#: So many texts are unfolded. With more, the way to the rest of the page, and between failures, is too long.
_UNFOLDED = 10
#: With more failures, the browser lays out only those that are seen. With 2,500, unfolding all takes 53 ms instead of
#: 1.6 s; pictures of the whole page then show frames in the place of most failures.
_MANY = 100
_IN = {
    "setup": "in the setup",
    "teardown": "in the teardown",
    "collect": "while the file was collected",
}


def failures(timeline: Timeline) -> Section | None:
    """Return the section about everything that failed."""
    found = [(name, each) for name, each in _numbered(timeline.failures) if each.outcome != "rerun"]
    if not found:
        return None
    return Section("Failures", (_counted([each for _, each in found]), *_articles(found)))


def flaky(timeline: Timeline) -> Section | None:
    """Return the section about tests that failed, ran again, and passed."""
    found = [(name, each) for name, each in _numbered(timeline.failures) if each.outcome == "rerun"]
    if not found:
        return None
    tests = len({each.nodeid for _, each in found})
    said = f"<p>{many(len(found), 'failed attempt')} of {many(tests, 'test')}, which passed in the end.</p>"
    return Section("Passed when they ran again", (said, *_articles(found, unfolded=0)))


def anchors(timeline: Timeline) -> dict[str, str]:
    """Return node id -> the id of its first failure on the page."""
    found: dict[str, str] = {}
    for name, each in _numbered(timeline.failures):
        found.setdefault(each.nodeid, name)
    return found


def _numbered(failures: Sequence[Failure]) -> list[tuple[str, Failure]]:
    return [(f"failure-{number}", each) for number, each in enumerate(failures, 1)]


def _counted(failures: Sequence[Failure]) -> str:
    tests = {each.nodeid for each in failures if each.outcome not in (NOT_COLLECTED, INTERNAL)}
    others = [each for each in failures if each.outcome in (NOT_COLLECTED, INTERNAL)]
    found = len(failures) - len(others)
    words = [f"{many(len(others), 'error')} outside of tests"] if others else []
    if tests:
        of = f" of {many(len(tests), 'test')}" if found != len(tests) else ""
        words.append(f"{many(found, 'failure')}{of}")
    said = " and ".join(words)
    if any(each.command for each in failures):
        said += ". Each command repeats one of them, in the root folder of the project"
    return f"<p>{said}.</p>"


def _articles(found: Sequence[tuple[str, Failure]], unfolded: int = _UNFOLDED) -> list[str]:
    return [
        f'<div class="failures{" many" if len(found) > _MANY else ""}">',
        *(_article(name, each, number < unfolded) for number, (name, each) in enumerate(found)),
        "</div>",
    ]


def _article(name: str, failure: Failure, unfolded: bool) -> str:
    said = failure.message if failure.message.strip() != failure.text.strip() else ""
    parts = [
        f'<article id="{name}" aria-labelledby="{name}-title">',
        f'<h3 id="{name}-title">{_title(failure)}</h3>',
        f'<p class="message">{text(said)}</p>' if said else "",
        _place(failure),
        _text(failure, unfolded),
        *(_folded(title, content, "output") for title, content in failure.output),
        "</article>",
    ]
    return "\n".join(part for part in parts if part)


def _title(failure: Failure) -> str:
    word = "failed attempt" if failure.outcome == "rerun" else failure.outcome
    named = f" {text(failure.nodeid)}" if failure.nodeid else ""
    subtest = f' <span class="quiet">{text(failure.subtest)}</span>' if failure.subtest else ""
    return f'<span class="tag bad">{text(word)}</span>{named}{subtest}'


def _place(failure: Failure) -> str:
    at = f"{failure.file}:{failure.line}" if failure.line else failure.file
    parts = [f"<code>{text(at)}</code>"] if at else []
    if failure.when in _IN:
        parts.append(_IN[failure.when])
    if failure.command:
        parts.append(f'<code class="command">{text(failure.command)}</code>')
    return f'<p class="place">{" · ".join(parts)}</p>' if parts else ""


def _text(failure: Failure, unfolded: bool) -> str:
    if not failure.text.strip():
        return ""
    return _folded("Text of the failure", failure.text, "text", unfolded=unfolded)


def _folded(title: str, content: str, kind: str, *, unfolded: bool = False) -> str:
    lines = content.rstrip("\n").split("\n")
    while len(lines) > 1 and not lines[0].strip():
        del lines[0]
    shown = _marked(lines) if kind == "text" else text("\n".join(lines))
    count = f' <span class="quiet">{many(len(lines), "line")}</span>'
    return (
        f'<details class="{kind}"{" open" if unfolded else ""}><summary>{text(title)}{count}</summary>'
        f"<pre>{shown}</pre></details>"
    )


def _marked(lines: Sequence[str]) -> str:
    """Return pytest's text, in which the lines that say what failed begin with an E."""
    blocks = groupby(lines, key=lambda line: line == "E" or line.startswith("E "))
    shown = [(marked, text("\n".join(block))) for marked, block in blocks]
    return "\n".join(f'<b class="bad">{block}</b>' if marked else block for marked, block in shown)
