"""Checks that a tag, the version in Cargo.toml and the changelog agree, and prints what the changelog says of it.

    python scripts/release.py v0.1.0

The version has one source, Cargo.toml: maturin reads it there, and Python reads it from the installed metadata.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from extras import load_toml

ROOT = Path(__file__).parent.parent
_HEADING = re.compile(r"^## (?P<version>\S+)(?: – (?P<date>\d{4}-\d{2}-\d{2}))?$", re.MULTILINE)


def version() -> str:
    """The version in Cargo.toml."""
    return str(load_toml(ROOT / "Cargo.toml")["package"]["version"])


def sections(changelog: str) -> dict[str, tuple[str | None, str]]:
    """Version (or "Unreleased") -> the date, if there is one, and the text below the heading; the newest first."""
    found = list(_HEADING.finditer(changelog))
    ends = [*(each.start() for each in found[1:]), len(changelog)]
    return {
        each["version"]: (each["date"], changelog[each.end() : end].strip())
        for each, end in zip(found, ends, strict=True)
    }


def problems(tag: str, current: str, changelog: str) -> list[str]:
    """The reasons why this tag can't be released; [] if it can."""
    if tag != f"v{current}":
        return [
            f"the tag is {tag}, but Cargo.toml has version {current}; hint: tag v{current}, or change Cargo.toml"
        ]
    known = sections(changelog)
    if current not in known:
        return [f"CHANGELOG.md has no heading '## {current} – YYYY-MM-DD'"]
    date, text = known[current]
    found = []
    if date is None:
        found.append(f"CHANGELOG.md: '## {current}' has no date; hint: '## {current} – YYYY-MM-DD'")
    if not text:
        found.append(f"CHANGELOG.md: nothing is below '## {current}'")
    if known.get("Unreleased", (None, ""))[1]:
        found.append(f"CHANGELOG.md: entries are below '## Unreleased'; hint: move them below '## {current}'")
    return found


def main(tag: str) -> int:
    current, changelog = version(), (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    found = problems(tag, current, changelog)
    if found:
        print(*(f"error: {each}" for each in found), sep="\n", file=sys.stderr)
        return 1
    print(sections(changelog)[current][1])
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
