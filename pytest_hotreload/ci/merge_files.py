"""Finds the shards' files beside the results by their content, and merges them into one file of each kind.

No file is trusted: an artifact may have been truncated in transit.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_hotreload.ci import messages, results_file
from pytest_hotreload.process import user_file

#: Bytes that suffice to recognise each kind. An XML file may begin with a comment.
_HEAD_BYTES = 4096
_SQLITE = b"SQLite format 3\0"
#: The beginning of the tag that the record store writes into its folder.
_STORE_TAG = "# The records of pytest-hotreload."


class RefusedError(Exception):
    """The files cannot be merged; the text states the reason."""


@dataclass
class ShardFiles:
    """Paths of each kind, sorted."""

    results: list[Path] = field(default_factory=list)
    junit: list[Path] = field(default_factory=list)
    report_logs: list[Path] = field(default_factory=list)
    coverage: list[Path] = field(default_factory=list)
    #: Folders that contain a folder of records.
    stores: list[Path] = field(default_factory=list)


def find(folders: Iterable[Path], leave_out: Iterable[Path]) -> ShardFiles:
    """All files below these folders, each once.

    ``leave_out``: paths that will be written, with all below them.
    """
    found, seen, not_these = ShardFiles(), set(), {path.resolve() for path in leave_out}
    for folder in folders:
        for path in _walk(folder, not_these):
            real = path.resolve()
            if real not in seen:
                seen.add(real)
                _sort_in(path, found)
    return found


def _walk(folder: Path, not_these: set[Path]) -> Iterator[Path]:
    """Files and folders of records; the latter are not entered."""
    for top, folders, names in os.walk(folder):
        here = Path(top)
        stores = [name for name in folders if _is_store(here / name)]
        entered = (
            name for name in folders if name not in stores and (here / name).resolve() not in not_these
        )
        folders[:] = sorted(entered)
        for name in sorted([*stores, *names]):
            if (here / name).resolve() not in not_these:
                yield here / name


def _is_store(folder: Path) -> bool:
    if not folder.name.startswith("records-"):
        return False
    try:
        return _STORE_TAG in (folder / "CACHEDIR.TAG").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False


def _sort_in(path: Path, found: ShardFiles) -> None:
    if path.is_dir():
        found.stores.append(path.parent)
        return
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES) if path.is_file() else b""
    except OSError:
        return
    kinds: list[tuple[list[Path], Callable[[bytes, Path], bool]]] = [
        (found.results, lambda head, _: results_file.is_one(head)),
        (found.junit, lambda head, _: _is_junit(head)),
        (found.report_logs, lambda head, _: _is_report_log(head)),
        (found.coverage, _is_coverage),
    ]
    for paths, is_one in kinds:
        if is_one(head, path):
            paths.append(path)
            return


def _is_junit(head: bytes) -> bool:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    while text.startswith((b"<?", b"<!")):
        text = text.partition(b"-->" if text.startswith(b"<!--") else b">")[2].lstrip()
    return text.startswith((b"<testsuites", b"<testsuite"))


def _is_report_log(head: bytes) -> bool:
    return head.startswith(b"{") and b'"$report_type"' in head.partition(b"\n")[0]


def _is_coverage(head: bytes, path: Path) -> bool:
    if not head.startswith(_SQLITE):
        return False
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(
            sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
        ) as data,
    ):
        return (
            data.execute("select 1 from sqlite_master where name = 'coverage_schema'").fetchone() is not None
        )
    return False


def homes(paths: Iterable[Path], results: Iterable[Path]) -> dict[Path, Path | None]:
    """The nearest folder of results at or above each path, or None if there is none."""
    folders = {path.resolve().parent for path in results}
    return {
        path: next((folder for folder in path.resolve().parents if folder in folders), None) for path in paths
    }


# ------------------------------------------------------------------------------------- merging


def junit(paths: Sequence[Path], to: Path) -> None:
    """Merge into one ``testsuites`` with all suites and their totals. Raises RefusedError, OSError."""
    whole = ET.Element("testsuites", name="pytest tests")
    for path in paths:
        whole.extend(_suites(path))
    for name in ("tests", "failures", "errors", "skipped"):
        whole.set(name, str(sum(int(suite.get(name, "0")) for suite in whole)))
    whole.set("time", f"{sum(float(suite.get('time', '0')) for suite in whole):.3f}")
    text = ET.tostring(whole, encoding="utf-8", xml_declaration=True)
    user_file.write(to, text + b"\n")


def _suites(path: Path) -> list[ET.Element]:
    try:
        root = ET.parse(path).getroot()
        suites = [root] if root.tag == "testsuite" else root.findall("testsuite")
        for suite in suites:  # check the numbers that are summed later
            for name in ("tests", "failures", "errors", "skipped"):
                int(suite.get(name, "0"))
            float(suite.get("time", "0"))
    except (ET.ParseError, ValueError) as error:
        raise RefusedError(
            messages.unusable(path, f"not a JUnit XML file that can be merged ({error})")
        ) from None
    return suites


def report_log(paths: Sequence[Path], to: Path, status: int) -> None:
    """Merge all lines into one file with one start and one end. Raises RefusedError, OSError."""
    begins: list[bytes] = []
    lines: list[bytes] = []
    for path in paths:
        for line, kind in _report_lines(path):
            if kind == "SessionStart":
                begins.append(line)
            elif kind != "SessionFinish":
                lines.append(line)
    end = json.dumps({"exitstatus": status, "$report_type": "SessionFinish"}).encode()
    user_file.write(to, b"".join(line + b"\n" for line in [*begins[:1], *lines, end]))


def _report_lines(path: Path) -> Iterator[tuple[bytes, str]]:
    """The lines of a report log, as bytes: text mode accepts several line endings."""
    for number, line in enumerate(path.read_bytes().removesuffix(b"\n").split(b"\n"), 1):
        try:
            said: Any = json.loads(line)
            kind = str(said["$report_type"])
        except (ValueError, TypeError, KeyError):
            raise RefusedError(
                messages.unusable(path, f"line {number} is not an event of a report log")
            ) from None
        yield line, kind
