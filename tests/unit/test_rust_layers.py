"""The Rust files import in one direction: no circles, no import of a higher folder, few files that use Python."""

from __future__ import annotations

import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[2] / "rust" / "src"
#: From the lowest layer to the highest. A folder imports itself and those before it; ``lib.rs`` only declares.
LAYERS = (
    "error.rs",
    "process",
    "rewind",
    "filesystem",
    "imports",
    "watch",
    "records",
    "functions",
    "freshness",
    "storage",
    "audit",
    "python",
)
#: Files outside ``python`` that use pyo3; ``python/mod.rs`` has the reasons.
WITH_PYO3 = {
    "audit/arguments.rs",
    "audit/events.rs",
    "audit/frames.rs",
    "audit/function_calls.rs",
    "audit/globs.rs",
    "audit/hook.rs",
    "audit/environment_reads.rs",
    "audit/interpose.rs",
    "audit/monitoring.rs",
    "audit/opened.rs",
    "audit/recording.rs",
    "audit/started.rs",
}
COMMENT = re.compile(r"//[^\n]*")
PATH = re.compile(r"\bcrate::(\w+)(?:::(\w+))?")


def code_of(file: Path) -> str:
    return COMMENT.sub("", file.read_text(encoding="utf-8"))


def files() -> list[Path]:
    return sorted(path for path in SOURCES.rglob("*.rs") if path.name != "mod.rs" and path.name != "lib.rs")


def imported_by(file: Path) -> set[str]:
    """The files that a file names by `crate::` paths, relative to the sources."""
    found = set()
    for folder, module in PATH.findall(code_of(file)):
        candidates = (f"{folder}/{module}.rs", f"{folder}.rs")
        found.update([name for name in candidates if (SOURCES / name).is_file()][:1])
    return found - {name_of(file)}


def name_of(file: Path) -> str:
    return file.relative_to(SOURCES).as_posix()


def layer_of(name: str) -> int:
    return LAYERS.index(name.split("/", maxsplit=1)[0])


def test_layers_are_the_folders() -> None:
    assert set(LAYERS) == {path.name for path in SOURCES.iterdir() if path.name != "lib.rs"}


def test_files_name_others_by_their_whole_path() -> None:
    """Else the two tests below would miss what a file imports."""
    for file in files():
        code = code_of(file)
        # A file's own tests may import what the file has.
        assert "super::" not in re.sub(r"\bmod tests \{.*?\buse super::\*;", "", code, flags=re.DOTALL), file
        assert "use self::" not in code, file
        for folder, module in PATH.findall(code):
            is_file = (SOURCES / folder / f"{module}.rs").is_file() or (SOURCES / f"{folder}.rs").is_file()
            assert is_file, (file, folder, module)


def test_no_circles_among_files() -> None:
    graph = {name_of(file): imported_by(file) for file in files()}
    assert sum(map(len, graph.values())) > len(graph)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_no_folder_imports_one_above_it() -> None:
    imports = [(name_of(file), name) for file in files() for name in imported_by(file)]
    assert [(one, other) for one, other in imports if layer_of(other) > layer_of(one)] == []


def test_pyo3_is_used_where_it_must_be() -> None:
    users = {name_of(file) for file in SOURCES.rglob("*.rs") if re.search(r"\bpyo3\b", code_of(file))}
    assert {name for name in users if not name.startswith("python/")} == WITH_PYO3
    reasons = (SOURCES / "python" / "mod.rs").read_text(encoding="utf-8")
    assert {f"audit/{name}" for name in re.findall(r"`(\w+\.rs)`", reasons)} == WITH_PYO3
