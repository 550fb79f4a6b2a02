"""The documentation site, as far as it needs no mkdocs: each page is in the navigation, and links lead to places."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))  # the scripts import each other by their names
import build_site  # noqa: E402

PLACES = {"README.md": "index.md", "docs/start.md": "start.md", "docs/design/shards.md": "design/shards.md"}
REPOSITORY = "https://host.example/project"


def listed(nav: list[Any]) -> Iterator[str]:
    for entry in nav:
        if isinstance(entry, str):
            yield entry
        else:
            for below in entry.values():
                yield from listed(below) if isinstance(below, list) else [below]


def test_every_page_is_in_the_navigation_once():
    pages = [place for place in build_site.pages().values() if place.endswith(".md")]
    assert sorted(listed(build_site.configuration()["nav"])) == sorted(pages)


@pytest.mark.parametrize(
    ("file", "link", "found"),
    [
        ("README.md", "docs/start.md#install", "start.md#install"),
        ("docs/start.md", "../README.md", "index.md"),
        ("docs/design/shards.md", "../start.md", "../start.md"),
        ("docs/start.md", "../tests/unit", f"{REPOSITORY}/tree/main/tests/unit"),
        ("docs/start.md", "../Makefile", f"{REPOSITORY}/blob/main/Makefile"),
        ("docs/start.md", "https://host.example/", "https://host.example/"),
        ("docs/start.md", "#install", "#install"),
    ],
)
def test_links(file, link, found):
    assert build_site.with_links(f"[a]({link})", file, PLACES, REPOSITORY) == f"[a]({found})"


def test_lists_in_lists_are_indented_by_four():
    text = "- a\n  - b\n  c\n"
    assert build_site.with_links(text, "README.md", PLACES, REPOSITORY) == "- a\n    - b\n  c\n"


def test_code_keeps_its_links():
    text = "```sh\n[a](docs/start.md)\n```\n"
    assert build_site.with_links(text, "README.md", PLACES, REPOSITORY) == text


def test_a_link_to_nothing_is_an_error():
    with pytest.raises(SystemExit, match=r"README\.md links to docs/gone\.md, which does not exist"):
        build_site.with_links("[a](docs/gone.md)", "README.md", PLACES, REPOSITORY)
