"""Reads of imports by the native reader, compared with the fallback parser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytest_hotreload import _native
from pytest_hotreload.imports import fallback_parser


def project(root: Path, **options: Any) -> _native.Project:
    given: dict[str, Any] = {"sys_path": [str(root)], "stdlib": (), "site_dirs": ()}
    return _native.Project(str(root), **{**given, **options})


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def native_reading(folder: Path, sources: dict[str, bytes]) -> tuple[dict[str, Any], set[str]]:
    """The rows that the Rust reader keeps of each source in its cache, and the names of the rejected sources."""
    import json

    for name, source in sources.items():
        (folder / name).write_bytes(source)
    cache = folder / "cache.json"
    cache.unlink(missing_ok=True)
    scanned = project(folder, cache_file=str(cache))
    rejected = {Path(path).name for path in scanned.scan([str(folder / name) for name in sources])}
    scanned.save()
    rows = {
        digest: (imports, effects) for digest, imports, effects in json.loads(cache.read_bytes())["files"]
    }
    by_content = {}
    for name in sources:
        if name not in rejected:
            probe = project(folder, cache_file=str(cache))
            probe.scan([str(folder / name)])
            by_content[name] = scanned.effects(str(folder / name))
    return {"rows": rows, "effects": by_content}, rejected


def as_rows(parsed: fallback_parser.Parsed) -> tuple[list[Any], list[Any]]:
    imports = [
        [level, module or "", name, context, line] for level, module, name, context, line in parsed.imports
    ]
    return imports, [list(effect) for effect in parsed.effects]


def assert_agree(folder: Path, sources: dict[str, bytes], *, may_reject: int = 0) -> None:
    readings, rejected = native_reading(folder, sources)
    assert len(rejected) <= may_reject, rejected
    known = list(readings["rows"].values())
    for name in sources.keys() - rejected:
        imports, effects = as_rows(fallback_parser.imports_of(str(folder / name)))
        assert [list(effect) for effect in readings["effects"][name]] == effects, name
        assert [imports, effects] in [list(row) for row in known], name
