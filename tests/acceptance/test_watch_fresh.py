"""A watch that starts with records that hold: what it notices before it ran anything, and what it need not run."""

from __future__ import annotations

from pathlib import Path

import pytest

from .test_watch_first import settle
from .watching import Watching

_OUTSIDE = {
    "test_data.py": """\
        from pathlib import Path

        def test_data():
            assert Path("{outside}/data.txt").read_text() == "one"
        """,
    "test_missing.py": """\
        from pathlib import Path

        def test_missing():
            try:
                found = open("{outside}/missing.txt").read()
            except FileNotFoundError:
                found = ""
            assert found == ""
        """,
    "test_listed.py": """\
        import os

        def test_listed():
            assert os.listdir("{outside}/listed") == ["a.txt"]
        """,
    "test_module.py": """\
        import beside

        def test_module():
            assert beside.VALUE == 1
        """,
    "test_optional.py": """\
        try:
            import optional
        except ImportError:
            optional = None

        def test_optional():
            assert optional is None
        """,
    "test_other.py": "def test_other(): pass\n",
}
_EDITS = {
    "test_data.py": ("data.txt", "two"),
    "test_missing.py": ("missing.txt", "here"),
    "test_listed.py": ("listed/b.txt", ""),
    "test_module.py": ("lib/beside.py", "VALUE = 2\n"),
    "test_optional.py": ("lib/optional.py", ""),
}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose records hold; what it uses lies outside of its root, in no temporary folder of the system."""
    top = tmp_path_factory.mktemp("recorded")
    outside = top / "elsewhere"
    for name, text in {"data.txt": "one", "listed/a.txt": "", "lib/beside.py": "VALUE = 1\n"}.items():
        (outside / name).parent.mkdir(parents=True, exist_ok=True)
        (outside / name).write_text(text)
    files = {name: text.replace("{outside}", str(outside)) for name, text in _OUTSIDE.items()}
    with _watching(top, files, ["--co"], ["--hotreload"]) as collecting:
        assert collecting.ended() == 0
    settle(top)
    with _watching(top) as first:
        assert first.shown().status == "PASS 6 passed"
        assert first.end() == 0
    return top


def _watching(
    top: Path,
    files: dict[str, str] | None = None,
    arguments: list[str] | None = None,
    watch: list[str] | None = None,
) -> Watching:
    (top / "tmp").mkdir(exist_ok=True)
    environ = {
        "TMPDIR": str(top / "tmp"),
        "PYTHONPATH": str(top / "elsewhere/lib"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    more = {"watch": watch} if watch else {}
    return Watching(top, files or {}, arguments or (), environ, **more)  # type: ignore[arg-type]


def test_what_lies_outside_of_the_root_is_watched_before_anything_ran(recorded: Path) -> None:
    with _watching(recorded) as watching:
        shown = watching.shown()
        assert "hotreload: 0 of 6 test files affected" in shown.lines
        for file, (name, text) in _EDITS.items():
            path = recorded / "elsewhere" / name
            before = path.read_text() if path.exists() else None
            path.write_text(text)
            test = file.removesuffix(".py")
            assert watching.shown().ran == {f"{file}::{test}": "failed"}
            if before is None:
                path.unlink()
            else:
                path.write_text(before)
            assert watching.shown().ran == {f"{file}::{test}": "passed"}
        assert watching.end() == 0
