"""State that a file's tests leave behind is invisible to the next file; state that its import left is visible."""

from __future__ import annotations

import pytest

PASSED = [("setup", "passed"), ("call", "passed"), ("teardown", "passed")]


def test_nothing_leaks_from_file_to_file(project, slots):
    project.write(
        {
            "helper.py": "values = []\n",
            "test_a.py": """\
            import os, sys, helper, builtins, random, logging, signal, time

            def test_spoils(tmp_path):
                os.environ["LEAKED"] = "1"
                os.environ.pop("HOME", None)
                os.chdir(tmp_path)
                os.umask(0o777)
                sys.path.insert(0, str(tmp_path))
                sys.modules["leaked"] = helper
                sys.modules.pop("json", None)
                sys.setrecursionlimit(5000)
                helper.values.append(1)
                builtins.leaked = True
                logging.getLogger().setLevel(1)
                signal.signal(signal.SIGUSR1, signal.SIG_IGN)
                time.time = lambda: 0
                os.close(0)
            """,
            "test_b.py": """\
            import os, sys, helper, builtins, logging, signal, time

            def test_clean(request, tmp_path):
                assert "LEAKED" not in os.environ and "HOME" in os.environ
                assert os.getcwd() == str(request.config.rootpath)
                assert "leaked" not in sys.modules and "json" in sys.modules
                assert str(tmp_path) not in sys.path
                assert helper.values == []
                assert not hasattr(builtins, "leaked")
                assert sys.getrecursionlimit() != 5000
                assert logging.getLogger().level != 1
                assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL
                assert time.time() > 0
                os.fstat(0)
            """,
        }
    )
    ours = project.run("-v", slots=slots)
    assert ours.outcomes == {"test_a.py::test_spoils": PASSED, "test_b.py::test_clean": PASSED}
    plain = project.run(slots=None)
    assert plain.outcomes["test_b.py::test_clean"][1] == ("call", "failed")


def test_company_of_other_files(project, slots):
    """All selected files are imported before the first test, as in plain pytest."""
    project.write(
        {
            "registry.py": "known = []\n",
            "test_a.py": """\
            import sys, registry

            def test_later_files_are_imported():
                assert registry.known == ["c"]
                assert "test_c" in sys.modules
                assert "colorsys" in sys.modules
            """,
            "test_c.py": "import registry, colorsys\nregistry.known.append('c')\ndef test_c(): pass\n",
        }
    )
    _, ours = project.same(slots=slots)
    assert ours.status == 0


ORDINARY = {
    "conftest.py": """\
        import os
        import pytest

        def note(text):
            with open(os.path.join(os.path.dirname(__file__), "calls.txt"), "a") as file:
                file.write(text + "\\n")

        @pytest.fixture(scope="session")
        def base():
            note("session up")
            yield "base"
            note("session down")
        """,
    **{
        f"test_{n}.py": f"""\
        import pytest

        @pytest.fixture(scope="module")
        def wide(base):
            return base + "{n}"

        def test_one(wide): assert wide == "base{n}"
        def test_two(wide): assert wide == "wrong"
        @pytest.mark.parametrize("x", range(3))
        def test_x(x, wide): assert x < 2
        """
        for n in "abcd"
    },
}


@pytest.mark.parametrize(("isolate", "times"), [("file", 4), ("test", 20), ("worker", None)])
def test_each_isolation_has_the_same_outcomes(project, slots, isolate, times):
    project.write(ORDINARY)
    _, ours = project.same("-v", slots=slots, extra=[f"--hotreload-isolate={isolate}"])
    assert sum(each[1] == ("call", "failed") for each in ours.outcomes.values()) == 8
    ups = ours.read("calls.txt").count("session up")
    assert ups == ours.read("calls.txt").count("session down")
    assert 1 <= ups <= slots if times is None else ups == times


TEMPORARY = {
    "conftest.py": "",
    **{
        f"test_{n}.py": f"""\
        import pytest

        def test_own(tmp_path, tmp_path_factory):
            (tmp_path / "file").write_text("{n}")
            made = tmp_path_factory.mktemp("same name")
            assert not list(made.iterdir())
            (made / "own").write_text("{n}")
            shared = tmp_path_factory.getbasetemp().parent / "shared by all"
            with open(shared, "a") as file:
                file.write("{n}\\n")

        def test_fails(tmp_path, tmpdir):
            (tmp_path / "kept").write_text("x")
            assert str(tmp_path) == str(tmpdir)
            assert 0, "failing test keeps its folder"
        """
        for n in "abc"
    },
}


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--basetemp=base/temp"],
        ["-o", "tmp_path_retention_policy=none"],
        ["-o", "tmp_path_retention_policy=failed"],
    ],
)
def test_temporary_folders(project, slots, options):
    if "--basetemp=base/temp" in options:
        project.each(lambda root: (root / "base").mkdir())
    project.write(TEMPORARY)
    plain, ours = project.run(*options, slots=None), project.run(*options, slots=slots)
    assert ours.outcomes == plain.outcomes
    assert ours.status == plain.status == 1
    if "tmp_path_retention_policy=none" in options and slots > 1:
        return  # a child's base lies in the run's own folder, which is gone
    top = ours.root.parent / "tmp" if "--basetemp=base/temp" not in options else ours.root / "base"
    shared = [path.read_text() for path in top.rglob("shared by all")]
    assert sorted("".join(shared).split()) == ["a", "b", "c"]
    assert len(shared) == 1
    kept = sorted(path.name for path in top.rglob("kept") if "current" not in str(path))
    theirs = plain.root.parent / "tmp" if "--basetemp=base/temp" not in options else plain.root / "base"
    assert kept == sorted(path.name for path in theirs.rglob("kept") if "current" not in str(path))


def test_changed_folder_and_relative_paths(project, slots):
    project.write(
        {
            f"test_{n}.py": """\
            import os

            def test_moves(monkeypatch, tmp_path):
                monkeypatch.chdir(tmp_path)
                assert os.getcwd() == str(tmp_path)
                assert 0

            def test_back(request, pytestconfig):
                assert os.getcwd() == str(pytestconfig.rootpath)
                # A name for each file: with two slots both are here at the same time.
                os.mkdir("made_" + __name__)
                os.chdir("made_" + __name__)
                os.rmdir("../made_" + __name__)

            def test_nowhere():
                pass
            """
            for n in "ab"
        }
    )
    plain, ours = project.both("--tb=short", slots=slots)
    assert ours.outcomes["test_a.py::test_back"] == PASSED
    assert ours.status == plain.status


def test_objects_made_before_the_fork_are_seen(project, slots):
    project.write(
        {
            "test_gc.py": """\
            import gc

            class Marker:
                pass

            marker = Marker()
            holder = [marker]

            def test_objects():
                assert any(each is marker for each in gc.get_objects())

            def test_referrers():
                assert any(each is holder for each in gc.get_referrers(marker))

            def test_counts():
                assert gc.isenabled() and gc.collect() >= 0
            """
        }
    )
    _, ours = project.same(slots=slots)
    assert ours.status == 0


@pytest.mark.parametrize("seeded", [False, True])
def test_random_numbers(project, slots, seeded):
    project.write(
        {
            "conftest.py": "import random\nrandom.seed(7)\n" if seeded else "",
            **{
                f"test_{n}.py": "import random\ndef test_r():\n    print('value', random.random())\n"
                for n in "abc"
            },
        }
    )

    def values():
        lines = project.run("-rP", slots=slots).lines
        return [line.split()[1] for line in lines if line.startswith("value ")]

    first, second = values(), values()
    assert len(set(first)) == 3
    assert (first == second) is seeded
