"""The files of the report options: paths, permissions and replacement."""

from __future__ import annotations

from pathlib import Path

import pytest

from .reporting import BOTH, Told, told

# ----------------------------------------------------------------------------------- the files


def test_each_option_turns_hotreload_on(project):
    project.write({"test_a.py": "def test_a(): pass\n"})
    plain = project.run(BOTH[0], slots=None)
    assert any("1 file in 1 child" in line for line in plain.notices)
    assert (plain.root / "run.html").exists()
    assert not (plain.root / "run.json").exists()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (
            "--hotreload-report=test_a.py/run.html",
            "--hotreload-report: the file <root>/test_a.py can't hold new files; hint: name a file in another folder",
        ),
        (
            "--hotreload-trace=.",
            "--hotreload-trace is '.', which is not a file; hint: for example --hotreload-trace=run.json",
        ),
        (
            "--hotreload-report=",
            "--hotreload-report is '', which is not a file; hint: for example --hotreload-report=run.html",
        ),
    ],
)
def test_a_path_that_can_not_be_is_a_usage_error(project, option, message):
    project.write({"test_a.py": "def test_a(): pass\n"})
    ours = project.run(option, slots=1)
    assert ours.status == 4
    assert [line for line in ours.errors if line] == [f"ERROR: hotreload: {message}"]
    assert ours.outcomes == {}


def test_missing_folders_are_created(project):
    project.write({"test_a.py": "def test_a(): pass\n"})
    ours = project.run("--hotreload-report=no/such/run.html", "--hotreload-trace=other/run.json", slots=1)
    assert ours.status == 0
    assert (ours.root / "no/such/run.html").exists()
    assert (ours.root / "other/run.json").exists()


def test_a_path_that_turns_out_not_to_be_writable_is_a_line(project):
    project.write(
        {
            "test_a.py": "import os\nfrom pathlib import Path\n\n"
            "def test_a(): Path('out').rmdir(); Path('out').touch()\n"
        }
    )
    project.each(lambda root: (root / "out").mkdir())
    ours = project.run("--hotreload-report=out/run.html", slots=1)
    assert ours.status == 0
    assert "hotreload: the report can't be written to <root>/out/run.html: Not a directory" in ours.notices


def test_what_is_no_file_is_written_to_and_a_link_is_followed(project):
    project.write({"test_a.py": "def test_a(): pass\n"})
    link = project.root("forks") / "run.html"
    link.symlink_to("real.html")
    ours = project.run("--hotreload-report=run.html", "--hotreload-trace=/dev/null", slots=1)
    assert ours.status == 0
    assert Path("/dev/null").is_char_device()
    assert link.is_symlink()
    assert "test_a.py::test_a" in (link.parent / "real.html").read_text(encoding="utf-8")


def test_quiet_says_nothing_and_writes(project):
    project.write({"test_a.py": "def test_a(): pass\n"})
    _, ours = project.same("-q", slots=1, extra=BOTH)
    assert ours.notices == []
    assert Told(ours.root).tests == {"test_a.py::test_a": "passed"}


def test_the_last_report_is_replaced_as_a_whole(project):
    project.write({"test_a.py": "def test_a(): pass\n", "run.html": "old"})
    told(project.run(*BOTH, slots=1))


def test_failing_imports_show_what_they_show_in_plain_pytest(project):
    """The measuring of imports leaves no frame in a traceback, not even below a module that pytest rewrites."""
    project.write(
        {
            "conftest.py": "",
            "test_helper.py": "raise RuntimeError('no')\n",
            "test_uses.py": "import test_helper\n",
        }
    )
    project.same("--tb=long", slots=1, extra=BOTH)
    project.same("--tb=native", "-vv", slots=1, extra=BOTH)


def test_a_watch_leaves_both_out_with_one_line(project):
    project.write({"test_a.py": "def test_a(): pass\n"})
    ours = project.run(*BOTH, "--watch", slots=1)
    said = [line for line in ours.notices if "does not write reports" in line]
    assert said == [
        "hotreload: a watch does not write reports: --hotreload-report and --hotreload-trace are ignored"
    ]
    assert "1 passed" in ours.output
    assert not list(ours.root.glob("*run.*"))
