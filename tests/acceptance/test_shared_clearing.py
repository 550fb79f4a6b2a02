"""A session fixture that removes files is set up once, because each further setup would remove files of others."""

from __future__ import annotations

import pytest

SETUPS = {
    "by itself": "shutil.rmtree('out', ignore_errors=True); os.mkdir('out')",
    "by a function": "clear()",
    "one by one": "os.makedirs('out', exist_ok=True); [os.remove(path) for path in glob.glob('out/*')]",
    "by paths": "os.makedirs('out', exist_ok=True)\n        for path in Path('out').iterdir(): path.unlink()",
}
CONFTEST = """\
    import glob, os, shutil
    from pathlib import Path
    import pytest

    def clear():
        remove()
        os.mkdir("out")

    def remove():
        shutil.rmtree("out", ignore_errors=True)

    @pytest.fixture(scope="session", autouse=True)
    def cleared():
        {setup}
        {then}
    """
USES = "import os\ndef test(folder, other, short): assert not os.listdir(folder)\n"
NOTICE = (
    "the session fixture cleared removes files, so it was set up once, before the first child; "
    "otherwise one child could remove files that another child wrote"
)


def notices(ours):
    return [line for line in ours.notices if "fixture cleared" in line]


@pytest.mark.parametrize("how", SETUPS)
@pytest.mark.parametrize("start", ["fork", "strict"])
def test_results_of_all_files_stay(project, slots, how, start):
    if start == "strict" and how != "by itself":
        pytest.skip("the kinds are told apart before any child starts")
    project.write({
        "conftest.py": CONFTEST.format(setup=SETUPS[how], then="yield; shutil.rmtree('never', True)"),
        "out/old": "",
        **{f"test_{name}.py": f"def test(): open('out/{name}', 'w').close()\n" for name in "abc"},
    })  # fmt: skip
    arguments = ["--hotreload-isolate=strict"] if start == "strict" else []
    ours = project.run(*arguments, slots=slots)
    assert (ours.status, len(ours.outcomes)) == (0, 3), ours.raw
    assert sorted(path.name for path in (project.root("forks") / "out").iterdir()) == ["a", "b", "c"]
    assert [line.removeprefix("hotreload: ") for line in notices(ours)] == [NOTICE]


def test_a_fixture_that_removes_what_it_made(project):
    """At its end, or in a nested function: each child has its own."""
    project.write({
        "conftest.py": """
            import os, shutil, tempfile
            import pytest
            @pytest.fixture(scope="session")
            def folder():
                made = tempfile.mkdtemp()
                yield made
                shutil.rmtree(made)
            @pytest.fixture(scope="session")
            def other(request):
                made = tempfile.mkdtemp()
                request.addfinalizer(lambda: shutil.rmtree(made))
                return made
            @pytest.fixture(scope="session", autouse=True)
            def claimed():
                made = os.path.join(tempfile.mkdtemp(), "claimed")
                os.mkdir(made)
                yield made
                shutil.rmtree(made)
            @pytest.fixture
            def short():
                shutil.rmtree("nowhere", ignore_errors=True)
        """,
        **dict.fromkeys(("test_a.py", "test_b.py"), USES),
    })  # fmt: skip
    _, ours = project.same(slots=2)
    assert not [line for line in ours.notices if "removes files" in line]


def test_a_folder_that_must_not_exist(project, slots):
    """Each child would find the folder of another one, or lose its own when another one ends."""
    project.write({
        "conftest.py": """
            import os, shutil
            import pytest
            @pytest.fixture(scope="session", autouse=True)
            def cleared():
                if os.path.exists("claimed"):
                    raise ValueError("did the last run end well?")
                os.mkdir("claimed")
                os.environ["CLAIMED"] = "claimed"
                yield
                shutil.rmtree("claimed")
        """,
        **dict.fromkeys(
            ("test_a.py", "test_b.py", "test_c.py"),
            "import os, time\ndef test(): time.sleep(0.1); open(os.environ['CLAIMED'] + '/x', 'w').close()\n",
        ),
    })  # fmt: skip
    _, ours = project.same(slots=slots)
    assert (ours.status, len(ours.outcomes)) == (0, 3), ours.raw
    assert [line.removeprefix("hotreload: ") for line in notices(ours)] == [NOTICE]
    assert not (project.root("forks") / "claimed").exists()
