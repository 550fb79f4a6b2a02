"""What the pages look like."""

from __future__ import annotations

from html import escape

TITLE = "Guest book"


def page(entries: list[str]) -> str:
    rows = "".join(f"<li>{escape(entry)}</li>" for entry in entries)
    return f"<!doctype html><title>{TITLE}</title><h1>{TITLE}</h1><ul>{rows}</ul>"
