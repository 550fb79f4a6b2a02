"""Selection and order of tests, and the data in pytest's cache."""

from __future__ import annotations

import re

import pytest

FILES = {
    "pytest.ini": "[pytest]\nmarkers =\n    slow: takes long\n    fast\n",
    "conftest.py": "",
    "test_a.py": """\
        import pytest

        @pytest.mark.slow
        def test_slow(): pass

        @pytest.mark.fast
        def test_fast(): assert 0

        @pytest.mark.parametrize("x", [1, 2, 3])
        def test_x(x): assert x != 2

        class TestClass:
            def test_in(self): pass
            def test_out(self): assert 0
        """,
    "test_b.py": "import pytest\n@pytest.mark.slow\ndef test_b(): pass\ndef test_slow_b(): assert 0\n",
    "sub/test_c.py": "def test_c(): pass\ndef test_d(): pass\n",
}

ALONE = [
    "-k slow",
    "-k not(slow)",
    "-m slow",
    "--deselect=test_a.py::test_fast --deselect=test_b.py",
    "test_a.py::TestClass",
    "test_a.py::test_x[3] test_b.py",
    "sub",
    "--ignore=sub --ignore-glob=*_b.py",
    "--co",
    "--collect-only -k slow",
    "--fixtures-per-test",
    "--markers",
    "--version",
    "--help",
    "--cache-show",
    "--override-ini=testpaths=sub",
    "--setup-plan test_b.py",
]


@pytest.mark.parametrize("options", ALONE)
def test_same_selection(project, options):
    project.write(FILES)
    plain, ours = project.both(*options.split(), slots=2)
    assert ours.outcomes == plain.outcomes
    assert ours.lines == plain.lines
    assert ours.events == plain.events
    assert ours.status == plain.status


def test_fixtures_are_listed(project):
    """Behind plain pytest's own come the two that stand in for xdist's."""
    project.write(FILES)
    plain, ours = project.both("--fixtures")
    listed = len(plain.lines) - 2
    assert ours.lines[:listed] == plain.lines[:listed]
    added = [line.partition(" ")[0] for line in ours.lines[listed:] if "[session scope]" in line]
    assert added == ["worker_id", "testrun_uid"]
    assert ours.status == plain.status == 0


_DATE = re.compile(r'"last_cache_date_str": "[^"]*"')


def cache(result):
    """What is in the cache folder, without our own durations."""
    root = result.root / ".pytest_cache"
    return {
        str(path.relative_to(root)): _DATE.sub("", path.read_text())
        for path in sorted(root.rglob("*"))
        if path.is_file() and "hotreload" not in str(path.relative_to(root))
    }


def fix(name, before, after):
    def change(root):
        path = root / name
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after))

    return change


@pytest.mark.parametrize(
    "option", ["--lf", "--ff --nf -v", "--sw", "--sw --sw-skip", "--lf -x", "--lf -k slow"]
)
def test_rounds_with_a_cache(project, option):
    slots = 2
    project.write(FILES)
    first = option.split() if "--sw" in option else []
    plain, ours = project.same(*first, slots=slots)
    assert cache(ours) == cache(plain)
    assert "v/cache/nodeids" in cache(ours)
    project.each(fix("test_a.py", "assert 0", "assert 1"))
    project.write({"test_new.py": "def test_new(): assert 0\n"})
    plain, ours = project.same(*option.split(), slots=slots)
    assert cache(ours) == cache(plain)
    plain, ours = project.same(*option.split(), slots=slots)
    assert cache(ours) == cache(plain)


def test_cache_clear_and_user_values(project, slots):
    project.write(
        {
            "test_cache.py": """\
            def test_sets(cache):
                cache.set("mine/value", {"a": [1, 2]})
                assert cache.get("mine/value", None) == {"a": [1, 2]}
                (cache.mkdir("made") / "file").write_text("x")
            """,
            "test_reads.py": "def test_reads(cache):\n    assert cache.get('mine/other', 5) == 5\n",
        }
    )
    plain, ours = project.same(slots=slots)
    assert cache(ours) == cache(plain)
    assert cache(ours)["v/mine/value"].split() == ["{", '"a":', "[", "1,", "2", "]", "}"]
    plain, ours = project.same("--cache-clear", "--co", slots=slots)
    assert cache(ours) == cache(plain)


def test_no_cache_provider(project, slots):
    project.write(FILES)
    _, ours = project.same("-p", "no:cacheprovider", slots=slots)
    assert not (ours.root / ".pytest_cache").exists()


def test_configuration_in_other_places(project):
    project.write({name: text for name, text in FILES.items() if name != "pytest.ini"})
    project.write(
        {
            "pyproject.toml": """\
            [tool.pytest.ini_options]
            addopts = "-v -k 'not slow'"
            testpaths = ["sub", "test_a.py"]
            python_functions = ["test_*", "check_*"]
            markers = ["slow", "fast"]
            hotreload_shared_fixtures = []
            """,
            "sub/test_e.py": "def check_it(): pass\n",
        }
    )
    _, ours = project.same()
    assert "sub/test_e.py::check_it" in ours.outcomes
    project.same("..", "--rootdir=..", cwd="sub")


def test_run_from_a_subfolder(project, slots):
    project.write(FILES)
    _, ours = project.same("../test_a.py", "test_c.py", cwd="sub", slots=slots)
    assert ours.order[0] == "test_a.py::test_slow"
