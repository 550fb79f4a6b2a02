"""pytest inside pytest, subtests, and Django's test databases."""

from __future__ import annotations

import pytest

PASSED = [("setup", "passed"), ("call", "passed"), ("teardown", "passed")]


@pytest.mark.slow
def test_pytester_meets_an_inert_plugin(project, slots):
    """Even with --hotreload in the inner arguments."""
    project.plugins = ["pytester"]
    project.write({
        f"test_{name}.py": """
            import pytest

            @pytest.mark.parametrize("how", ["runpytest_inprocess", "runpytest_subprocess"])
            @pytest.mark.parametrize("args", [[], ["-p", "no:randomly"]])
            def test_inner(pytester, how, args):
                pytester.makepyfile("def test_a(): pass\\ndef test_b(): assert 0")
                result = getattr(pytester, how)(*args)
                result.assert_outcomes(passed=1, failed=1)
                result.stdout.fnmatch_lines(["*1 failed, 1 passed*"])
                result.stdout.no_fnmatch_line("hotreload:*")

            def test_inline(pytester):
                items, recorder = pytester.inline_genitems(pytester.makepyfile("def test_a(): pass"))
                assert [item.name for item in items] == ["test_a"]

            def test_inner_hotreload(pytester):
                pytester.makepyfile("def test_a(): pass\\ndef test_b(): assert 0")
                result = pytester.runpytest_inprocess("--hotreload", "-p", "hotreload")
                result.assert_outcomes(passed=1, failed=1)
        """
        for name in "ab"
    })  # fmt: skip
    ours = project.run(slots=slots)
    assert ours.lines[-1] == "== 12 passed in TIME =="
    assert len(ours.outcomes) == 12


def test_subtests(project, slots):
    """Built into pytest 9, a plugin for 8.4."""
    if pytest.version_tuple < (9,):
        pytest.importorskip("pytest_subtests", reason="pytest-subtests is not installed")
        project.plugins = ["pytest_subtests.plugin"]
    project.write({
        "test_a.py": """
            def test_mixed(subtests):
                for n in range(4):
                    with subtests.test("each", n=n):
                        assert n != 2

            def test_fine(subtests):
                with subtests.test(n=1): pass
        """,
        "test_b.py": "def test_b(): pass\n",
    })  # fmt: skip
    _, ours = project.same("-v", slots=slots)
    assert ours.status == 1


def test_subtests_of_unittest(project, slots):
    """Plain pytest 9 writes their lines into the captured output of the test; ours reach the terminal."""
    if pytest.version_tuple < (9,):
        pytest.skip("pytest-subtests shows them by itself")
    project.write({
        "test_a.py": """
            import unittest

            class TestOld(unittest.TestCase):
                def test_old(self):
                    for n in range(2):
                        with self.subTest("old", n=n):
                            self.assertEqual(n, 0)
        """,
    })  # fmt: skip
    plain, ours = project.both(slots=slots)
    assert ours.outcomes == plain.outcomes
    assert ours.lines[-1] == plain.lines[-1]
    assert ours.status == plain.status == 1


DJANGO = {
    "pytest.ini": "[pytest]\nDJANGO_SETTINGS_MODULE = settings\n",
    "settings.py": """
        SECRET_KEY = "x"
        INSTALLED_APPS = ["shop"]
        ENGINE = "django.db.backends.sqlite3"
        DATABASES = {"default": {"ENGINE": ENGINE, "NAME": "shop.db", "TEST": {"NAME": "test.db"}}}
        DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
    """,
    "shop/__init__.py": "",
    "shop/models.py": """
        from django.db import models

        class Thing(models.Model):
            name = models.CharField(max_length=20)
    """,
    **{
        f"test_{name}.py": """
            import pytest
            from shop.models import Thing

            @pytest.mark.django_db
            def test_makes():
                Thing.objects.create(name="a")
                assert Thing.objects.count() == 1

            @pytest.mark.django_db(transaction=True)
            def test_is_empty():
                assert Thing.objects.count() == 0

            @pytest.mark.django_db
            def test_name(settings):
                with open("names.txt", "a") as file: print(settings.DATABASES["default"]["NAME"], file=file)

            def test_is_refused():
                Thing.objects.count()
        """
        for name in "abc"
    },
}


def test_django(project, slots):
    """A database for each slot, by the suffix of the worker id; plain pytest's name with one slot."""
    pytest.importorskip("pytest_django", reason="pytest-django is not installed")
    project.plugins = ["pytest_django.plugin"]
    project.outside = ["."]
    project.write(DJANGO)
    plain, ours = project.both(slots=slots)
    assert ours.outcomes == plain.outcomes
    assert ours.lines == plain.lines
    names = {line.rpartition("/")[2] for line in ours.read("names.txt").split()}
    assert names == ({"test.db"} if slots == 1 else {"test.db_gw0", "test.db_gw1"})
    assert [each.name for each in ours.root.glob("*.db*")] == []
    assert ours.lines[-1] == "== 3 failed, 9 passed in TIME =="
