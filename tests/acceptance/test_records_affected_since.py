"""``--affected-since``: selects by the records and by git's changes; and the exit status of both."""

from __future__ import annotations

import subprocess

import pytest

from .keeping import Kept, outcomes, reasons, said

PASSES = "def test_it(): pass\n"
READ = "from pathlib import Path\ndef test_it():\n    path = Path(__file__).with_name('{}')\n"
FILES = {
    "src/direct.py": "",
    "test_direct.py": "import sys; sys.path.insert(0, __file__.rpartition('/')[0] + '/src')\nimport direct\n" + PASSES,
    "new_name.txt": "1",
    "test_renamed.py": READ.format("new_name.txt") + "    path.read_text()\n",
    "test_deleted.py": READ.format("deleted.txt") + "    try: path.read_text()\n    except OSError: pass\n",
    "untracked.txt": "1",
    "test_untracked.py": READ.format("untracked.txt") + "    path.read_text()\n",
    "on_branch.txt": "1",
    "test_on_branch.py": READ.format("on_branch.txt") + "    path.read_text()\n",
    "on_main.txt": "1",
    "test_on_main.py": READ.format("on_main.txt") + "    path.read_text()\n",
}  # fmt: skip
SINCE_HEAD = {
    # Also when the record was made: but it was there at that revision.
    "test_deleted.py": "deleted.txt no longer exists",
    "test_direct.py": "src/direct.py ← test_direct.py",
    "test_renamed.py": "new_name.txt",
    "test_untracked.py": "untracked.txt",
}


def git(folder, *arguments):
    settings = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]
    return subprocess.run(
        ["git", "-C", folder, *settings, *arguments], check=True, capture_output=True, text=True
    ).stdout


def repository(kept, top):
    """Committed on main, then a branch with a commit of its own while main went on; then edits, and a run."""
    root = kept.root
    git(top, "init")
    root.joinpath("deleted.txt").write_text("1")
    root.joinpath("new_name.txt").rename(root / "old_name.txt")
    root.joinpath("src/direct.py").write_text("before = 1\n")
    root.joinpath("untracked.txt").rename(top / "aside")
    git(top, "add", str(root))
    git(top, "commit", "-m", "first")
    git(top, "checkout", "-b", "feature")
    root.joinpath("on_branch.txt").write_text("2")
    git(top, "commit", "-am", "branch")
    git(top, "checkout", "main")
    root.joinpath("on_main.txt").write_text("2")
    git(top, "commit", "-am", "main")
    git(top, "checkout", "feature")
    root.joinpath("src/direct.py").write_text("")
    root.joinpath("deleted.txt").unlink()
    (top / "aside").rename(root / "untracked.txt")
    root.joinpath("old_name.txt").rename(root / "new_name.txt")
    assert set(outcomes(kept.run()).values()) == {"passed"}


@pytest.fixture(scope="module", params=["root", "subfolder"])
def kept(request, tmp_path_factory):
    kept = Kept(tmp_path_factory.mktemp("since"), FILES)
    repository(kept, kept.root if request.param == "root" else kept.root.parent)
    return kept


def since(kept, revision):
    result = kept.run(f"--affected-since={revision}", "--co")
    assert (result.status, result.errors) == (0, [])
    return reasons(result)


LISTS = {
    "listdir": "os.listdir('data')",
    "glob": "glob.glob('data/*.txt')",
    "rglob": "list(Path('data').rglob('*.txt'))",
    "above": "os.listdir('.')",
    "elsewhere": "os.listdir('other')",
}


@pytest.fixture(scope="module")
def listing(tmp_path_factory):
    """Names came and went on a branch, and were edited; the records were made after that."""
    tests = {
        f"tests/test_{name}.py": f"import glob, os\nfrom pathlib import Path\ndef test_it(): {body}\n"
        for name, body in LISTS.items()
    }
    kept = Kept(
        tmp_path_factory.mktemp("listing"),
        {**tests, "data/sub/a.txt": "", "data/b.txt": "", "other/c.txt": ""},
    )
    git(kept.root, "init")
    git(kept.root, "add", ".")
    git(kept.root, "commit", "-m", "first")
    kept.run()  # makes the cache, which is a name in the root
    return kept


WHEN_NAMES_MOVE = {
    "edited": ({"data/b.txt": "2"}, {}),
    "added": ({"data/new.txt": "1"}, {"listdir": "data", "glob": "data", "rglob": "data"}),
    "added, in vain for the glob": (
        {"data/new.bin": ""},
        {"listdir": "data", "glob": "data", "rglob": "data"},
    ),
    "removed": ({"data/b.txt": None}, {"listdir": "data", "glob": "data", "rglob": "data"}),
    "added below": ({"data/sub/new.txt": ""}, {"rglob": "data/sub"}),
    "a folder added": ({"data/deep/new/x.txt": ""}, {"listdir": "data", "glob": "data", "rglob": "data"}),
    "a folder added above": ({"more/x.txt": ""}, {"above": "."}),
}


@pytest.mark.parametrize("committed", [True, False], ids=["committed", "untracked"])
@pytest.mark.parametrize("how", WHEN_NAMES_MOVE)
def test_names_that_came_and_went(listing, how, committed):
    """A listing shows all names of its folder: which of them a glob looked for is not seen."""
    kept, (edits, expected) = listing, WHEN_NAMES_MOVE[how]
    git(kept.root, "checkout", "-B", "branch", "main")
    try:
        kept.write(edits)
        if committed:
            git(kept.root, "add", ".")
            git(kept.root, "commit", "-m", "names")
        assert set(outcomes(kept.run()).values()) == {"passed"}
        assert kept.affected() == {}
        why = {
            f"tests/test_{name}.py": f"the entries of the folder {folder} changed"
            for name, folder in expected.items()
        }
        assert since(kept, "main") == why
    finally:
        git(kept.root, "add", ".")
        git(kept.root, "reset", "--hard", "main")


def test_records_alone_hold(kept):
    assert kept.affected() == {}


def test_since_head(kept):
    """Edited, untracked and renamed; what git has committed is not."""
    assert since(kept, "HEAD") == SINCE_HEAD


def test_since_a_branch_point(kept):
    """What main did since then does not count."""
    assert since(kept, "main") == {**SINCE_HEAD, "test_on_branch.py": "on_branch.txt"}


def test_since_a_commit(kept):
    assert since(kept, "HEAD~1") == {**SINCE_HEAD, "test_on_branch.py": "on_branch.txt"}


def test_started_in_a_subfolder(kept):
    result = kept.run("--affected-since=HEAD", "--co", "..", cwd="src")
    assert reasons(result) == SINCE_HEAD


def test_it_runs_them_and_says_the_same_again(kept):
    """A revision does not move by running."""
    for _ in range(2):
        result = kept.run("--affected-since=HEAD")
        assert outcomes(result) == {f"{file}::test_it": "passed" for file in SINCE_HEAD}
        assert said(result) == [
            "4 of 6 test files affected",
            "unchanged since their last run: 6 of 6 test files",
        ]
        assert result.status == 0


def test_an_unknown_revision(kept):
    result = kept.run("--affected-since=nowhere")
    assert result.status == 4
    (line,) = [each for each in result.errors if each]
    assert line.startswith("ERROR: hotreload: --affected-since=nowhere: fatal: ")
    assert line.endswith("; hint: name a revision of this repository, for example --affected-since=main")
    assert result.outcomes == {}


def test_not_a_repository(tmp_path):
    kept = Kept(tmp_path, {"test_a.py": PASSES})
    kept.environ["GIT_CEILING_DIRECTORIES"] = str(tmp_path)
    result = kept.run("--affected-since=HEAD")
    assert result.status == 4
    (line,) = [each for each in result.errors if each]
    assert line.startswith("ERROR: hotreload: --affected-since=HEAD: fatal: not a git repository")


def test_without_git(tmp_path):
    kept = Kept(tmp_path, {"test_a.py": PASSES})
    kept.environ["PATH"] = str(tmp_path)
    result = kept.run("--affected-since=HEAD")
    assert result.status == 4
    (line,) = [each for each in result.errors if each]
    assert line == (
        "ERROR: hotreload: --affected-since=HEAD needs git, which can't be started (No such file or directory); "
        "hint: use --affected, which compares with the records"
    )


@pytest.mark.parametrize("option", ["--affected", "--affected-since=HEAD"])
def test_contradiction(tmp_path, option):
    kept = Kept(tmp_path, {"test_a.py": PASSES})
    result = kept.project.run(option, "--no-hotreload", slots=None)
    assert result.status == 4
    assert [each for each in result.errors if each] == [
        "ERROR: hotreload: --affected and --no-hotreload contradict each other; hint: leave one of the two out"
    ]


def test_exit_status(tmp_path):
    kept = Kept(tmp_path, {})
    assert kept.run("--affected").status == 5, "no tests at all"
    kept.write({"test_a.py": PASSES})
    assert kept.run("--affected", "-k", "nothing").status == 5
    assert kept.run("--affected").status == 0
    nothing = kept.run("--affected")
    assert nothing.status == 0
    assert said(nothing) == ["0 of 1 test file affected"]
    assert nothing.lines[-1].strip("= ") == "1 deselected in TIME"


def test_reasons_beyond_the_first_ten(tmp_path):
    kept = Kept(tmp_path, {f"test_{number:02}.py": PASSES for number in range(13)})
    few = kept.run("--affected", "--co").raw.splitlines()
    first = few.index("hotreload: 13 of 13 test files affected") + 1
    shown = [f"  test_{number:02}.py: no record yet" for number in range(13)]
    assert few[first : first + 12] == [*shown[:10], "  and 3 more (-v shows them)", ""]
    assert kept.affected() == {f"test_{number:02}.py": "no record yet" for number in range(13)}
