"""Screens of a terminal as one SVG: moving, or one below the other. No script, no font and no file from outside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, NamedTuple

#: A font of any reader's machine has letters of about this size; each run of text is stretched to its columns.
FONT_SIZE, CELL_WIDTH, CELL_HEIGHT = 14, 8.4, 18
MARGIN = 14
TEXT, PAPER, QUIET = "#d5d8de", "#16181d", "#8b919c"
#: The emulator's names; its "brown" is yellow, and one of them is misspelt there.
COLOURS = {
    "black": "#3a3f4b",
    "red": "#f0736e",
    "green": "#7fcf83",
    "brown": "#e2c069",
    "blue": "#74a8f2",
    "magenta": "#cf95e6",
    "cyan": "#63c9cf",
    "white": "#d5d8de",
    "brightblack": "#7b8290",
    "brightred": "#ff8f8a",
    "brightgreen": "#9be59f",
    "brightbrown": "#f5d88c",
    "brightblue": "#98c1ff",
    "brightmagenta": "#e2b3f5",
    "bfightmagenta": "#e2b3f5",
    "brightcyan": "#8be3e8",
    "brightwhite": "#ffffff",
}

#: One character: what :class:`pyte.screens.Char` has, an empty ``data`` behind a wide one.
Cell = Any


@dataclass(frozen=True)
class Frame:
    """A screen, what is said below it, and for how many seconds it is shown."""

    rows: Sequence[Sequence[Cell]]
    caption: str
    seconds: float


class Look(NamedTuple):
    """Colours as the emulator names them, and styles."""

    colour: str
    paper: str
    bold: bool
    italic: bool
    lines: str


class Run(NamedTuple):
    """Characters of one look, side by side."""

    column: int
    columns: int
    text: str
    look: Look


def moving(frames: Sequence[Frame], title: str) -> str:
    """All frames in one place, each at its time, again and again; the last one where nothing shall move."""
    width, height = _size(frames)
    total = sum(frame.seconds for frame in frames)
    styles, groups, begin = [], [], 0.0
    for number, frame in enumerate(frames):
        end = begin + frame.seconds
        styles.append(_times(number, 100 * begin / total, 100 * end / total, total))
        groups.append(f'<g class="f f{number}">\n{_frame(frame, height)}</g>')
        begin = end
    last = f".f{{visibility:hidden}}.f{len(frames) - 1}{{visibility:visible}}"
    still = "@media(prefers-reduced-motion:reduce){.f{animation:none!important}}"
    return _document(width, height, title, [*styles, last, still], groups)


def stacked(frames: Sequence[Frame], title: str) -> str:
    """All frames, one below the other, each as high as it has rows."""
    groups, top = [], 0.0
    for frame in frames:
        height = _size([frame])[1]
        groups.append(f'<g transform="translate(0 {top:g})">\n{_frame(frame, height)}</g>')
        top += height
    return _document(_size(frames)[0], top, title, [], groups)


def hide(rows: Sequence[Sequence[Cell]], names: Mapping[str, str]) -> list[list[Cell]]:
    """The rows with other words for some, for what would name a machine; what follows moves up to them."""
    hidden = []
    for row in rows:
        cells = list(row)
        for name, shown in names.items():
            while (at := "".join(cell.data or "\0" for cell in cells).find(name)) >= 0:
                new = [cells[at]._replace(data=character) for character in shown]
                blank = [cells[-1]._replace(data=" ")] * max(0, len(name) - len(shown))
                cells = [*cells[:at], *new, *cells[at + len(name) :], *blank][: len(cells)]
        hidden.append(cells)
    return hidden


def runs(row: Sequence[Cell]) -> Iterator[Run]:
    """What is to be drawn of a row: blanks count only where they can be seen."""
    column = 0
    while column < len(row):
        look = _look(row[column])
        end = column + 1
        while end < len(row) and _look(row[end]) == look:
            end += 1
        text = "".join(cell.data for cell in row[column:end])
        if look.paper != "default" or look.lines:
            yield Run(column, end - column, text, look)
        elif text.strip():
            first = column + len(text) - len(text.lstrip())
            yield Run(first, end - first - (len(text) - len(text.rstrip())), text.strip(), look)
        column = end


def _look(cell: Cell) -> Look:
    colour, paper = cell.fg, cell.bg
    if cell.reverse:
        colour, paper = (
            "paper" if paper == "default" else paper,
            "text" if colour == "default" else colour,
        )
    lines = [
        word for word, on in (("underline", cell.underscore), ("line-through", cell.strikethrough)) if on
    ]
    return Look(colour, paper, cell.bold, cell.italics, " ".join(lines))


def _colour(name: str) -> str:
    return {"default": TEXT, "text": TEXT, "paper": PAPER}.get(name) or COLOURS.get(name) or f"#{name}"


def _frame(frame: Frame, height: float) -> str:
    lines = [
        _drawn(run, number) for number, row in enumerate(frame.rows) for run in runs(row) if run.columns > 0
    ]
    lines.append(f'<text class="c" x="{MARGIN}" y="{height - MARGIN:g}">{escape(frame.caption)}</text>')
    return "\n".join(lines) + "\n"


def _drawn(run: Run, row: int) -> str:
    """A run at its place; stretched, so that columns meet in any font."""
    look = run.look
    left, top = MARGIN + run.column * CELL_WIDTH, MARGIN + row * CELL_HEIGHT
    width = f"{run.columns * CELL_WIDTH:g}"
    style = [f'fill="{_colour(look.colour)}"'] if look.colour != "default" else []
    style += ['font-weight="bold"'] if look.bold else []
    style += ['font-style="italic"'] if look.italic else []
    style += [f'text-decoration="{look.lines}"'] if look.lines else []
    paper = ""
    if look.paper != "default":
        paper = (
            f'<rect x="{left:g}" y="{top:g}" width="{width}" height="{CELL_HEIGHT}" '
            f'fill="{_colour(look.paper)}"/>'
        )
    place = f'x="{left:g}" y="{top + FONT_SIZE:g}" textLength="{width}" lengthAdjust="spacingAndGlyphs"'
    return f"{paper}<text {' '.join([place, *style])}>{escape(run.text)}</text>"


def _times(number: int, begin: float, end: float, total: float) -> str:
    """Visible from ``begin`` to ``end``, in per cent of ``total`` seconds."""
    steps = {0.0: "hidden", 100.0: "hidden"} | {round(begin, 2): "visible"}
    if end < 99.99:
        steps[round(end, 2)] = "hidden"
    keys = "".join(f"{at:g}%{{visibility:{what}}}" for at, what in sorted(steps.items()))
    return f"@keyframes k{number}{{{keys}}}.f{number}{{animation:k{number} {total:g}s step-end infinite}}"


def _size(frames: Sequence[Frame]) -> tuple[float, float]:
    columns = max(len(row) for frame in frames for row in frame.rows)
    rows = max(len(frame.rows) for frame in frames)
    return 2 * MARGIN + columns * CELL_WIDTH, 2 * MARGIN + (rows + 1.5) * CELL_HEIGHT


def _document(width: float, height: float, title: str, styles: list[str], groups: list[str]) -> str:
    fonts = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"
    styles = [
        f"svg{{font:{FONT_SIZE}px {fonts};fill:{TEXT}}}text{{white-space:pre}}.c{{fill:{QUIET}}}",
        *styles,
    ]
    size = f'viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} xml:space="preserve" role="img">',
            f"<title>{escape(title)}</title>",
            f"<style>{''.join(styles)}</style>",
            f'<rect width="100%" height="100%" rx="8" fill="{PAPER}"/>',
            *groups,
            "</svg>",
            "",
        ]
    )
