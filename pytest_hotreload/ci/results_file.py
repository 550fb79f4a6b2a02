"""The results file: what became of each test of a run, for programs. Its shape, how it is written and read.

``docs/results.schema.json`` says the same for others; a test holds both against what is written.
"""

from __future__ import annotations

import errno
import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from pytest_hotreload.process import user_file
from pytest_hotreload.world import os

#: The number is raised when something is removed, or means something else; additions leave it.
SCHEMA: Final = "hotreload-results/1"
#: The first key of the object, so that a file that was cut off is known for what it was to be.
_BEGIN: Final = re.compile(rb'\s*\{\s*"schema"\s*:\s*"hotreload-results/')

#: Kinds are types; None beside one: it may be null. A list holds things of one kind. A "?" ends the names of keys
#: that may be missing.
_TEST: Final = {
    "nodeid": str,
    "file": str,
    "outcome": str,
    "seconds": float,
    "reused": ({"at": str, "revision": str}, None),
    "text?": str,
}
_SHAPE: Final = {
    "schema": str,
    "version": str,
    "started": str,
    "seconds": float,
    "exitstatus": int,
    "python": str,
    "platform": str,
    "plan": (
        {
            "fingerprint": str,
            "shard": int,
            "of": int,
            "files": [str],
            "own": [str],
            "predicted": (float, None),
            "left_out": [str],
            "found": [str],
        },
        None,
    ),
    "collected": int,
    "deselected": [str],
    "stopped": (str, None),
    "left_to_plain": (str, None),
    "tests": [_TEST],
    "errors": [{"nodeid": str, "text": str}],
    "files": [{"file": str, "tests": int, "seconds": float, "imports?": float, "collection?": float}],
    "merged?": [{"shard": int, "exitstatus": int, "seconds": float}],
}


class UnusableError(Exception):
    """This is no results file that can be used; the text says why."""


def is_one(head: bytes) -> bool:
    """Whether a file that begins so was written as a results file, of whatever version."""
    return _BEGIN.match(head) is not None


def prepare(path: Path) -> None:
    """Before the run: remove what an earlier run left, and see whether it can be written. Raises OSError.

    Its folder is made after the run. One that appears at the root meanwhile could be imported, and then no record of a
    file that could import it is trusted.
    """
    user_file.remove(path)
    if path.exists():  # it stays what it is: a pipe, a device, the standard output
        return
    above = next(folder for folder in path.parents if folder.exists())
    if not above.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(above))
    if not os.access(above, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(above))


def write(path: Path, document: Mapping[str, Any]) -> None:
    """Whole or not at all. Raises OSError."""
    # Escaped: a node id may hold halves of characters, which are no text in any encoding.
    text = json.dumps(document, indent=1, allow_nan=False) + "\n"
    user_file.write(path, text.encode("ascii"))


def read(path: Path) -> dict[str, Any]:
    """Raises UnusableError."""
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise UnusableError(f"it can't be read ({error.strerror or error})") from None
    except (ValueError, RecursionError) as error:
        raise UnusableError(f"it is damaged ({error})") from None
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema != SCHEMA:
        raise UnusableError(f"its schema is {schema!r}, but only {SCHEMA!r} can be read")
    wrong = _mismatch(document, _SHAPE, "it")
    if wrong or not _is_time(document["started"]):
        raise UnusableError(wrong or f"started is {document['started']!r}, not a time with a time zone")
    return dict(document)


def counted(document: Mapping[str, Any]) -> Counter[str]:
    """How many tests of each kind; a reused one is of no other kind."""
    counts = Counter("reused" if test["reused"] else test["outcome"] for test in document["tests"])
    counts["deselected"] += len(document["deselected"])
    counts["error"] += len(document["errors"])
    return counts


def _mismatch(value: Any, kind: Any, where: str) -> str:
    """What is wrong with a value, or ""."""
    if isinstance(kind, tuple):
        return "" if value is None else _mismatch(value, kind[0], where)
    if isinstance(kind, list):
        if not isinstance(value, list):
            return f"{where} is not a list"
        found = (_mismatch(each, kind[0], f"{where}[{at}]") for at, each in enumerate(value))
        return next(filter(None, found), "")
    if isinstance(kind, dict):
        return _mismatch_of_object(value, kind, where)
    if kind is float:
        return "" if _is_number(value) else f"{where} is not a number"
    fits = isinstance(value, kind) and not (kind is int and isinstance(value, bool))
    return "" if fits else f"{where} is not of type {kind.__name__}"


def _mismatch_of_object(value: Any, kind: Mapping[str, Any], where: str) -> str:
    if not isinstance(value, dict):
        return f"{where} is not an object"
    for key, of in kind.items():
        name = key.removesuffix("?")
        if name not in value:
            if name == key:
                return f"{where} has no {name!r}"
            continue
        wrong = _mismatch(value[name], of, name if where == "it" else f"{where}.{name}")
        if wrong:
            return wrong
    return ""


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _is_number(value: Any) -> bool:
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
    )
