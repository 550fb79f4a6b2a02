"""Writes docs/reference.md: every option, ini option, command, environment variable and exit status.

    python scripts/reference.py          # writes the page
    python scripts/reference.py --check  # fails if the page is not what would be written

The rows come from the declarations themselves, so an option can't be missing. What no declaration says (environment
variables, exit statuses) stands here, and tests/unit/test_reference.py compares the names with the sources.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pytest_hotreload import cli, option_declarations, shard_options

PAGE: Final = Path(__file__).parent.parent / "docs" / "reference.md"

#: Option -> the page that explains it, relative to docs/. Every option has an entry.
EXPLAINED: Final = {
    "--hotreload": "usage.md#turning-hotreload-on",
    "--no-hotreload": "usage.md#turning-hotreload-on",
    "--hotreload-isolate": "usage.md#isolation",
    "--hotreload-slots": "usage.md#slots",
    "--hotreload-timeout": "usage.md#time-limits-and-crashes",
    "--hotreload-start": "usage.md#isolation",
    "--hotreload-rewind": "usage.md#rewinding",
    "--affected": "records.md#running-affected-tests",
    "--affected=tests": "records.md#edits-of-functions",
    "--affected-since": "records.md#running-affected-tests",
    "--no-cache": "records.md#where-the-records-are-stored",
    "--reuse": "reuse.md",
    "--force": "reuse.md",
    "--watch": "watch.md",
    "--watch-first": "watch.md#what-runs",
    "--watch-force": "watch.md#where-a-watch-runs",
    "--no-clear": "watch.md#where-a-watch-runs",
    "--hotreload-quiet": "usage.md#terminal-output",
    "--hotreload-json-lines": "agents.md#the-lines",
    "--hotreload-json": "ci.md#results-for-programs",
    "--shard": "ci.md#shards",
    "--shard-plan": "ci.md#shards",
    "--shard-from": "ci.md#shards",
    "--timings": "ci.md#durations",
    "--hotreload-report": "report.md",
    "--hotreload-trace": "report.md",
    "hotreload": "usage.md#turning-hotreload-on",
    "hotreload_rewind": "usage.md#rewinding",
    "hotreload_shared_fixtures": "session-fixtures.md",
    "hotreload_depends": "records.md#what-cannot-be-observed",
    "hotreload_no_reuse": "reuse.md#what-is-never-reused",
    "hotreload_serial": "records.md#files-that-may-not-run-at-the-same-time",
    "hotreload_not_warm": "usage.md#terminal-output",
    "hotreload_serve": "attaching.md#the-server-that-a-run-starts",
    "hotreload_warm": "usage.md#warm-functions",
    "hotreload_warm_known": "usage.md#warm-functions",
}
#: An ini option's type for pytest -> the way to write a value.
TYPES: Final = {
    "bool": "`true` or `false`",
    "args": "words, separated by spaces",
    "linelist": "one per line",
    "string": "a word",
}
#: Environment variables that users set, or that tests can read: name -> the effect.
VARIABLES: Final = {
    "PYTEST_HOTRELOAD_NO_CACHE": "`1` does the same as `--no-cache`",
    "PYTEST_HOTRELOAD_SERVE": "goes before `hotreload_serve`",
    "PYTEST_ADDOPTS": "pytest's own: options for each run, for example `--hotreload`",
    "CI": "if set, `--watch` is an error, unless `--watch-force` is given, and runs start no server",
    "NO_COLOR": "attached runs and the keyboard respect it, as pytest does",
    "XDG_RUNTIME_DIR": "the folder for the sockets of `pytest-hotreload run`; without it, `$TMPDIR` or `/tmp`",
    "GITHUB_ACTIONS": "`true` turns annotations and the step summary on",
    "GITHUB_STEP_SUMMARY": "the file that the step summary is appended to",
    "GITHUB_WORKSPACE": "the folder to which the paths of annotations are relative",
    "PYTEST_XDIST_WORKER": "set in children if there is more than one slot: `gw0`, `gw1`, …",
    "PYTEST_XDIST_WORKER_COUNT": "set in children if there is more than one slot: the number of slots",
    "PYTEST_XDIST_TESTRUNUID": "set in children if there is more than one slot: an id of the run",
    "PYTEST_CURRENT_TEST": "pytest's own: set in the child that runs the test",
}
#: Variables that our processes hand to each other; nobody sets them by hand.
INTERNAL: Final = (
    "PYTEST_HOTRELOAD_APART",
    "PYTEST_HOTRELOAD_HOST",
    "PYTEST_HOTRELOAD_NO_DEATH_SIGNAL",
    "PYTEST_HOTRELOAD_RECORD",
    "PYTEST_HOTRELOAD_STANDING",
)
#: (command, status, meaning).
STATUSES: Final = (
    (
        "`pytest --hotreload`",
        "0 to 5",
        "pytest's own: 0 passed, 1 failed, 2 interrupted, 3 internal error, 4 usage, 5 no tests",
    ),
    ("`--affected`", "0", "also if no test file is affected"),
    ("`--shard`", "0", "also if this shard has no tests but others have some"),
    ("`--reuse=verify`", "1", "a reuse would have been wrong"),
    ("`--watch`", "0", "ended with `q`: no test is failing, and no test still has to run"),
    ("`--watch`", "1", "ended with `q`: a test is failing, or has no result"),
    ("`--watch`", "130", "ended with Ctrl-C twice"),
    (
        "`pytest-hotreload run`",
        "pytest's",
        "128 + N if signal N ended the run; 137 if the watch or serve ended",
    ),
    ("`pytest-hotreload status`", "0, 1", "there is a server, or none"),
    ("`pytest-hotreload doctor`", "0, 1, 2", "no order-dependent test; some; the suite cannot be run"),
    ("`pytest-hotreload merge`", "2", "the output of the shards can't be merged; each reason is one line"),
    ("`pytest-hotreload merge`", "other", "that of the worst shard; 1 if the coverage is below its limit"),
    ("`pytest-hotreload cache verify`", "0, 1", "the records are sound, or not"),
)
HEAD: Final = """\
# Reference

`scripts/reference.py` writes this page from the declarations in the code: do not edit.

- [Options of pytest](#options-of-pytest)
- [Ini options](#ini-options)
- [The mark](#the-mark)
- [Commands](#commands)
- [Environment variables](#environment-variables)
- [Exit statuses](#exit-statuses)
"""


@dataclass
class Declared:
    """Stands in for pytest's parser, and keeps what is declared."""

    options: list[tuple[tuple[str, ...], dict[str, Any]]] = field(default_factory=list)
    ini: list[tuple[str, str, str, Any]] = field(default_factory=list)

    def getgroup(self, *_: str) -> Declared:
        return self

    def addoption(self, *names: str, **how: Any) -> None:
        self.options.append((names, how))

    def addini(self, name: str, help: str, type: str = "string", default: Any = None) -> None:  # noqa: A002
        self.ini.append((name, help, type, default))


def declared() -> Declared:
    found = Declared()
    option_declarations.add_options(found, ())  # type: ignore[arg-type]
    return found


def cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def linked(name: str) -> str:
    return f"[details]({EXPLAINED[name]})"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = ["", "| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return [*lines, *("| " + " | ".join(map(cell, row)) + " |" for row in rows)]


def option_rows(found: Declared) -> Iterable[tuple[str, ...]]:
    for names, how in found.options:
        value = f"={how['metavar']}" if "metavar" in how else ""
        if "choices" in how:
            value = "=" + "\\|".join(map(str, how["choices"])).replace("\\|", "|")
        shown = ", ".join(f"`{name}{value}`" for name in names)
        yield shown, how["help"], linked(names[0])


def ini_rows(found: Declared) -> Iterable[tuple[str, ...]]:
    for name, text, kind, default in found.ini:
        known = {True: "true", False: "false"}.get(default, default) if isinstance(default, bool) else default
        known = " ".join(known) if isinstance(known, list) else known
        yield f"`{name}`", TYPES[kind], f"`{known}`" if known else "none", text, linked(name)


def commands() -> Iterable[str]:
    """A section for each sub-command, from argparse's own declarations."""
    parser = cli._parser()
    (subparsers,) = (each for each in parser._actions if isinstance(each, argparse._SubParsersAction))
    helps = {each.dest: each.help or "" for each in subparsers._choices_actions}
    for name, sub in subparsers.choices.items():
        yield ""
        yield f"### pytest-hotreload {name}"
        yield ""
        yield sentence(helps[name])
        if sub.description:
            yield sub.description
        rows = [
            (
                ", ".join(f"`{text}`" for text in action.option_strings)
                or f"`{action.metavar or action.dest}`",
                f"`{action.metavar}`" if action.option_strings and action.metavar else "",
                (action.help or "").replace("%(default)s", str(action.default)),
            )
            for action in sub._actions
            if action.dest != "help" and action.help != argparse.SUPPRESS
        ]
        if rows:
            yield from table(("argument", "value", "meaning"), rows)


def sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "."


def mark_rows() -> Iterable[tuple[str, ...]]:
    """The parameters of the mark, each with its part of the marker's description."""
    names, _, texts = option_declarations.MARKER.partition("): ")
    for name, text in zip(re.findall(r"(\w+)=", names), texts.split("; "), strict=True):
        yield f"`{name}`", text


def service_rows() -> Iterable[tuple[str, ...]]:
    for service in shard_options._SERVICES:
        yield service.name, f"`{service.position}`, `{service.total}`", str(service.first)


def page() -> str:
    found = declared()
    lines = [HEAD.rstrip(), "", "## Options of pytest", ""]
    lines.append("Each short name has a long form, which works if another plugin owns the short name.")
    lines += table(("option", "meaning", ""), option_rows(found))
    lines += ["", "## Ini options"]
    lines += table(("name", "value", "default", "meaning", ""), ini_rows(found))
    lines += [
        "",
        "## The mark",
        "",
        "`@pytest.mark.hotreload(…)` on a test, a class or a module (`pytestmark`).",
    ]
    lines += table(("parameter", "meaning"), mark_rows())
    lines += ["", "## Commands", *commands()]
    lines += ["", "## Environment variables"]
    lines += table(("variable", "effect"), ((f"`{name}`", text) for name, text in VARIABLES.items()))
    lines += [
        "",
        "`--shard=auto` reads the variables of one of these services, and no other option reads them.",
    ]
    lines += table(("service", "variables", "first index"), service_rows())
    lines += ["", "## Exit statuses"]
    lines += table(("of", "status", "meaning"), STATUSES)
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str]) -> int:
    text = page()
    if "--check" not in arguments:
        PAGE.write_text(text, encoding="utf-8")
        return 0
    if PAGE.read_text(encoding="utf-8") == text:
        return 0
    print(f"error: {PAGE.name} is not up to date; hint: python scripts/reference.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
