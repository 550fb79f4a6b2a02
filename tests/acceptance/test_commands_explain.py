"""``pytest-hotreload explain``: why a test file would run, its dependencies, and its warm modules."""

from __future__ import annotations

import os
import time
from importlib.metadata import version
from pathlib import Path

import pytest

import pytest_hotreload

from .commands import projects, records, run, say
from .compare import Project
from .processes import with_token

SHOP = {
    "pytest.ini": "[pytest]\npythonpath = src\naddopts = -ra --strict-markers\n",
    "conftest.py": "import os\nprint('loud')\nos.write(1, b'louder\\n')\n",
    "src/pay/card.py": "RATE = 3\n",
    "src/pay/api.py": "from pay import card\n\ndef cost(euros): return euros * card.RATE\n",
    "src/plugin_x.py": "",
    "schema/one.sql": "",
    "data/rates.txt": "3",
    "tests/test_a.py": """
        import importlib
        import os
        import socket
        from pathlib import Path

        import pygments.styles.monokai
        import pygments.styles.vim
        import pytest
        from pay import api

        pytest.register_assert_rewrite("pygments.styles.xcode")
        import pygments.styles.xcode

        def test_cost():
            importlib.import_module("plugin_" + "x")
            assert api.cost(2) == 6
            assert Path("data/rates.txt").read_text() == "3"
            assert os.listdir("data") == ["rates.txt"]
            with pytest.raises(FileNotFoundError):
                open("data/more.txt")
            with pytest.raises(ImportError):
                importlib.import_module("plugin_" + "y")
            assert os.environ.get("SHOP") is None
            Path("out.txt").write_text("x")
            with socket.socket() as server:
                server.bind(("127.0.0.1", 0))

        @pytest.mark.hotreload(depends=["schema/*.sql"], serial="db")
        def test_other():
            pytest.skip()
        """,
    "tests/test_b.py": "import pygments.styles.monokai\ndef test_b(): pass\n",
    "tests/test_c.py": "def test_c(): pass\n",
}
PYGMENTS = f"pygments {version('pygments')}"
#: Of the modules of ``tests/test_a.py``; the others have one.
ALL_OF_PYGMENTS = f"{PYGMENTS} (pygments.styles.monokai, pygments.styles.vim, pygments.styles.xcode)"
ONE_OF_PYGMENTS = f"{PYGMENTS} (pygments.styles.monokai)"
PYTEST = f"pytest {version('pytest')}"
HOLDS = "  would not run: its record is fresh (1 test passed)"
REUSED = "  --reuse: would be reused"
OF_C = ["tests/test_c.py", HOLDS, REUSED, "  first-party: 2 files"]
WRITES = "  --reuse: would run: it writes out.txt, which other test files may need"
#: Of test_a.py, whatever the records are.
ALWAYS = (
    "pytest warm (pytest loads it), "
    "pygments.styles.xcode quarantined: registered for assertion rewriting (tests/test_a.py:12)"
)
BY_SOURCES = " (from the sources: there is no record)"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Project]:
    """One for each test that changes something."""
    names = ("whole", "changed", "new", "unsettled", "corrupt", "installed", "on", "slots", "failed")
    files = dict.fromkeys(names, SHOP)
    files["installed"] = {**SHOP, "pytest.ini": SHOP["pytest.ini"] + "filterwarnings = error\n"}
    files["failed"] = {**SHOP, "tests/test_d.py": "def test_d(): assert 0\n"}
    files["on"] = {**SHOP, "pytest.ini": SHOP["pytest.ini"] + "hotreload = true\n"}
    top = tmp_path_factory.mktemp("explain")
    install(top / "installed" / "forks" / "site")
    return projects(top, files)


def install(site: Path) -> None:
    """This package, as pytest sees an installed one."""
    info = site / "pytest_hotreload-0.dist-info"
    info.mkdir(parents=True)
    (site / "pytest_hotreload").symlink_to(Path(pytest_hotreload.__file__).parent)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pytest-hotreload\nVersion: 0\n")
    (info / "entry_points.txt").write_text("[pytest11]\nhotreload = pytest_hotreload.plugin\n")
    (info / "RECORD").write_text("pytest_hotreload/__init__.py,,\n")


@pytest.fixture(scope="module")
def whole(made: dict[str, Project]) -> Project:
    """Its records are written, and nothing changes afterwards."""
    run(made["whole"])
    return made["whole"]


def explained(project: Project, *arguments: str, **environ: str) -> list[str]:
    said = say(project, "pytest-hotreload", "explain", *arguments, **environ)
    assert (said.status, said.errors) == (0, [])
    return [line for line in map(_without_locale, said.lines) if line]


def _without_locale(line: str) -> str:
    """Without what gettext reads for the option parser, which some versions of pytest ask late."""
    label, colon, names = line.partition("  environment: ")
    left = [name for name in names.split(", ") if name not in ("LANG", "LANGUAGE", "LC_ALL", "LC_MESSAGES")]
    return label + colon + ", ".join(left) if left else ""


OF_A = [
    "  read: data/rates.txt",
    "  did not exist: data/more.txt",
    "  no such module: plugin_y",
    "  folders: data",
    "  environment: SHOP",
    "  declared: schema/*.sql",
    "  writes: out.txt",
    "  serial: db",
    f"  third-party: {ALL_OF_PYGMENTS}, {PYTEST}",
    (
        "  template: pygments.styles.monokai warm (2 test files reach it), "
        "pygments.styles.vim not warm (only this file reaches it), "
        "pytest warm (pytest loads it), "
        "pygments.styles.xcode quarantined: registered for assertion rewriting (tests/test_a.py:12)"
    ),
]


def test_a_record_that_holds(whole):
    assert explained(whole, "tests/test_a.py") == [
        "tests/test_a.py",
        "  would not run: its record is fresh (2 tests: 1 passed, 1 skipped)",
        WRITES,
        "  first-party: 5 files",
        *OF_A,
    ]


def test_verbose_names_the_chains_of_imports(whole):
    lines = explained(whole, "tests/test_a.py", "-v")
    # What ran depends on the version: test_records_functions.py.
    lines = [
        line
        for line in lines
        if not line.startswith(("  functions: ", "    src/pay/api.py: ", "    tests/test_a.py: "))
    ]
    assert lines == [
        "tests/test_a.py",
        "  would not run: its record is fresh (2 tests: 1 passed, 1 skipped)",
        WRITES,
        "  first-party: 5 files",
        "    conftest.py",
        "    src/pay/api.py ← tests/test_a.py",
        "    src/pay/card.py ← src/pay/api.py ← tests/test_a.py",
        "    src/plugin_x.py (no import statement leads to it)",
        "    tests/test_a.py",
        *OF_A,
    ]


@pytest.mark.parametrize("arguments", [["-q"], ["--affected"], ["-x", "--ff"], ["--tb=short"]])
def test_what_alters_no_outcome_alters_no_answer(whole, arguments):
    assert explained(whole, "tests/test_c.py", *arguments) == OF_C


def test_the_number_of_slots_alters_no_answer(made):
    pytest.importorskip("xdist")
    run(made["slots"], "-p", "xdist")
    assert explained(made["slots"], "tests/test_c.py", "-p", "xdist", "-n", "2") == OF_C


def test_several_files_a_node_id_and_another_folder(whole):
    of_b = [
        "tests/test_b.py",
        HOLDS,
        REUSED,
        "  first-party: 2 files",
        f"  third-party: {ONE_OF_PYGMENTS}",
        "  template: pygments.styles.monokai warm (2 test files reach it)",
    ]
    # What the test ran depends on the version: test_records_functions.py.
    ran = ("  tests/test_c.py::test_c", "    tests/test_c.py: test_c")
    lines = explained(whole, "tests/test_b.py", "tests/test_c.py::test_c")
    assert [line for line in lines if line not in ran] == [*of_b, *OF_C]
    said = say(whole, "pytest-hotreload", "explain", "test_c.py", cwd="tests")
    assert said.lines[0] == OF_C[0]
    assert said.lines[-1] == OF_C[-1]


def test_nothing_is_written_and_nothing_stays(whole):
    def content() -> dict[str, bytes]:
        files = sorted(records(whole).glob("tree/**/*.json"))
        return {file.name: file.read_bytes() for file in files}

    before = content()
    assert sorted(before) == ["test_a.py.json", "test_b.py.json", "test_c.py.json"]
    explained(whole, "tests", HOTRELOAD_ACCEPTANCE_TOKEN="explained")
    assert content() == before
    assert with_token("explained") == []


def test_another_epoch_is_named(whole):
    assert explained(whole, "tests/test_c.py", "--runxfail") == [
        "tests/test_c.py",
        "  would run: environment changed: option --runxfail added",
        "  first-party: 2 files",
    ]


@pytest.mark.parametrize(
    ("arguments", "environ"), [(["--no-cache"], {}), ([], {"PYTEST_HOTRELOAD_NO_CACHE": "1"})]
)
def test_without_records(whole, arguments, environ):
    assert explained(whole, "tests/test_b.py", *arguments, **environ) == [
        "tests/test_b.py",
        "  would run: there are no records (no cache)",
        "  first-party: 2 files" + BY_SOURCES,
        f"  third-party: {ONE_OF_PYGMENTS}",
        "  template: pygments.styles.monokai not warm (only this file reaches it)",
    ]


def test_a_failure(made):
    run(made["failed"], status=1)
    assert explained(made["failed"], "tests/test_d.py") == [
        "tests/test_d.py",
        "  would run: one of its tests failed",
        "  first-party: 2 files",
    ]


def test_a_change(made):
    project = made["changed"]
    root = project.root("forks")
    run(project)
    (root / "src/pay/card.py").write_text("RATE = 4\n")
    assert explained(project, "tests")[:4] == [
        "tests/test_a.py",
        "  would run: src/pay/card.py ← src/pay/api.py ← tests/test_a.py",
        "  first-party: 5 files",
        "  read: data/rates.txt",
    ]
    assert explained(project, "tests/test_c.py") == OF_C
    (root / "data/more.txt").write_text("")
    (root / "src/pay/card.py").write_text("RATE = 3\n")
    assert explained(project, "tests/test_a.py")[1] == "  would run: data/more.txt is new"


def test_no_record_yet(made):
    assert explained(made["new"], "tests/test_a.py", "-v") == [
        "tests/test_a.py",
        "  would run: no record yet",
        "  first-party: 4 files" + BY_SOURCES,
        "    conftest.py",
        "    src/pay/api.py ← tests/test_a.py",
        "    src/pay/card.py ← src/pay/api.py ← tests/test_a.py",
        "    tests/test_a.py",
        "  declared: schema/*.sql",
        "  serial: db",
        f"  third-party: {ALL_OF_PYGMENTS}, {PYTEST}",
        (
            "  template: pygments.styles.monokai not warm (only this file reaches it), "
            "pygments.styles.vim not warm (only this file reaches it), pytest warm (pytest loads it), "
            "pygments.styles.xcode quarantined: registered for assertion rewriting (tests/test_a.py:12)"
        ),
    ]


def test_a_file_that_was_edited_just_before_it_ran(made):
    project = made["unsettled"]
    edited = project.root("forks") / "tests/test_c.py"
    edited.write_text("def test_c(): assert 1\n")
    soon = time.time() + 60  # however long this machine takes to start
    os.utime(edited, (soon, soon))
    run(project)
    assert (
        explained(project, "tests/test_c.py")[1]
        == "  would run: tests/test_c.py changed while it ran or just before"
    )


def test_an_ini_that_turns_it_on(made):
    assert say(made["on"], "pytest").status == 0
    assert explained(made["on"], "tests/test_c.py") == OF_C


@pytest.mark.slow
def test_installed_where_every_warning_is_an_error(made):
    """pytest warns about plugins that were imported before it, as hotreload is. A warm server has imported it."""
    project = made["installed"]
    project.cold = True
    environ = {
        "PYTHONPATH": str(project.root("forks").parent / "site"),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "",
        "PYTEST_ADDOPTS": "-p no:randomly -p no:asyncio -p no:harvest",
    }
    assert say(project, "pytest", "--hotreload", **environ).status == 0
    # After that stands what other installed plugins read.
    assert explained(project, "tests/test_c.py", **environ)[:4] == OF_C


def test_a_record_that_can_not_be_read(made):
    project = made["corrupt"]
    run(project)
    record = records(project) / "tree/tests.d/test_b.py.json"
    record.write_bytes(b"x")
    said = say(project, "pytest-hotreload", "explain", "tests/test_b.py")
    assert said.lines[:2] == ["tests/test_b.py", "  would run: no record yet"]
    assert said.errors == [
        (
            "hotreload: record ignored: <root>/.pytest_cache/d/hotreload/records-5/tree/tests.d/test_b.py.json: "
            "corrupt: no header"
        )
    ]
    assert said.status == 0


def test_what_pytest_can_not_collect(made):
    """Its own words and status."""
    project = made["new"]
    said = say(project, "pytest-hotreload", "explain", "nowhere.py")
    assert said.errors == ["ERROR: file or directory not found: nowhere.py", ""]
    assert said.status == 4
    said = say(project, "pytest-hotreload", "explain", "src/pay/card.py")
    assert said.lines[-1].startswith("no tests collected in ")
    assert (said.status, said.errors) == (5, [])
    said = say(project, "pytest-hotreload", "explain", "tests/test_a.py", "--no-such-option")
    assert said.errors[1].endswith("error: unrecognized arguments: --no-such-option")
    assert said.status == 4
    project.write({"tests/broken/test_d.py": "1 / 0\n"})
    said = say(project, "pytest-hotreload", "explain", "tests/broken/test_d.py")
    assert "E   ZeroDivisionError: division by zero" in said.lines
    assert (said.status, said.errors) == (2, [])


@pytest.mark.parametrize("arguments", [[], ["-k", "x", "tests"]])
def test_usage(made, arguments):
    said = say(made["new"], "pytest-hotreload", "explain", *arguments)
    assert said.errors == [
        "usage: pytest-hotreload explain PATH [arguments of pytest]",
        "pytest-hotreload explain: error: PATH is missing; put it before the arguments of pytest",
    ]
    assert (said.status, said.lines) == (2, [])
