"""As much of JSON Schema as ``docs/results.schema.json`` uses, without a package for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RESULTS = json.loads((Path(__file__).parents[2] / "docs" / "results.schema.json").read_text(encoding="utf-8"))

_TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "null": type(None),
}
_KNOWN = {
    *("type", "properties", "required", "additionalProperties", "items", "enum", "const", "anyOf", "minimum"),
    *("description", "title", "$schema", "$id"),
}


def faults(value: Any, schema: dict[str, Any] = RESULTS, where: str = "$") -> list[str]:
    """What of a value is not as the schema says."""
    assert schema.keys() <= _KNOWN, f"{where}: this checker does not know {schema.keys() - _KNOWN}"
    if "const" in schema and value != schema["const"]:
        return [f"{where}: {value!r} is not {schema['const']!r}"]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{where}: {value!r} is none of {schema['enum']}"]
    if "anyOf" in schema:
        tried = [faults(value, each, where) for each in schema["anyOf"]]
        return [] if [] in tried else [fault for found in tried for fault in found]
    if "type" in schema:
        kinds = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
        if isinstance(value, bool) or not any(isinstance(value, _TYPES[kind]) for kind in kinds):
            return [f"{where}: {value!r} is no {' or '.join(kinds)}"]
    if isinstance(value, int | float) and value < schema.get("minimum", value):
        return [f"{where}: {value} is too small"]
    if isinstance(value, list):
        return [f for at, each in enumerate(value) for f in faults(each, schema["items"], f"{where}[{at}]")]
    return _faults_of_object(value, schema, where) if isinstance(value, dict) else []


def _faults_of_object(value: dict[str, Any], schema: dict[str, Any], where: str) -> list[str]:
    known = schema["properties"]
    found = [f"{where}: no {name}" for name in schema["required"] if name not in value]
    found += [f"{where}: {name} is not known" for name in value if name not in known]
    for name in value.keys() & known.keys():
        found += faults(value[name], known[name], f"{where}.{name}")
    return found
