"""The timeline as a picture: rows of bars on one scale of time. Pure functions.

Where the page has JavaScript it draws the same, with more detail.

Few shapes, whatever the run: what is narrower than a point of the picture is merged with its neighbours, and
all bars of one kind in a row are one path.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from pytest_hotreload.report.html import text
from pytest_hotreload.report.timeline import BAD, Timeline

#: Points of the whole picture, of the names at its left, and of a row.
WIDTH, LEFT, ROW, THIN = 1120.0, 84.0, 34.0, 16.0
#: More rows than this have no place for names of files.
_MOST_NAMED = 8
#: Points of a letter of 10 points, rather more than less, so that no name runs out of its bar.
_LETTER = 5.8
#: Bars of all rows together; 22 bytes each.
_MOST_BARS = 8000


class Bar(NamedTuple):
    """A stretch of one kind; ``kind`` is a class of the style sheet."""

    kind: str
    begin: float
    end: float


@dataclass
class Row:
    """One line of the picture. ``names``: what stands above its bars. ``marks``: seconds at which something failed."""

    label: str
    bars: list[Bar] = field(default_factory=list)
    names: list[tuple[str, float, float]] = field(default_factory=list)
    marks: list[float] = field(default_factory=list)


def rows_of(timeline: Timeline) -> list[Row]:
    """The controller, what it collects, and each slot."""
    controller = Row("controller")
    for span in timeline.phases:
        controller.bars.append(Bar("run" if span.name == "run" else "phase", span.begin, span.end))
        controller.names.append((span.name, span.begin, span.end))
    collecting = Row("collection")
    for each in timeline.collection:
        split = min(each.end, each.begin + (each.imports or 0.0))
        collecting.bars += [Bar("imports", each.begin, split), Bar("collect", split, each.end)]
    rows = [controller, collecting] if collecting.bars else [controller]
    return [*rows, *(_slot(timeline, number) for number in range(len(timeline.slots)))]


def _slot(timeline: Timeline, number: int) -> Row:
    row = Row(timeline.slots[number])
    for place, child in enumerate(timeline.children):
        if child.slot != number:
            continue
        last = child.begin
        for index in child.order:
            test = timeline.tests[index]
            own = [phase for phase in test.phases if phase.child == place]
            for phase in own:
                row.bars.append(Bar("other", last, phase.begin))
                row.bars.append(Bar(phase.when, phase.begin, phase.end))
                last = phase.end
            if own and test.outcome in BAD:
                row.marks.append(own[0].begin)
        row.bars.append(Bar("other", last, child.end))
        row.names.append((child.file.rpartition("/")[2], child.begin, child.end))
        if child.ending:
            row.marks.append(child.end)
    row.bars = [bar for bar in row.bars if bar.end > bar.begin]
    return row


def merge(bars: Iterable[Bar], least: float) -> list[Bar]:
    """The same bars, in order, those shorter than ``least`` joined with their neighbours to bars of about that length.

    A joined bar is of the kind that took most of it. Each moment that was covered is covered.
    """
    merged: list[Bar] = []
    waiting: list[Bar] = []

    def flush() -> None:
        if waiting:
            merged.append(Bar(_most(waiting), waiting[0].begin, waiting[-1].end))
            waiting.clear()

    for bar in bars:
        if waiting and bar.begin - waiting[-1].end > least:
            flush()
        if bar.end - bar.begin >= least:
            flush()
            merged.append(bar)
            continue
        waiting.append(bar)
        if waiting[-1].end - waiting[0].begin >= least:
            flush()
    flush()
    return merged


def _most(bars: Sequence[Bar]) -> str:
    spent: dict[str, float] = {}
    for bar in bars:
        spent[bar.kind] = spent.get(bar.kind, 0.0) + bar.end - bar.begin
    return max(spent, key=lambda kind: spent[kind])


def ticks(seconds: float, most: int = 9) -> list[float]:
    """Round numbers from 0 to ``seconds``, ``most`` + 1 at most."""
    if seconds <= 0:
        return [0.0]
    step = 10.0**-6
    while seconds / step > most:
        for factor in (1, 2, 5, 10):
            if seconds / (step * factor) <= most:
                return [step * factor * number for number in range(int(seconds / (step * factor) + 1e-9) + 1)]
        step *= 10
    return [step * number for number in range(int(seconds / step + 1e-9) + 1)]


def tick_text(at: float, step: float) -> str:
    """With as many decimals as the step needs."""
    decimals = 0
    while decimals < 6 and abs(round(step, decimals) - step) > 1e-9:
        decimals += 1
    return f"{at:.{decimals}f} s"


def picture(rows: Sequence[Row], seconds: float, title: str) -> str:
    """The picture as SVG, its colours by classes of the page's style sheet."""
    named = len(rows) <= _MOST_NAMED
    height = ROW if named else THIN
    point = max(seconds, 1e-6) / (WIDTH - LEFT - 8)
    least = point * max(1.0, len(rows) * (WIDTH - LEFT) / _MOST_BARS)
    bottom = height * len(rows) + 6
    box = f'viewBox="0 0 {WIDTH:g} {bottom + 20:g}"'
    parts = [f'<svg {box} role="img" aria-label="{text(title)}" xmlns="http://www.w3.org/2000/svg">']
    at = ticks(seconds)
    step = at[1] if len(at) > 1 else 1.0
    for tick in at:
        x = _x(tick, point)
        parts.append(f'<path class="grid" d="M{x} 0V{bottom:g}"/>')
        parts.append(f'<text class="tick" x="{x}" y="{bottom + 14:g}">{tick_text(tick, step)}</text>')
    for number, row in enumerate(rows):
        parts += _row(row, number * height, height, point, least, named=named)
    return "\n".join([*parts, "</svg>"])


def _row(row: Row, top: float, height: float, point: float, least: float, *, named: bool) -> list[str]:
    bar_top, bar = (top + 14, height - 20) if named else (top + 1, height - 6)
    parts = [f'<text class="label" x="{LEFT - 8:g}" y="{bar_top + bar / 2 + 4:g}">{text(row.label)}</text>']
    paths: dict[str, list[str]] = {}
    for each in merge(row.bars, least):
        x, end = _x(each.begin, point), _x(each.end, point)
        width = max(float(end) - float(x) - (0.6 if each.kind in ("phase", "run") else 0.0), 0.4)
        paths.setdefault(each.kind, []).append(f"M{x} {bar_top:g}h{width:.1f}v{bar:g}h-{width:.1f}z")
    parts += [f'<path class="{text(kind)}" d="{"".join(shapes)}"/>' for kind, shapes in paths.items()]
    if named:
        parts += _names(row.names, top + 11, point)
    if row.marks:
        shapes = [f"M{_x(at, point)} {bar_top + bar:g}l-3.5 5h7z" for at in _apart(row.marks, point * 3)]
        parts.append(f'<path class="mark" d="{"".join(shapes)}"/>')
    return parts


def _names(names: Sequence[tuple[str, float, float]], y: float, point: float) -> list[str]:
    """Those that fit above their own bar."""
    return [
        f'<text class="name" x="{_x(begin, point)}" y="{y:g}">{text(name)}</text>'
        for name, begin, end in names
        if (end - begin) / point > len(name) * _LETTER
    ]


def _apart(marks: Iterable[float], least: float) -> list[float]:
    """Marks that can be told from each other."""
    kept: list[float] = []
    for at in sorted(marks):
        if not kept or at - kept[-1] >= least:
            kept.append(at)
    return kept


def _x(at: float, point: float) -> str:
    return f"{LEFT + at / point:.1f}"
