"""Output for GitHub Actions: annotations at the failed lines, and the summary of the step.

The controller writes it once, after pytest's last line: the runner takes a line that begins with ``::`` as a
command.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from pytest_hotreload.ci import messages, results_file
from pytest_hotreload.compat import pytest_config, pytest_output
from pytest_hotreload.process import user_file
from pytest_hotreload.wording import duration
from pytest_hotreload.world import os

if TYPE_CHECKING:
    from pytest_hotreload.ci.outcomes import ItemResult, Outcomes

#: GitHub shows 10 errors per step and drops the others silently.
MOST_ANNOTATIONS: Final = 10
#: GitHub rejects a summary above 1 MiB. A failure has at most 4,000 characters of four bytes each: 20 of them
#: stay below a third of that.
MOST_FAILURES: Final = 20
_SLOWEST = 5
#: The name of a plugin that writes annotations, too.
_OTHER = "pytest-github-actions-annotate-failures"


def wanted(environment: Mapping[str, str]) -> bool:
    """Whether this run is a step of GitHub Actions, and not a pytest run inside a test."""
    return environment.get("GITHUB_ACTIONS") == "true" and "PYTEST_CURRENT_TEST" not in environment


def tell(config: pytest.Config, outcomes: Outcomes) -> None:
    """Annotate the failures, and append to the summary."""
    lines = (
        [] if _OTHER in pytest_config.plugin_names(config) else list(annotated(config, outcomes, os.environ))
    )
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        try:
            user_file.append(Path(summary), markdown(outcomes).encode("utf-8", "backslashreplace"))
        except OSError as error:
            lines.append(messages.no_step_summary(error))
    if lines:
        pytest_output.write_lines(config, lines)


# ------------------------------------------------------------------------------------- annotations


def annotated(config: pytest.Config, outcomes: Outcomes, environment: Mapping[str, str]) -> Iterator[str]:
    """The commands, one per line: failures, then errors, then the number of those not shown."""
    top = Path(environment.get("GITHUB_WORKSPACE") or config.rootpath)
    tests = sorted(outcomes.bad, key=lambda test: test.outcome != "failed")
    found = [command("error", _below(top, test.path), test.line, test.nodeid, test.message) for test in tests]
    for broken in outcomes.errors:
        path = str(config.rootpath / broken.nodeid.partition("::")[0]) if broken.nodeid else ""
        title = broken.nodeid or messages.INTERNAL_ERROR
        found.append(command("error", _below(top, path), 1, title, _last_line(broken.text)))
    yield from found[:MOST_ANNOTATIONS]
    if len(found) > MOST_ANNOTATIONS:
        yield command("notice", "", 0, "", messages.more_failures(len(found) - MOST_ANNOTATIONS))


def command(kind: str, file: str, line: int, title: str, message: str) -> str:
    """A workflow command. The result is one line and one command, whatever the test printed."""
    given = {"file": file, "line": str(line) if file and line else "", "title": title}
    properties = ",".join(f"{name}={escaped_property(value)}" for name, value in given.items() if value)
    return f"::{kind}{' ' if properties else ''}{properties}::{escaped(message)}"


def escaped(text: str) -> str:
    """The text escaped for the runner."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def escaped_property(text: str) -> str:
    return escaped(text).replace(":", "%3A").replace(",", "%2C")


def _below(top: Path, path: str) -> str:
    """The path relative to the repository, the only form that GitHub knows."""
    try:
        return Path(path).relative_to(top).as_posix() if path else ""
    except ValueError:
        return path


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


# ------------------------------------------------------------------------------------- summary


def markdown(outcomes: Outcomes) -> str:
    """The text that is appended to the summary of the step."""
    document = outcomes.document()
    parts = [
        f"### {messages.totals(results_file.counted(document))} in {duration(document['seconds'])}",
        *messages.step_lines(document),
        *_failures(outcomes.bad, document["errors"]),
        *_slowest(document["files"]),
    ]
    return "\n\n".join(parts) + "\n\n"


def _failures(tests: Sequence[ItemResult], errors: Sequence[Mapping[str, str]]) -> Iterator[str]:
    texts = [(test.nodeid, test.text) for test in tests]
    texts += [(error["nodeid"] or messages.INTERNAL_ERROR, error["text"]) for error in errors]
    for name, text in texts[:MOST_FAILURES]:
        fence = "`" * (1 + max([2, *map(len, re.findall("`+", text))]))
        summary = f"<details><summary><code>{html.escape(_one_line(name))}</code></summary>"
        yield f"{summary}\n\n{fence}text\n{text}\n{fence}\n\n</details>"
    if len(texts) > MOST_FAILURES:
        yield messages.more_failures(len(texts) - MOST_FAILURES)


def _slowest(files: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    slowest = sorted(files, key=lambda file: -float(file["seconds"]))[:_SLOWEST]
    rows = [
        f"| <code>{_cell(file['file'])}</code> | {file['tests']} | {file['seconds']:.2f} |"
        for file in slowest
    ]
    if rows:
        yield "\n".join([*messages.SLOWEST_HEAD, *rows])


def _cell(text: str) -> str:
    return html.escape(_one_line(text)).replace("|", "&#124;")


def _one_line(text: str) -> str:
    return text.replace("\r", "\\r").replace("\n", "\\n")
