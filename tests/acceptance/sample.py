"""A project with every kind of outcome, and the results that plain pytest has for it."""

from __future__ import annotations

from .compare import Outcomes

FILES = {
    "pytest.ini": """\
        [pytest]
        markers =
            slow: a marker
        """,
    "conftest.py": """\
        import logging
        import pytest

        @pytest.fixture
        def noisy():
            print("setup of noisy")
            logging.warning("logged in setup")
            yield 7
            print("teardown of noisy")
            logging.warning("logged in teardown")

        @pytest.fixture
        def broken():
            print("before the break")
            raise RuntimeError("broken fixture")

        @pytest.fixture
        def breaks_late():
            yield
            raise RuntimeError("broken teardown")
        """,
    "test_plain.py": """\
        import logging, os, sys
        import pytest

        def test_passes():
            print("unseen unless -rP")

        def test_fails(noisy):
            local = {"a": [1, 2, 3]}
            print("out")
            print("err", file=sys.stderr)
            logging.error("logged %d", noisy)
            assert local == {"a": [1, 2, 4]}

        def test_errors(broken):
            pass

        def test_errors_late(breaks_late):
            os.write(1, b"written to fd 1\\n")

        @pytest.mark.slow
        @pytest.mark.parametrize("text", ["plain", "a b", "\\u00e9\\u4e2d", "[x]::y/z", "", "tab\\t", "\\x00"])
        def test_ids(text):
            pass

        @pytest.mark.parametrize("value", [1.5, None, (1, 2), pytest.param(3, id="three")])
        def test_values(value):
            assert value != 3
        """,
    "test_marks.py": """\
        import unittest
        import pytest

        @pytest.mark.skip(reason="by mark")
        def test_skipped():
            pass

        def test_skips_itself():
            pytest.skip("inside")

        @pytest.mark.xfail(reason="known")
        def test_xfails():
            assert 0

        @pytest.mark.xfail
        def test_xpasses():
            pass

        @pytest.mark.xfail(strict=True, reason="must fail")
        def test_xpasses_strictly():
            pass

        @pytest.mark.xfail(raises=ValueError)
        def test_xfails_otherwise():
            raise KeyError("no")

        @pytest.fixture
        def skips():
            pytest.skip("in setup")

        def test_skipped_in_setup(skips):
            pass

        def test_missing():
            pytest.importorskip("surely_not_there")

        class TestGroup:
            def setup_method(self):
                print("method set up")

            def test_in_class(self):
                pytest.fail("told to", pytrace=False)

            class TestInner:
                def setup_method(self):
                    pass

                def test_deep(self):
                    raise ValueError("line one\\nline two")

        class TestUnit(unittest.TestCase):
            def setUp(self):
                self.addCleanup(print, "cleaned up")

            def test_equal(self):
                self.assertEqual(1, 2)

            @unittest.skip("unittest's skip")
            def test_unit_skipped(self):
                pass

            @unittest.expectedFailure
            def test_unit_xfails(self):
                self.fail()
        """,
    "sub/__init__.py": "",
    "sub/test_skipped_module.py": """\
        import pytest
        pytest.skip("the whole module", allow_module_level=True)
        """,
    "sub/test_deeper.py": """\
        import pytest

        @pytest.fixture(scope="module", autouse=True)
        def module_wide():
            print("module up")
            yield
            print("module down")

        @pytest.fixture(scope="class")
        def class_wide():
            yield
            raise OSError("class teardown")

        class TestClassWide:
            def test_one(self, class_wide):
                pass

            def test_two(self, class_wide):
                pass

        def test_chain():
            try:
                raise KeyError("first")
            except KeyError as error:
                raise RuntimeError("second") from error
        """,
    "sub/test_wide.py": """\
        import pytest

        @pytest.fixture(scope="module")
        def module_wide():
            yield
            raise OSError("module teardown")

        def test_wide(module_wide):
            pass
        """,
}

_PASSED = [("setup", "passed"), ("call", "passed"), ("teardown", "passed")]
_FAILED = [("setup", "passed"), ("call", "failed"), ("teardown", "passed")]
_XFAILED = [("setup", "passed"), ("call", "xfailed"), ("teardown", "passed")]
_SKIPPED = [("setup", "passed"), ("call", "skipped"), ("teardown", "passed")]
_SKIPPED_EARLY = [("setup", "skipped"), ("teardown", "passed")]
_FAILED_EARLY = [("setup", "failed"), ("teardown", "passed")]
_FAILED_LATE = [("setup", "passed"), ("call", "passed"), ("teardown", "failed")]

OUTCOMES: Outcomes = {
    "sub/test_deeper.py::TestClassWide::test_one": _PASSED,
    "sub/test_deeper.py::TestClassWide::test_two": _FAILED_LATE,
    "sub/test_deeper.py::test_chain": _FAILED,
    "sub/test_wide.py::test_wide": _FAILED_LATE,
    "test_marks.py::test_skipped": _SKIPPED_EARLY,
    "test_marks.py::test_skips_itself": _SKIPPED,
    "test_marks.py::test_xfails": _XFAILED,
    "test_marks.py::test_xpasses": [("setup", "passed"), ("call", "xpassed"), ("teardown", "passed")],
    "test_marks.py::test_xpasses_strictly": _FAILED,
    "test_marks.py::test_xfails_otherwise": _FAILED,
    "test_marks.py::test_skipped_in_setup": _SKIPPED_EARLY,
    "test_marks.py::test_missing": _SKIPPED,
    "test_marks.py::TestGroup::test_in_class": _FAILED,
    "test_marks.py::TestGroup::TestInner::test_deep": _FAILED,
    "test_marks.py::TestUnit::test_equal": _FAILED,
    "test_marks.py::TestUnit::test_unit_skipped": _SKIPPED,
    "test_marks.py::TestUnit::test_unit_xfails": _XFAILED,
    "test_plain.py::test_passes": _PASSED,
    "test_plain.py::test_fails": _FAILED,
    "test_plain.py::test_errors": _FAILED_EARLY,
    "test_plain.py::test_errors_late": _FAILED_LATE,
    "test_plain.py::test_ids[plain]": _PASSED,
    "test_plain.py::test_ids[a b]": _PASSED,
    "test_plain.py::test_ids[\\xe9\\u4e2d]": _PASSED,
    "test_plain.py::test_ids[[x]::y/z]": _PASSED,
    "test_plain.py::test_ids[]": _PASSED,
    "test_plain.py::test_ids[tab\\t]": _PASSED,
    "test_plain.py::test_ids[\\x00]": _PASSED,
    "test_plain.py::test_values[1.5]": _PASSED,
    "test_plain.py::test_values[None]": _PASSED,
    "test_plain.py::test_values[value2]": _PASSED,
    "test_plain.py::test_values[three]": _FAILED,
}
