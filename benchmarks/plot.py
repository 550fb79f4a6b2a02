"""Draws line charts in panels below each other, as an SVG; four panels are not worth a dependency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

WIDTH, PANEL, GAP, LEFT, RIGHT, TOP = 860, 150, 46, 64, 150, 44
# Distinguishable without seeing red, too; the palette of Okabe and Ito.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#000000")
STEPS = 4


def lines(panels: Mapping[str, Mapping[str, Sequence[float]]], places: Sequence[float], title: str) -> str:
    """Draw the panels: title -> name -> values at ``places``. Each panel's scale begins at 0."""
    height = TOP + len(panels) * (PANEL + GAP)
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
            f'font-size="12">\n<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>'
        ),
        f'<text x="{LEFT}" y="22" font-size="13">{escape(title)}</text>',
    ]
    for place, (name, series) in enumerate(panels.items()):
        parts += _panel(name, series, places, TOP + place * (PANEL + GAP) + 14)
    return "\n".join([*parts, "</svg>", ""])


def _panel(
    title: str, series: Mapping[str, Sequence[float]], places: Sequence[float], top: float
) -> list[str]:
    most = _rounded(
        max((value for values in series.values() for value in values if value == value), default=1.0)
    )
    first, last = places[0], places[-1]
    across = (WIDTH - LEFT - RIGHT) / ((last - first) or 1.0)
    bottom = top + PANEL
    parts = [f'<text x="{LEFT}" y="{top - 7:.1f}" font-weight="bold">{escape(title)}</text>']
    for step in range(STEPS + 1):
        y = bottom - PANEL * step / STEPS
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#dddddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{most * step / STEPS:g}</text>')
    for x, text in ((LEFT, first), (WIDTH - RIGHT, last)):
        parts.append(f'<text x="{x}" y="{bottom + 15:.1f}" text-anchor="middle">{text:g}</text>')
    for place, (name, values) in enumerate(series.items()):
        points = " ".join(
            f"{LEFT + (x - first) * across:.1f},{bottom - PANEL * value / most:.1f}"
            for x, value in zip(places, values, strict=True)
            if value == value  # leaves out NaN, which stands for no measurement
        )
        colour = COLOURS[place % len(COLOURS)]
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        parts.append(
            f'<text x="{WIDTH - RIGHT + 10}" y="{top + 12 + 17 * place:.1f}" fill="{colour}">{escape(name)}</text>'
        )
    return parts


def _rounded(most: float) -> float:
    """The next larger number that four steps divide well."""
    unit = 1.0
    while unit * 100 < most:
        unit *= 10
    while unit > 0.04 and unit * 10 > most:
        unit /= 10
    return next(unit * factor for factor in range(4, 404, 4) if unit * factor >= most)
