"""Checks the documentation: its examples run, and it names every option and no other.

The convention: a ``python`` or ``ini`` block begins with ``# file: NAME`` and is written to the example project of
its section (from one ``##`` heading to the next). A ``console`` block is run there: after each ``$ `` line stand
lines that its output must contain, in order; ``…`` stands for anything. ``sh`` blocks are not run.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from . import warm

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")],
    key=lambda page: page.relative_to(ROOT).as_posix(),
)
#: Written by a tool, which tells what it was run with.
WRITTEN = ROOT / "docs" / "benchmarks.md"

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$|^(## [^\n]*)$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# file: (\S+)\n")
#: The slowest example takes 3 s on a busy machine.
_HUNG_SECONDS = 60


@dataclass
class Section:
    """One example project: its steps in order, as (file name or command, text or expected lines)."""

    page: Path
    heading: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT).as_posix()}: {self.heading}"


def sections_of(page: Path) -> Iterator[Section]:
    section = Section(page, "top")
    for match in _BLOCK.finditer(page.read_text(encoding="utf-8")):
        language, text, heading = match.groups()
        if heading:
            yield section
            section = Section(page, heading.removeprefix("## "))
        elif language in ("python", "ini"):
            named = _FILE.match(text)
            assert named, f"{section}: a {language} block begins with '# file: NAME': {text[:40]!r}"
            section.steps.append((named.group(1), text))
        elif language == "console":
            assert text.startswith("$ "), f"{section}: a console block begins with '$ COMMAND'"
            for step in re.split(r"^(?=\$ )", text, flags=re.MULTILINE)[1:]:
                command, _, expected = step.partition("\n")
                section.steps.append((command, expected))
    yield section


SECTIONS = [section for page in PAGES for section in sections_of(page) if section.steps]


@pytest.mark.parametrize("section", SECTIONS, ids=str)
def test_examples_run_as_shown(section, tmp_path):
    for name, text in section.steps:
        if name.startswith("$ "):
            shows(section, name, text, run(name.removeprefix("$ "), tmp_path))
        else:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")


def run(command: str, folder: Path) -> str:
    """Standard output and error of a command of ours."""
    program, *arguments = shlex.split(command)
    words = {
        "pytest": [sys.executable, "-m", "pytest"],
        "python": [sys.executable],
        "pytest-hotreload": [sys.executable, "-m", "pytest_hotreload.cli"],
        "sleep": ["sleep"],
    }[program]
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTEST_", "COV_", "GITHUB_"))
    }
    ours = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": "-p hotreload", "PYTHONHASHSEED": "0"}
    ours["PYTEST_HOTRELOAD_SERVE"] = "off"
    environ = {**kept, **ours, "COLUMNS": "80", "NO_COLOR": "1"}
    return "".join(warm.start([*words, *arguments], folder, environ).communicate(timeout=_HUNG_SECONDS))


def shows(section: Section, command: str, expected: str, output: str) -> None:
    """Each expected line is part of a line of the output, one after the other."""
    lines = iter([" ".join(line.split()) for line in output.splitlines()])
    for wanted in expected.splitlines():
        parts = [re.escape(" ".join(part.split())) for part in wanted.split("…")]
        pattern = re.compile(" ?.*".join(parts))
        assert any(pattern.search(line) for line in lines), (
            f"{section}\n{command}\ndoes not show, here or in this order:\n{wanted}\nbut:\n{output}"
        )


def test_there_are_examples():
    pages = {section.page.relative_to(ROOT).as_posix() for section in SECTIONS}
    assert pages >= {"README.md", "docs/usage.md"}


# ------------------------------------------------------------------------------------- names


@pytest.fixture(scope="module")
def help_text() -> str:
    return run("pytest --help", ROOT / "docs")


def documented(pattern: str) -> set[str]:
    texts = [page.read_text(encoding="utf-8") for page in PAGES if page != WRITTEN]
    return {name for text in texts for name in re.findall(pattern, text)}


def test_options_are_those_of_the_help(help_text):
    pattern = r"--(?:no-)?hotreload(?:-[a-z]+)*"
    assert documented(pattern) == set(re.findall(pattern, help_text))


#: Of a fixture's function, see docs/session-fixtures.md.
_ATTRIBUTES = {"hotreload_after_fork"}


def test_ini_names_are_those_of_the_help(help_text):
    known = set(re.findall(r"^  (hotreload\w*) \(", help_text, re.MULTILINE))
    named = documented(r"\b(hotreload(?:_[a-z]+)+)\b") - _ATTRIBUTES
    assert named | {"hotreload"} == known
    assert documented(r"ini option `(hotreload)`") == {"hotreload"}


def test_links_lead_somewhere():
    missing = [
        f"{page.relative_to(ROOT).as_posix()}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]
    assert missing == []


# ----------------------------------------------------------------------------- ARCHITECTURE.md


def test_the_architecture_names_every_package():
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    package = ROOT / "pytest_hotreload"
    packages = {path.name for path in package.iterdir() if (path / "__init__.py").exists()}
    assert set(re.findall(r"^\*\*`(\w+)/`\*\*", text, re.MULTILINE)) == {*packages, "rust"}


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_every_file_that_is_named_exists(page):
    """In the package, where no folder of the project has it."""
    text = (ROOT / page).read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w/]+(?:/|\.py|\.pyi|\.rs|\.md|\.toml))`", text))
    known = (ROOT, ROOT / "pytest_hotreload", ROOT / "tests" / "acceptance", ROOT / "tests" / "unit")
    assert named
    assert {name for name in named if not any((top / name).exists() for top in known)} == set()
