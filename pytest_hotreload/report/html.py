"""Builds HTML.

Strings that come from tests pass through :func:`text` or :func:`data`, and are text on the page.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

#: Control characters, which HTML can't represent, and lone surrogates, which no encoding represents.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def text(value: object) -> str:
    """Escape a value as text, between tags or in a quoted attribute."""
    return html.escape(_UNSEEN.sub(_shown, str(value)), quote=True)


def _shown(match: re.Match[str]) -> str:
    number = ord(match.group())
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"


def data(value: Any) -> str:
    """Return JSON for a script element: nothing in the JSON can end that element, or begin another one."""
    shown = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return shown.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def allowed(script: str) -> str:
    """Return the page's content security policy: only this script runs, and nothing is loaded."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


class Column(NamedTuple):
    """A column of a table."""

    label: str
    #: The column is aligned to the right.
    number: bool = False
    #: The key by which the page's script sorts the column.
    key: str = ""


def table(
    columns: Sequence[Column], rows: Iterable[Sequence[str]], *, name: str = "", caption: str = ""
) -> str:
    """Return a table of cells that are HTML already."""
    head = "".join(
        f'<th scope="col"{_class(column)}{_key(column)}>{text(column.label)}</th>' for column in columns
    )
    body = "\n".join(
        "<tr>"
        + "".join(f"<td{_class(c)}>{cell}</td>" for c, cell in zip(columns, row, strict=True))
        + "</tr>"
        for row in rows
    )
    shown = f"<caption>{text(caption)}</caption>" if caption else ""
    named = f' id="{name}"' if name else ""
    inside = f"{shown}<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>"
    return f'<div class="wide"><table{named}>{inside}</table></div>'


def _class(column: Column) -> str:
    return ' class="n"' if column.number else ""


def _key(column: Column) -> str:
    return f' data-key="{column.key}"' if column.key else ""


def share(part: float, kind: str = "call") -> str:
    """Return a bar whose length is a part of the whole, from 0 to 1."""
    width = 100 * min(max(part, 0.0), 1.0)
    return (
        '<svg class="share" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="rest" width="100" height="8"/><rect class="{kind}" width="{width:.1f}" height="8"/></svg>'
    )


class Section(NamedTuple):
    """A part of the page under a heading."""

    title: str
    #: HTML.
    parts: tuple[str, ...]

    @property
    def name(self) -> str:
        return "about-" + self.title.lower().replace(" ", "-")

    @property
    def lines(self) -> list[str]:
        return [
            f'<section aria-labelledby="{self.name}">',
            f'<h2 id="{self.name}">{text(self.title)}</h2>',
            *self.parts,
            "</section>",
        ]


def navigation(sections: Sequence[Section]) -> list[str]:
    """Return links to the sections."""
    links = "".join(f'<li><a href="#{each.name}">{text(each.title)}</a></li>' for each in sections)
    return [f'<nav aria-label="Parts of the page"><ul>{links}</ul></nav>'] if len(sections) > 1 else []
