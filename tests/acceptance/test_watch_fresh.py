"""A watch that starts with fresh records: changes that it notices before anything ran, and tests that it skips."""

from __future__ import annotations

import shutil
import textwrap
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


def _started(top: Path) -> list[str]:
    """What a start of the watch says and runs."""
    with Watching(top) as watching:
        shown = watching.shown()
        watching.end()
    return [line for line in shown.lines if "affected" in line] + list(shown.ran)


_EDITED = {
    "used.py": "VALUE = 1\n",
    "data.txt": "1",
    "test_a.py": "import used\n\ndef test_a(): assert used.VALUE\n",
    "test_b.py": "from pathlib import Path\n\ndef test_b(): assert Path('data.txt').read_text()\n",
    "test_c.py": "def test_c(): pass\n",
}


@pytest.mark.slow
def test_what_was_edited_and_ran_does_not_run_at_the_next_start(tmp_path: Path) -> None:
    """Each edit is younger than 2 s when its rerun begins; the second of each keeps second and size."""
    with Watching(tmp_path, _EDITED) as watching:
        assert watching.shown().status == "PASS 3 passed"
        for number in (2, 3):
            watching.after({"used.py": f"VALUE = {number}\n"})
            watching.after({"data.txt": str(number)})
            watching.after({"test_c.py": f"def test_c(): assert {number}\n"})
        assert watching.end() == 0
    assert _started(tmp_path) == ["hotreload: 0 of 3 test files affected"]


def test_what_changed_while_it_ran_runs_at_the_next_start(tmp_path: Path) -> None:
    """The test itself changes what it imported and read, to the same size and time: nobody sees that it ran with it."""
    changes = """\
        import os, used
        from pathlib import Path

        def test_a():
            here = Path(__file__).parent
            assert used.VALUE == 1
            for name, text in {"used.py": "VALUE = 0\\n", "data.txt": "0"}.items():
                before = (here / name).stat()
                assert (here / name).read_text() != text
                (here / name).write_text(text)
                os.utime(here / name, ns=(before.st_atime_ns, before.st_mtime_ns))
        """
    files = {"used.py": "VALUE = 1\n", "data.txt": "1", "test_a.py": changes}
    with Watching(tmp_path, files, ["--watch-first=none"]) as watching:
        watching.shown()
        watching.after({"test_a.py": "EDITED = 1\n" + textwrap.dedent(changes)})
        watching.end()
    started = _started(tmp_path)
    assert started[0] == "hotreload: 1 of 1 test file affected"


_WRITING = """\
    import os
    from pathlib import Path

    def pytest_sessionfinish():
        with Path(os.environ["OUT"]).open("a") as file: file.write("ended")
    """


@pytest.mark.parametrize("start", ["with records", "anew"])
def test_what_a_plugin_writes_at_the_end_is_no_edit(tmp_path: Path, start: str) -> None:
    """Neither after a rerun in the rerun's own process, nor after a start at which nothing runs."""
    out = tmp_path / "out/told.txt"
    out.parent.mkdir()
    files = {**_EDITED, "conftest.py": _WRITING}
    if start == "with records":
        with Watching(tmp_path, files, (), {"OUT": str(out)}) as watching:
            assert watching.shown().status == "PASS 3 passed"
            for name, text in _EDITED.items():  # what was edited and ran is known
                watching.after({name: text + "\n"})
            assert watching.end() == 0
        files = {}
    with Watching(tmp_path, files, (), {"OUT": str(out)}) as watching:
        watching.shown()
        for number in (2, 3, 4):
            shown = watching.after({"test_c.py": f"def test_c(): assert {number}\n"})
            assert (shown.rerun, shown.files) == ("RERUN test_c.py → 1 of 3 test files", ["test_c.py"])
        assert watching.end() == 0
    assert out.read_text().count("ended") >= 4


@pytest.mark.slow
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


_LOOKING = {
    "conftest.py": """\
        import importlib.util, sys, os
        sys.path.insert(0, os.path.join(os.path.dirname(__file__), "more"))
        FOUND = importlib.util.find_spec("absent") is not None
        """,
    "more/there.py": "",
    "test_at_import.py": "import conftest\ndef test_at_import(): assert not conftest.FOUND\n",
    "test_module.py": """\
        import importlib.util

        def test_module(): assert importlib.util.find_spec("absent") is None
        """,
    "test_listed.py": "import os\ndef test_listed(): assert 'new' not in os.listdir('.')\n",
    "test_missing.py": "import os, pytest\ndef test_missing():\n    with pytest.raises(OSError): os.listdir('new')\n",
    "test_deep.py": "import os, pytest\ndef test_deep():\n    with pytest.raises(OSError): os.listdir('new/a/b')\n",
    "test_other.py": "import os, pytest\ndef test_other():\n    with pytest.raises(OSError): open('new/a/b/x')\n",
}


@pytest.mark.parametrize(
    ("comes", "failed"),
    [
        ("more/absent/part.py", {"test_at_import.py", "test_module.py"}),
        ("new/a/b/c.txt", {"test_listed.py", "test_missing.py", "test_deep.py"}),
    ],
)
def test_a_folder_comes_and_goes_with_what_is_in_it(tmp_path: Path, comes: str, failed: set[str]) -> None:
    """A look-up may have been for a folder, at any depth above the file that is told: in a test, or in a conftest."""
    with Watching(tmp_path, _LOOKING) as watching:
        assert watching.shown().status == "PASS 6 passed"
        shown = watching.after({comes: ""})
        assert {
            nodeid.partition("::")[0] for nodeid, outcome in shown.ran.items() if outcome == "failed"
        } == failed
        shutil.rmtree(watching.path("more/absent" if comes.startswith("more") else "new"))
        shown = watching.shown()
        assert set(shown.files) >= failed
        assert set(shown.ran.values()) == {"passed"}
        assert watching.end() == 0


def test_a_link_that_leads_elsewhere_at_once(tmp_path: Path) -> None:
    """The record of the run is written after the edit, and the files that the link then leads to are old."""
    data = tmp_path / "project/data"
    (data / "old").mkdir(parents=True)
    (data / "new").mkdir()
    (data / "old/one.txt").write_text("")
    (data / "link").symlink_to("old")
    files = {
        "test_target.py": "import os\ndef test_target(): assert os.readlink('data/link') == 'old'\n",
        "test_names.py": "import os\ndef test_names(): assert os.listdir('data/link') == ['one.txt']\n",
        "test_read.py": "def test_read(): assert open('data/link/one.txt').read() == ''\n",
        "test_other.py": "def test_other(): pass\n",
    }
    with Watching(tmp_path, files) as watching:
        assert watching.shown().status == "PASS 4 passed"
        (data / "link").unlink()
        (data / "link").symlink_to("new")
        assert watching.shown().ran == {
            "test_names.py::test_names": "failed",
            "test_read.py::test_read": "failed",
            "test_target.py::test_target": "failed",
        }
        assert watching.end() == 1


@pytest.mark.parametrize("content", ["other", "same"])
@pytest.mark.parametrize("reader", ["conftest.py", "test_a.py"])
def test_a_link_to_another_file(tmp_path: Path, reader: str, content: str) -> None:
    """Only where it leads is asked for: by a test, or by a conftest that a fork point holds."""
    data = tmp_path / "project/data"
    data.mkdir(parents=True)
    (data / "old.txt").write_text("")
    (data / "new.txt").write_text("" if content == "same" else "other")
    (data / "link").symlink_to("old.txt")
    reads = "os.readlink(os.path.join(os.path.dirname(__file__), 'data/link'))"
    files = {
        "conftest.py": "import os\n" + (f"VALUE = {reads}\n" if reader == "conftest.py" else ""),
        "test_a.py": "import conftest, os\ndef test_a(): assert {} == 'old.txt'\n".format(
            "conftest.VALUE" if reader == "conftest.py" else reads
        ),
    }
    with Watching(tmp_path, files) as watching:
        assert watching.shown().status == "PASS 1 passed"
        (data / "link").unlink()
        (data / "link").symlink_to("new.txt")
        assert watching.shown().ran == {"test_a.py::test_a": "failed"}
        assert watching.end() == 1
