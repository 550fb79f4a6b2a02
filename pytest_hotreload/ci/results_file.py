"""The results file: writes, reads and checks the outcomes of a run's tests, for other programs.

``results.schema.json`` declares its structure, for this module and for others.
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

#: The number is increased when a key is removed or changes its meaning; additions leave it unchanged.
SCHEMA: Final = "hotreload-results/1"
#: The first key of the object, by which even a truncated file is recognised.
_BEGIN: Final = re.compile(rb'\s*\{\s*"schema"\s*:\s*"hotreload-results/')

_DECLARED: Final = Path(__file__).with_name("results.schema.json")
#: A type's name in JSON Schema -> the Python type, and the name in error messages.
_TYPES: Final[dict[str, tuple[type | tuple[type, ...], str]]] = {
    "object": (dict, "object"),
    "array": (list, "list"),
    "string": (str, "str"),
    "integer": (int, "int"),
    "number": ((int, float), "number"),
    "null": (type(None), "null"),
}


class UnusableError(Exception):
    """The file cannot be used as a results file; the text states the reason."""


def is_one(head: bytes) -> bool:
    """Whether a file with this beginning was written as a results file, of any version."""
    return _BEGIN.match(head) is not None


def prepare(path: Path) -> None:
    """Remove an earlier results file before the run, and check that a new one can be written. Raises OSError.

    The folder is created only after the run. A folder that appears at the root during the run could be
    imported, and then no record of a file that could import it would be trusted.
    """
    user_file.remove(path)
    if path.exists():  # a pipe, a device or the standard output stays
        return
    above = next(folder for folder in path.parents if folder.exists())
    if not above.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(above))
    if not os.access(above, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(above))


def write(path: Path, document: Mapping[str, Any]) -> None:
    """Write the document completely or not at all. Raises OSError."""
    # ASCII: a node id may contain lone surrogates, which no encoding can represent.
    text = json.dumps(document, indent=1, allow_nan=False) + "\n"
    user_file.write(path, text.encode("ascii"))


def read(path: Path) -> dict[str, Any]:
    """Read and check a results file. Raises UnusableError."""
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise UnusableError(f"it can't be read ({error.strerror or error})") from None
    except (ValueError, RecursionError) as error:
        raise UnusableError(f"it is damaged ({error})") from None
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema != SCHEMA:
        raise UnusableError(f"its schema is {schema!r}, but only {SCHEMA!r} can be read")
    wrong = mismatch(document, declared())
    if wrong or not _is_time(document["started"]):
        raise UnusableError(wrong or f"started is {document['started']!r}, not a time with a time zone")
    return dict(document)


def counted(document: Mapping[str, Any]) -> Counter[str]:
    """The number of tests of each kind. A reused test counts only as reused."""
    counts = Counter("reused" if test["reused"] else test["outcome"] for test in document["tests"])
    counts["deselected"] += len(document["deselected"])
    counts["error"] += len(document["errors"])
    return counts


def declared() -> dict[str, Any]:
    """The JSON Schema of a results file."""
    return dict(json.loads(_DECLARED.read_text(encoding="utf-8")))


def mismatch(value: Any, schema: Mapping[str, Any], where: str = "it", *, strict: bool = False) -> str:
    """The first difference between a value and a schema, or "".

    ``strict``: undeclared keys count as a difference. Supports the part of JSON Schema that
    ``results.schema.json`` uses.
    """
    if "anyOf" in schema:
        tried = [mismatch(value, each, where, strict=strict) for each in schema["anyOf"]]
        return "" if "" in tried else tried[-1]
    if "enum" in schema or "const" in schema:
        known = schema.get("enum", [schema.get("const")])
        return "" if value in known else f"{where} is {value!r}, none of {known}"
    names = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    if not any(_is(value, name) for name in names):
        return f"{where} is not of type {_TYPES[names[0]][1]}"
    if isinstance(value, int | float) and value < schema.get("minimum", value):
        return f"{where} is {value}, less than {schema['minimum']}"
    if isinstance(value, list):
        found = (
            mismatch(each, schema["items"], f"{where}[{at}]", strict=strict) for at, each in enumerate(value)
        )
        return next(filter(None, found), "")
    return _mismatch_of_object(value, schema, where, strict=strict) if isinstance(value, dict) else ""


def _mismatch_of_object(
    value: Mapping[str, Any], schema: Mapping[str, Any], where: str, *, strict: bool
) -> str:
    known = schema["properties"]
    missing = [name for name in schema["required"] if name not in value]
    if missing:
        return f"{where} has no {missing[0]!r}"
    if strict and value.keys() - known.keys():
        return f"{where} has {sorted(value.keys() - known.keys())}, which are not declared"
    parts = (
        mismatch(value[name], each, name if where == "it" else f"{where}.{name}", strict=strict)
        for name, each in known.items()
        if name in value
    )
    return next(filter(None, parts), "")


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _is(value: Any, name: str) -> bool:
    """Whether a value has a type. Booleans, infinity and NaN are not numbers."""
    if isinstance(value, bool) or (isinstance(value, float) and not math.isfinite(value)):
        return False
    return isinstance(value, _TYPES[name][0])
