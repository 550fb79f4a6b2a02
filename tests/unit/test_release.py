"""What must agree before a tag is released: the tag, Cargo.toml, the metadata and the changelog."""

from __future__ import annotations

import sys
from importlib.metadata import metadata, version
from pathlib import Path

import pytest

import pytest_hotreload

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))  # the scripts import each other by their names
import release  # noqa: E402
from extras import load_toml  # noqa: E402

DATED = "# Changes\n\n## Unreleased\n\n## 1.2.0 – 2026-01-02\n\n- One.\n\n## 1.1.0 – 2025-01-02\n\n- Two.\n"


def test_a_version_that_can_be_released():
    assert release.problems("v1.2.0", "1.2.0", DATED) == []
    assert release.sections(DATED)["1.2.0"] == ("2026-01-02", "- One.")


@pytest.mark.parametrize(
    ("tag", "changelog", "problem"),
    [
        (
            "v1.2",
            DATED,
            "the tag is v1.2, but Cargo.toml has version 1.2.0; hint: tag v1.2.0, or change Cargo.toml",
        ),
        (
            "1.2.0",
            DATED,
            "the tag is 1.2.0, but Cargo.toml has version 1.2.0; hint: tag v1.2.0, or change Cargo.toml",
        ),
        (
            "v1.2.0",
            "## 1.1.0 – 2025-01-02\n\n- Two.\n",
            "CHANGELOG.md has no heading '## 1.2.0 – YYYY-MM-DD'",
        ),
        (
            "v1.2.0",
            DATED.replace(" – 2026-01-02", ""),
            "CHANGELOG.md: '## 1.2.0' has no date; hint: '## 1.2.0 – YYYY-MM-DD'",
        ),
        ("v1.2.0", DATED.replace("- One.\n", ""), "CHANGELOG.md: nothing is below '## 1.2.0'"),
        (
            "v1.2.0",
            DATED.replace("Unreleased\n", "Unreleased\n\n- Three.\n"),
            "CHANGELOG.md: entries are below '## Unreleased'; hint: move them below '## 1.2.0'",
        ),
    ],
)
def test_what_is_refused(tag, changelog, problem):
    assert release.problems(tag, "1.2.0", changelog) == [problem]


def test_the_version_has_one_source():
    """Cargo.toml; what is installed has it from there, and Python reads that."""
    assert version("pytest-hotreload") == pytest_hotreload.__version__ == release.version()
    assert "version" not in load_toml(ROOT / "pyproject.toml")["project"]


def test_the_changelog_has_a_heading_for_this_version():
    assert release.version() in release.sections((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))


def test_what_the_package_index_shows():
    urls = dict(each.split(", ", 1) for each in metadata("pytest-hotreload").get_all("Project-URL", []))
    assert urls.keys() == {"Homepage", "Documentation", "Changelog", "Issues", "Source"}
    assert all(url.startswith("https://") for url in urls.values())
