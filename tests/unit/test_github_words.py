"""Workflow commands: for every text of a test, the runner reads one command with that text."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from pytest_hotreload.ci import github

ANY = st.text(st.characters() | st.sampled_from("%:,\r\n=ADC0123"))


def read(line: str) -> tuple[str, dict[str, str], str]:
    """As the runner reads a command: kind, properties, message."""
    found = re.fullmatch(r"::(\w+)(?: ([^\r\n]*?))?::([^\r\n]*)", line, re.DOTALL)
    assert found, line
    kind, given, message = found.groups()
    properties = dict(each.split("=", 1) for each in (given or "").split(",") if each)
    codes = {"%0D": "\r", "%0A": "\n", "%3A": ":", "%2C": ",", "%25": "%"}

    def plain(text: str, *names: str) -> str:
        for name in names:  # the percent sign last
            text = text.replace(name, codes[name])
        return text

    return (
        kind,
        {name: plain(value, *codes) for name, value in properties.items()},
        plain(message, "%0D", "%0A", "%25"),
    )


@given(ANY.filter(bool), st.integers(1, 10_000), ANY.filter(bool), ANY)
def test_what_is_said_arrives(file: str, line: int, title: str, message: str) -> None:
    said = github.command("error", file, line, title, message)
    properties = {"file": file, "line": str(line), "title": title}
    assert read(said) == ("error", properties, message)


def test_as_they_look() -> None:
    assert (
        github.command("error", "a,b.py", 3, "x::y", "100%\nok")
        == "::error file=a%2Cb.py,line=3,title=x%3A%3Ay::100%25%0Aok"
    )
    assert github.command("notice", "", 0, "", "and 2 more") == "::notice::and 2 more"


def test_when() -> None:
    assert github.wanted({"GITHUB_ACTIONS": "true"})
    assert not github.wanted({})
    assert not github.wanted({"GITHUB_ACTIONS": "false"})
    assert not github.wanted({"GITHUB_ACTIONS": "true", "PYTEST_CURRENT_TEST": "a test of another pytest"})
