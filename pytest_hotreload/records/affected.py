"""``--affected``: selects the test files that run, each with its reason.

A file runs unless its record states that it passed with exactly the contents that are on disk now.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pytest_hotreload.compat import console
from pytest_hotreload.imports.analysis import open_project, scan
from pytest_hotreload.options import Options
from pytest_hotreload.original_names import ORIGINAL_NAMES
from pytest_hotreload.records import affected_messages
from pytest_hotreload.records.records import RunRecords
from pytest_hotreload.records.verdicts import Verdict
from pytest_hotreload.usage import usage_error
from pytest_hotreload.world import os, pytest, subprocess

#: The number of reasons that are shown without ``-v``.
_FEW = 10


class Selection:
    """A plugin of the controller that deselects the files that are not affected."""

    def __init__(self, records: RunRecords | None, chosen: Options) -> None:
        self.records, self.options = records, chosen
        self.selected: list[Verdict] = []
        #: The number of deselected files.
        self.left_out = 0
        self.reasons: list[str] = []
        #: Selected tests, and all tests of the selected files, if single tests were selected.
        self.tests: tuple[int, int] | None = None

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        if self.records is None or not items:
            return
        paths = sorted({str(item.path) for item in items})
        self.records.judge(paths)
        chosen = dict(self.records.verdicts)
        if self.options.affected_since is not None:
            changes, names = changed_since(str(config.rootpath), self.options.affected_since)
            for verdict in self.records.touched(changes, names):
                if verdict.file in chosen and chosen[verdict.file].fresh:
                    chosen[verdict.file] = verdict
        self.selected = [chosen[path] for path in paths if not chosen[path].fresh]
        affected = {verdict.file for verdict in self.selected}
        left_out = [item for item in items if str(item.path) not in affected]
        if self.options.affected_tests:
            left_out += self._other_tests([item for item in items if str(item.path) in affected])
        self.left_out = len(paths) - len(affected)
        if left_out:
            # By identity: classes of items need not have a hash.
            out = set(map(id, left_out))
            items[:] = [item for item in items if id(item) not in out]
            config.hook.pytest_deselected(items=left_out)
        with ORIGINAL_NAMES:
            self.reasons = self._explained(config)

    def _other_tests(self, items: list[pytest.Item]) -> list[pytest.Item]:
        """The items of affected files that ran nothing of what changed."""
        assert self.records is not None
        # A file that was chosen for another reason, such as a failure or --affected-since, runs as a whole.
        judged = [verdict for verdict in self.selected if self.records.verdicts[verdict.file] == verdict]
        chosen = {
            v.file: self.records.affected_tests(v.file) for v in judged if v.kind in ("content", "project")
        }
        others = [
            item
            for item in items
            if (tests := chosen.get(str(item.path))) is not None and item.nodeid not in tests
        ]
        self.tests = (len(items) - len(others), len(items))
        return others

    def _explained(self, config: pytest.Config) -> list[str]:
        verbose = config.get_verbosity() > 0
        verdicts = self.selected if verbose else self.selected[:_FEW]
        without = self.records.without_effect() if self.records is not None else []
        shown = without if verbose else without[:_FEW]
        more = len(self.selected) - len(verdicts) + len(without) - len(shown)
        reasons = explain(config, verdicts, self.records) + shown
        return reasons + ([affected_messages.more_reasons(more)] if more else [])

    def pytest_report_collectionfinish(self, config: pytest.Config) -> list[str]:
        """The lines below pytest's own line about the collection."""
        if self.records is None:
            return [console.PREFIX + affected_messages.no_records()]
        if console.is_quiet(config):
            return []
        return [
            console.PREFIX
            + affected_messages.affected(len(self.selected), self.left_out)
            + (f" · {affected_messages.tests(*self.tests)}" if self.tests is not None else ""),
            *("  " + reason for reason in self.reasons),
        ]

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Exit with status 0 if no file is affected: that is the desired case, not an error."""
        if session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and self.left_out and not self.selected:
            session.exitstatus = pytest.ExitCode.OK


def explain(
    config: pytest.Config, verdicts: Sequence[Verdict], records: RunRecords | None = None
) -> list[str]:
    """One line for each verdict, with the chain of imports and the functions that changed, if there are any."""
    chains = _chains(config, [verdict for verdict in verdicts if verdict.kind in ("content", "gone")])
    root = str(config.rootpath)
    return [
        affected_messages.reason(
            os.path.relpath(v.file, root),
            v.kind,
            v.detail,
            chains.get(v.file, []),
            records.changed_functions(v) if records is not None else (),
        )
        for v in verdicts
    ]


def _chains(config: pytest.Config, verdicts: Sequence[Verdict]) -> dict[str, list[str]]:
    """Test file -> the files from the changed one to it, along the current imports."""
    if not verdicts:
        return {}
    root = str(config.rootpath)
    found = {}
    try:
        project = open_project(config)
        scan(project, [verdict.file for verdict in verdicts])
        for verdict in verdicts:
            chain = project.chain(verdict.file, str(Path(root, verdict.detail)))
            found[verdict.file] = [os.path.relpath(file, root) for file in reversed(chain)]
    except Exception:  # an explanation must never fail a run
        return {}
    return found


def changed_since(root: str, revision: str) -> tuple[list[str], list[str]]:
    """The changes since this branch diverged from ``revision``, as absolute paths.

    Returns the files that differ from that commit, including untracked ones; then those files and folders
    among them that were added or removed. Raises :class:`pytest.UsageError` if git cannot answer.
    """
    top = _git(root, revision, "rev-parse", "--show-toplevel").strip()
    base = _git(root, revision, "merge-base", revision, "HEAD").strip()
    told = _git(top, revision, "diff", "--name-status", "--no-renames", "-z", base).split("\0")
    untracked = _git(top, revision, "ls-files", "-z", "--others", "--exclude-standard").split("\0")
    changed = dict(zip(told[1::2], told[::2], strict=False))
    for name in filter(None, untracked):  # a file that was only removed from the index still exists
        changed[name] = "M" if name in changed else "A"
    moved = [name for name, status in changed.items() if status in ("A", "D")]
    folders = {str(folder) for name in moved for folder in Path(name).parents} - {"."}
    known = (
        set(_git(top, revision, "ls-tree", "-r", "-d", "-z", "--name-only", base).split("\0"))
        if folders
        else set()
    )
    moved += sorted(folder for folder in folders if (folder in known) != Path(top, folder).is_dir())
    return [str(Path(top, name)) for name in changed], [str(Path(top, name)) for name in moved]


def _git(folder: str, revision: str, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", folder, *arguments], capture_output=True, check=True, errors="surrogateescape"
        )
    except OSError as error:
        raise usage_error(
            f"--affected-since={revision} needs git, which can't be started ({error.strerror})",
            hint="use --affected, which compares with the records",
        ) from None
    except subprocess.CalledProcessError as error:
        said = error.stderr.strip().splitlines()
        raise usage_error(
            f"--affected-since={revision}: {said[0] if said else 'git failed'}",
            hint="name a revision of this repository, for example --affected-since=main",
        ) from None
    return done.stdout
