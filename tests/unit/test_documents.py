"""The documents for people who change the code: terms, design pages and files that they name, one sentence a line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: Folders in which a document may look for the files that it names.
FOLDERS = (
    "",
    "pytest_hotreload",
    "rust/src",
    "docs",
    "tests",
    "tests/acceptance",
    "tests/unit",
    "tests/mutation",
)
GUIDES = ("ARCHITECTURE.md", "CONTRIBUTING.md", "docs/design/layout.md")
#: What the commands of the guides write.
ELSEWHERE = {"build/benchmarks/endurance.csv"}
PAGES = sorted(
    page
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("docs/design/*.md")]
    # This page is written by a script, from the texts of --help.
    if page.name != "reference.md"
)
CODE = re.compile(r"`[^`]*`")
#: A sentence that ends before the line does. Pictures of output and short forms are no sentences.
MORE_THAN_ONE = re.compile(r"""[a-z)`"][.!?][)"]? (?=[A-Z`*\[])""")


def prose(page: Path) -> Iterator[tuple[int, str]]:
    """The lines of a page outside blocks of code and tables, by their numbers."""
    inside = False
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if line.lstrip().startswith("```"):
            inside = not inside
        elif not inside and not line.startswith(("|", "    ")):
            yield number, line


def test_the_glossary_has_each_term_once_in_order():
    rows = [line for line in (ROOT / "docs/glossary.md").read_text().splitlines() if line.startswith("| ")]
    terms = [row.split(" | ")[0][2:].lower() for row in rows[2:]]
    assert len(terms) > 50
    assert terms == sorted(set(terms))


def test_the_architecture_lists_every_design_page():
    text = (ROOT / "ARCHITECTURE.md").read_text()
    assert [
        page.stem for page in ROOT.glob("docs/design/*.md") if f"(docs/design/{page.name})" not in text
    ] == []


@pytest.mark.parametrize("guide", GUIDES)
def test_files_that_a_guide_names_exist(guide):
    named = set(
        re.findall(r"`([\w./*-]+/[\w./*-]*\.(?:py|pyi|rs|md|js|css|toml|yml))`", (ROOT / guide).read_text())
    )
    assert named
    missing = [
        name
        for name in named - ELSEWHERE
        if not any(any(ROOT.glob(f"{each}/{name}".lstrip("/"))) for each in FOLDERS)
    ]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_one_sentence_a_line(page):
    found = [
        f"{page.name}:{number}: {line}"
        for number, line in prose(page)
        if MORE_THAN_ONE.search(CODE.sub("`code`", line))
    ]
    assert found == []
