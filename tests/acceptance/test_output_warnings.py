"""The summary of warnings: the same texts, counts and locations."""

from __future__ import annotations

FILES = {
    "conftest.py": """\
        import warnings
        import pytest

        warnings.warn("at conftest import")

        def pytest_collection_modifyitems():
            warnings.warn("at modifyitems", DeprecationWarning)

        def pytest_configure(config):
            config.issue_config_time_warning(UserWarning("at configure"), stacklevel=1)

        @pytest.fixture
        def warns():
            warnings.warn("in setup")
            yield
            warnings.warn("in teardown")
        """,
    "test_a.py": """\
        import sys, warnings
        import pytest

        warnings.warn("at import of a")

        class Local(UserWarning):
            def __init__(self, text, hook):
                super().__init__(text)
                self.hook = hook

        class TestMissing:
            def __init__(self):
                pass

        def make():
            class Inner(UserWarning):
                pass
            return Inner

        @pytest.mark.parametrize("n", range(3))
        def test_many(n):
            warnings.warn("the same each time")
            warnings.warn(f"not the same {n}", FutureWarning)

        def test_fixture(warns):
            pass

        def test_local():
            warnings.warn(Local("can't be pickled", lambda: 0))

        def test_local_class():
            warnings.warn(make()("of a class made in a function"))

        def test_returns():
            return 3

        @pytest.mark.filterwarnings("ignore")
        def test_ignored():
            warnings.warn("never seen")

        @pytest.mark.filterwarnings("error")
        def test_error():
            warnings.warn("raised")

        def test_caught(recwarn):
            warnings.warn("caught")
            assert len(recwarn) == 1

        @pytest.mark.notregistered
        def test_mark():
            pass
        """,
    "test_b.py": """\
        import threading, warnings

        warnings.warn("at import of b")

        class Unraisable:
            def __del__(self):
                raise ValueError("in __del__")

        def test_unraisable():
            Unraisable()

        def test_thread():
            def target():
                raise KeyError("in a thread")
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()

        def test_once():
            for _ in range(3):
                warnings.warn_explicit("explicit", UserWarning, "elsewhere.py", 7)
        """,
}


def test_warnings(project, slots):
    project.write(FILES)
    _, ours = project.same(slots=slots)
    texts = [text for _, text in ours.warnings]
    assert texts.count("the same each time") == 3
    assert texts.count("at import of a") == texts.count("at conftest import") == 1
    assert texts.count("at configure") == 1
    kinds = [kind for kind, _ in ours.warnings]
    assert kinds.count("PytestUnraisableExceptionWarning") == 1
    assert kinds.count("PytestUnhandledThreadExceptionWarning") == 1
    assert kinds.count("Local") == kinds.count("Inner") == 1


def test_warnings_as_errors(project, slots):
    files = {
        **FILES,
        "conftest.py": FILES["conftest.py"].replace('warnings.warn("at conf', 'pass; ("at conf'),
    }
    for name in ("test_a.py", "test_b.py"):
        files[name] = files[name].replace('warnings.warn("at import', '("at import')
    files["conftest.py"] = files["conftest.py"].replace("def pytest_configure", "def not_configure")
    files["conftest.py"] = files["conftest.py"].replace("def pytest_collection", "def not_collection")
    files["test_a.py"] = (
        files["test_a.py"].replace("@pytest.mark.notregistered", "").replace("TestMissing", "Missing")
    )
    project.write(files)
    _, ours = project.same("-W", "error", slots=slots)
    assert ours.status == 1
    assert ("call", "failed") in ours.outcomes["test_a.py::test_many[0]"]


def test_options_of_warnings(project):
    project.write(FILES)
    for options in (
        ["-q", "--disable-warnings"],
        ["-p", "no:warnings"],
        ["-W", "ignore::FutureWarning", "-W", "error:not the same 2", "-v"],
        ["-p", "no:unraisableexception", "-p", "no:threadexception"],
    ):
        project.same(*options)


def test_more_warnings_than_the_limit(project):
    project.write(
        {
            "pytest.ini": "[pytest]\nmax_warnings = 3\n",
            **{
                f"test_{n}.py": f"import warnings\ndef test_w():\n    warnings.warn('from {n}')\n"
                for n in "abcde"
            },
        }
    )
    _, ours = project.same()
    texts = [text for _, text in ours.warnings if "max_warnings" not in text]  # unknown to pytest 8
    assert texts == [f"from {n}" for n in "abcde"]


def test_what_the_collection_left_unraised_is_shown_once(project, slots):
    project.write(
        {
            "test_a.py": """\
            class Unraisable:
                def __del__(self):
                    raise ValueError("left by the collection")

            thing = Unraisable()
            del thing

            def test_a():
                pass
            """,
            "test_b.py": "def test_b(): pass\n",
            "test_c.py": "def test_c(): pass\n",
        }
    )
    plain, ours = project.both(slots=slots)
    assert ours.warnings == plain.warnings
    assert len(ours.warnings) == 1


HOOKS = """\
    import os, warnings

    def warn(when):
        warnings.warn(f"{when} a fork")

    os.register_at_fork(
        before=lambda: warn("before"),
        after_in_parent=lambda: warn("after"),
        after_in_child=lambda: warn("in"),
    )
    """


def test_hooks_that_warn_of_each_fork(project, slots):
    """The forks are ours; that of a test still warns. eventlet warns of each."""
    project.write({
        "conftest.py": HOOKS,
        "test_a.py": "import conftest\n\ndef test_a(): pass\n",
        "test_b.py": """
            import conftest, os

            def test_b():
                pid = os.fork()
                if not pid:
                    os._exit(0)
                os.waitpid(pid, 0)
        """,
    })  # fmt: skip
    _, ours = project.same(slots=slots)
    assert ours.status == 0
    assert ours.errors == []
    assert [text for _, text in ours.warnings] == ["before a fork", "after a fork"]
