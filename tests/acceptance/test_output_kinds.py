"""Tests that are not functions in a module, and projects that are not laid out simply."""

from __future__ import annotations

import pytest

PASSED = [("setup", "passed"), ("call", "passed"), ("teardown", "passed")]
FAILED = [("setup", "passed"), ("call", "failed"), ("teardown", "passed")]

HAS_SUBTESTS = hasattr(pytest, "Subtests") or int(pytest.__version__.partition(".")[0]) >= 9


def test_doctests(project, slots):
    project.write(
        {
            "pkg/__init__.py": '"""\n>>> 1 + 1\n2\n"""\n',
            "pkg/module.py": '''\
            def double(n):
                """
                >>> double(2)
                4
                >>> print("shown")
                shown
                >>> double(3)
                7
                """
                return 2 * n

            def other():
                """
                >>> import pytest; pytest.skip("not here")
                """
            ''',
            "guide.txt": "Text\n\n>>> x = 1\n>>> x\n2\n",
            "test_guide.rst": "A guide\n\n>>> getfixture('tmp_path').is_dir()\nTrue\n>>> number\n7\n",
            "conftest.py": """\
            import pytest

            @pytest.fixture(autouse=True)
            def namespace(doctest_namespace):
                doctest_namespace["number"] = 7
            """,
            "test_plain.py": 'def test_plain():\n    """\n    >>> 0\n    0\n    """\n',
        }
    )
    _, ours = project.same("--doctest-modules", "--doctest-glob=*.rst", "--doctest-glob=*.txt", slots=slots)
    assert ours.outcomes == {
        "guide.txt::guide.txt": FAILED,
        "test_guide.rst::test_guide.rst": PASSED,
        "pkg/__init__.py::pkg": PASSED,
        "pkg/module.py::pkg.module.double": FAILED,
        "pkg/module.py::pkg.module.other": [("setup", "passed"), ("call", "skipped"), ("teardown", "passed")],
        "test_plain.py::test_plain.test_plain": PASSED,
        "test_plain.py::test_plain": PASSED,
    }
    project.same(
        "--doctest-modules", "--doctest-continue-on-failure", "-v", "--doctest-report=ndiff", slots=slots
    )


CUSTOM = """\
    import pytest

    def pytest_collect_file(file_path, parent):
        if file_path.suffix == ".check":
            return CheckFile.from_parent(parent, path=file_path)

    class CheckFile(pytest.File):
        def collect(self):
            for number, line in enumerate(self.path.read_text().splitlines()):
                yield Check.from_parent(self, name=f"line {number}: {line}", line=line)

    class Broken(Exception):
        pass

    class Check(pytest.Item):
        def __init__(self, *, line, **kwargs):
            super().__init__(**kwargs)
            self.line = line
            self.add_report_section("call", "custom", "a section of its own")

        def runtest(self):
            print("checking", self.line)
            if "bad" in self.line:
                raise Broken(self.line, lambda: "can't be pickled")

        def repr_failure(self, excinfo, style=None):
            return f"the check failed: {excinfo.value.args[0]}"

        def reportinfo(self):
            return self.path, None, f"check {self.name}"
    """


def test_items_of_a_conftest(project, slots):
    project.write(
        {
            "conftest.py": CUSTOM,
            "one.check": "good\nbad one\n",
            "two.check": "bad two\ngood [x] :: y\n",
            "test_py.py": "def test_py(): pass\n",
        }
    )
    _, ours = project.same("-rA", slots=slots)
    assert ours.outcomes == {
        "one.check::line 0: good": PASSED,
        "one.check::line 1: bad one": FAILED,
        "test_py.py::test_py": PASSED,
        "two.check::line 0: bad two": FAILED,
        "two.check::line 1: good [x] :: y": PASSED,
    }
    project.same("-v", "--junitxml=out.xml", "--setup-show", slots=slots)


@pytest.mark.skipif(not HAS_SUBTESTS, reason="subtests are part of pytest 9")
@pytest.mark.parametrize("options", ["", "-v", "-rA", "-x", "-q"])
def test_subtests(project, options):
    project.write(
        {
            "test_sub.py": """\
            import pytest

            def test_some_fail(subtests):
                for n in range(4):
                    with subtests.test("round", n=n):
                        print("round", n)
                        assert n % 2 == 0

            def test_all_pass(subtests):
                with subtests.test(msg="only"):
                    pass

            def test_skips(subtests):
                with subtests.test(n=object):
                    pytest.skip("one of them")
                with subtests.test("xfails"):
                    pytest.xfail("another")

            def test_fails_itself(subtests):
                with subtests.test("first"):
                    assert 0
                raise ValueError("after it")
            """,
            "test_last.py": "def test_last(subtests):\n    with subtests.test(): assert 1\n",
        }
    )
    _, ours = project.same(*options.split(), slots=2)
    assert ours.status == 1
    if options != "-x":
        calls = [outcome for when, outcome in ours.outcomes["test_sub.py::test_some_fail"] if when == "call"]
        assert calls == ["passed", "failed", "passed", "failed", "failed"]


@pytest.mark.skipif(not HAS_SUBTESTS, reason="subtests are part of pytest 9")
def test_subtests_of_unittest(project, slots):
    """Plain pytest shows their letters in the middle of the captured output; ours on the terminal."""
    project.write(
        {
            "test_unit.py": """\
            import unittest

            class TestUnit(unittest.TestCase):
                def test_unit(self):
                    for n in range(3):
                        with self.subTest("unit", n=n):
                            self.assertNotEqual(n, 1)

                def test_skips(self):
                    with self.subTest("skips"):
                        self.skipTest("here")
            """
        }
    )
    plain, ours = project.both(slots=slots)
    assert ours.outcomes == plain.outcomes
    assert ours.status == plain.status == 1
    assert ours.lines[-1] == plain.lines[-1]


def test_layouts(project, slots):
    same = "def test_same(where, level): assert where == {!r} and level == {!r}\n"
    conftest = "import pytest\n@pytest.fixture\ndef {}(): return {!r}\n"
    project.write(
        {
            "pytest.ini": "[pytest]\naddopts = --import-mode=importlib\npythonpath = src\n",
            "src/lib/__init__.py": "VALUE = 3\n",
            "conftest.py": conftest.format("level", "top") + "@pytest.fixture\ndef where(): return 'top'\n",
            "a/conftest.py": conftest.format("where", "a"),
            "b/conftest.py": conftest.format("where", "b"),
            "b/deep/conftest.py": conftest.format("level", "deep"),
            "a/test_same.py": same.format("a", "top")
            + "from lib import VALUE\ndef test_lib(): assert VALUE == 3\n",
            "b/test_same.py": same.format("b", "top"),
            "b/deep/test_same.py": same.format("b", "deep"),
            "test_same.py": same.format("top", "wrong"),
        }
    )
    _, ours = project.same("-v", slots=slots)
    assert ours.outcomes == {
        "a/test_same.py::test_same": PASSED,
        "a/test_same.py::test_lib": PASSED,
        "b/test_same.py::test_same": PASSED,
        "b/deep/test_same.py::test_same": PASSED,
        "test_same.py::test_same": FAILED,
    }


def test_package_fixtures_and_packages(project, slots):
    project.write(
        {
            "pkg/__init__.py": "import sys\nprint('package imported')\n",
            "pkg/conftest.py": """\
            import pytest

            @pytest.fixture(scope="package")
            def made():
                print("package up")
                yield []
                print("package down")
            """,
            "pkg/test_one.py": "def test_one(made):\n    made.append(1)\n    assert made == [1]\n",
            "pkg/sub/__init__.py": "",
            "pkg/sub/test_two.py": "from .. import test_one\ndef test_two(made): assert test_one and made == 0\n",
        }
    )
    plain, ours = project.both(slots=slots)
    # Each file is a process of its own: what a package's fixture holds is not the other file's.
    assert plain.outcomes.keys() == ours.outcomes.keys()
    assert ours.outcomes["pkg/sub/test_two.py::test_two"] == [*FAILED[:2], ("teardown", "passed")]
    assert ours.outcomes["pkg/test_one.py::test_one"] == PASSED


def test_tests_outside_of_the_root(project, slots):
    project.outside = ["../outside"]
    project.write(
        {
            "pytest.ini": "[pytest]\n",
            "test_inside.py": "def test_inside(): pass\n",
            "../outside/shipped/__init__.py": "",
            "../outside/shipped/tests/__init__.py": "",
            "../outside/shipped/tests/conftest.py": "import pytest\n@pytest.fixture\ndef far(): return 1\n",
            "../outside/shipped/tests/test_far.py": "def test_far(far): pass\ndef test_bad(far): assert far == 2\n",
            "../outside/shipped/tests/test_more.py": "def test_more(far): assert far == 1\n",
        }
    )
    _, ours = project.same(
        "-c", "pytest.ini", "--rootdir=.", "--pyargs", "shipped.tests", "test_inside.py", slots=slots
    )
    assert sorted(outcome[1][1] for outcome in ours.outcomes.values()) == [
        "failed",
        "passed",
        "passed",
        "passed",
    ]
    _, ours = project.same("--rootdir=.", "../outside/shipped/tests/test_far.py::test_bad", "-v", slots=slots)
    assert list(ours.outcomes.values()) == [FAILED]


def test_one_file_named_twice(project, slots):
    project.write(
        {"test_a.py": "def test_a(): pass\ndef test_b(): assert 0\n", "test_c.py": "def test_c(): pass\n"}
    )
    for options in (
        ["test_a.py", "test_c.py", "test_a.py"],
        ["--keep-duplicates", "test_a.py", "test_c.py", "test_a.py"],
        ["test_a.py::test_b", "test_c.py", "test_a.py::test_a", "-v"],
    ):
        project.same(*options, slots=slots)


def test_unittest_fixtures(project, slots):
    project.write(
        {
            f"test_{n}.py": """\
            import unittest

            def setUpModule():
                print("module up")

            def tearDownModule():
                raise OSError("module down")

            class TestA(unittest.TestCase):
                @classmethod
                def setUpClass(cls):
                    cls.seen = []

                @classmethod
                def tearDownClass(cls):
                    print("class down", cls.seen)

                def test_1(self):
                    self.seen.append(1)
                    self.assertEqual(self.seen, [1])

                def test_2(self):
                    self.skipTest("here")

            class TestB(unittest.IsolatedAsyncioTestCase):
                async def test_async(self):
                    self.assertEqual([1, 2], [1, 3])

            class TestC(unittest.TestCase):
                @classmethod
                def setUpClass(cls):
                    raise unittest.SkipTest("the class")

                def test_never(self):
                    pass
            """
            for n in "ab"
        }
    )
    _, ours = project.same("-rA", slots=slots)
    assert ours.outcomes["test_b.py::TestC::test_never"][0] == ("setup", "skipped")
    assert ours.outcomes["test_b.py::TestC::test_never"][-1] == ("teardown", "failed")
