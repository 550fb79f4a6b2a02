"""The page docs/reference.md: it is what the declarations say, and nothing that users can set is missing."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from pytest_hotreload import shard_options

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))  # the scripts import each other by their names
import reference  # noqa: E402

TEXT = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")


def test_the_page_is_up_to_date():
    assert reference.page() == TEXT, "hint: .venv/bin/python scripts/reference.py"


def test_every_option_and_ini_name_of_the_help_is_there(pytestconfig: pytest.Config) -> None:
    """Of the parser that runs this test, which is another source than the page's."""
    group = next(each for each in pytestconfig._parser._groups if each.name == "hotreload")
    names = {name for option in group.options for name in option.names()}
    assert len(names) >= 40
    assert {name for name in names if f"`{name}" not in TEXT} == set()
    ini = {name for name in pytestconfig._parser._inidict if name.startswith("hotreload")}
    assert len(ini) >= 9
    assert {name for name in ini if f"| `{name}` |" not in TEXT} == set()


def test_every_option_is_explained_where_the_page_says():
    named = reference.EXPLAINED
    found = reference.declared()
    assert named.keys() == {names[0] for names, _ in found.options} | {name for name, *_ in found.ini}
    for name, target in named.items():
        file, _, anchor = target.partition("#")
        text = (ROOT / "docs" / file).read_text(encoding="utf-8")
        assert re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text), f"{file} does not name {name}"
        assert not anchor or anchor in _anchors(text), target


def _anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_environment_variable_of_the_sources_is_known():
    """It is in the table, or it is handed from one of our processes to another."""
    pattern = re.compile(r"[\"']((?:PYTEST|GITHUB)_[A-Z_]*[A-Z]|CI|NO_COLOR|XDG_RUNTIME_DIR)[\"']")
    used = {
        name
        for folder in ("pytest_hotreload", "pytest_hotreload_client")
        for path in (ROOT / folder).rglob("*.py")
        for name in pattern.findall(path.read_text(encoding="utf-8"))
    }
    # pytest's own, which are only handed on.
    used -= {"PYTEST_PLUGINS", "PYTEST_DISABLE_PLUGIN_AUTOLOAD", "PYTEST_VERSION"}
    assert used == {*reference.VARIABLES, *reference.INTERNAL}


def test_the_variables_of_services_are_there():
    for service in shard_options._SERVICES:
        assert f"`{service.position}`, `{service.total}`" in TEXT


def test_every_command_is_there():
    named = re.findall(r"^### pytest-hotreload (\w+)$", TEXT, re.MULTILINE)
    assert named == ["doctor", "explain", "graph", "cache", "merge", "serve", "run", "status", "stop"]
