"""No edit is lost by a full queue, by a limit, or by random saves."""

from __future__ import annotations

import contextlib
import fcntl
import gc
import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_hotreload import _native

from .watching import one, until, wait

PACKAGE = Path(_native.__file__ or "").parents[1]

# A watcher in a process of its own: prints each thing as it comes, until its input ends.
PROCESS = """
import json, select, sys
from pytest_hotreload import _native
watcher = _native.Watcher([sys.argv[1]])
print("started", flush=True)
while True:
    ready, _, _ = select.select([watcher.fileno(), sys.stdin], [], [])
    if sys.stdin in ready:
        break
    changes = [(one.burst, one.changed, one.created, one.deleted) for one in watcher.take()]
    print(json.dumps([watcher.polling, changes, watcher.notices()]), flush=True)
watcher.close()
"""


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def process(*command: str) -> subprocess.Popen[str]:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        arguments = [*command, sys.executable, "-c", PROCESS, str(tmp_path)]
        started.append(subprocess.Popen(arguments, text=True, cwd=PACKAGE, **pipes))  # type: ignore[call-overload]
        return started[-1]

    yield process
    for child in started:
        child.kill()
        child.communicate()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_lost_events_lead_to_a_comparison_of_everything(
    process: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    limit = Path("/proc/sys/fs/inotify/max_queued_events")
    if not limit.exists():
        pytest.skip("no inotify")
    for name in ("kept.py", "edited.py", "a", "b"):
        (tmp_path / name).write_text("old")
    stopped = process()
    assert said(stopped) == "started\n"
    # By the time this is told all files have been read once.
    (tmp_path / "fence").write_text("")
    assert json.loads(said(stopped)) == [False, [["", [], [str(tmp_path / "fence")], []]], []]
    stopped.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, stopped.pid, os.WSTOPPED)
    # In turn: equal events in succession are one.
    for number in range(int(limit.read_text())):
        os.utime(tmp_path / "ab"[number % 2], (1, 1))
    (tmp_path / "edited.py").write_text("new")
    (tmp_path / "late").mkdir()
    (tmp_path / "late" / "a.py").write_text("new")
    stopped.send_signal(signal.SIGCONT)
    notices: list[str] = []
    bursts: list[object] = []
    while not bursts:
        _polling, more, told = json.loads(said(stopped))
        bursts += more
        notices += told
    assert notices == ["more changes at once than the system can report; compared all files"]
    assert bursts == [["overflow", [str(tmp_path / "edited.py")], [str(tmp_path / "late" / "a.py")], []]]
    (tmp_path / "late" / "a.py").write_text("newer")
    assert json.loads(said(stopped)) == [False, [["", [str(tmp_path / "late" / "a.py")], [], []]], []]


def test_over_the_limit_of_watches_it_polls_and_says_so(
    process: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    limited = ["unshare", "-Ur", "sh", "-c", 'echo 3 > /proc/sys/user/max_inotify_watches && exec "$@"', "sh"]
    try:
        subprocess.run([*limited, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no user namespaces")
    (tmp_path / "old.py").write_text("old")
    watching = process(*limited)
    assert said(watching) == "started\n"
    (tmp_path / "a" / "b" / "c" / "d").mkdir(parents=True)
    (tmp_path / "old.py").write_text("new")
    (tmp_path / "a" / "b" / "c" / "d" / "new.py").write_text("new")
    changed: list[str] = []
    created: list[str] = []
    notices: list[str] = []
    polling = False
    while not (changed and created):
        polling, bursts, told = json.loads(said(watching))
        notices += told
        for _burst, edited, new, gone in bursts:
            changed += edited
            created += new
            assert not gone
    number = Path("/proc/sys/fs/inotify/max_user_watches").read_text().strip()
    assert polling
    (notice,) = notices
    assert notice == (
        f"the limit on watched folders is reached ({number}); polling instead; "
        "hint: raise it with sysctl fs.inotify.max_user_watches"
    )
    assert changed == [str(tmp_path / "old.py")]
    assert created == [str(tmp_path / "a" / "b" / "c" / "d" / "new.py")]


def test_polling_that_was_asked_for_is_no_news(start: Callable[..., _native.Watcher], tmp_path: Path) -> None:
    assert start(tmp_path, poll=True).notices() == []


def test_edits_right_after_the_start_of_a_large_tree(
    poll: bool, start: Callable[..., _native.Watcher], tmp_path: Path
) -> None:
    for folder in range(100):
        (tmp_path / f"{folder:02}").mkdir()
        for number in range(30):
            (tmp_path / f"{folder:02}" / f"{number:02}.py").write_text("old")
    watcher = start(tmp_path, poll=poll)
    edited = [f"{folder:02}/{number:02}.py" for folder in range(0, 100, 9) for number in (0, 29)]
    for name in edited:
        (tmp_path / name).write_text("new")
    until(watcher, tmp_path, {"changed": sorted(edited)})


def test_the_descriptor_is_quiet_until_something_waits(
    start: Callable[..., _native.Watcher], tmp_path: Path
) -> None:
    watcher = start(tmp_path)
    assert not select.select([watcher.fileno()], [], [], 0)[0]
    (tmp_path / "a").write_text("")
    for _ in range(2):
        assert select.select([watcher.fileno()], [], [], 10)[0]
    assert len(watcher.take()) == 1
    assert not select.select([watcher.fileno()], [], [], 0)[0]
    assert watcher.take() == []


def test_what_is_not_taken_waits_in_order(start: Callable[..., _native.Watcher], tmp_path: Path) -> None:
    watcher = start(tmp_path)
    other = start(tmp_path)
    for name in "cab":
        (tmp_path / name).write_text("")
        assert one(other, tmp_path) == {"created": [name]}
    waiting: list[_native.Changes] = []
    while sum(len(changes.created) for changes in waiting) < 3:
        waiting += wait(watcher)
    # One that lags may see two edits as one burst.
    assert [Path(path).name for changes in waiting for path in changes.created] in (
        ["c", "a", "b"],
        ["a", "c", "b"],
        ["a", "b", "c"],
    )
    times = [time for changes in waiting for time in (changes.first_ns, changes.ready_ns)]
    assert times == sorted(times)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="no /proc")
def test_no_thread_or_descriptor_outlives_it(poll: bool, tmp_path: Path) -> None:
    def held() -> tuple[int, set[str]]:
        listed = [path.name for path in list(Path("/proc/self/fd").iterdir())]
        # Without that of the listing.
        descriptors = {name for name in listed if os.path.lexists(f"/proc/self/fd/{name}")}
        return sum(1 for _ in Path("/proc/self/task").iterdir()), descriptors

    before = held()
    closed = _native.Watcher([str(tmp_path)], poll=poll)
    dropped = _native.Watcher([str(tmp_path)], poll=poll)
    threads, descriptors = held()
    # With events, one of each is notify's.
    assert threads == before[0] + 2 * (1 if poll else 2)
    ours = [int(descriptor) for descriptor in descriptors - before[1]]
    assert closed.fileno() in ours
    assert all(fcntl.fcntl(descriptor, fcntl.F_GETFD) & fcntl.FD_CLOEXEC for descriptor in ours)
    closed.close()
    closed.close()
    assert closed.take() == []
    with pytest.raises(ValueError, match="closed"):
        closed.fileno()
    with pytest.raises(ValueError, match="closed"):
        closed.watch([str(tmp_path)])
    del closed, dropped
    gc.collect()
    assert held() == before


def test_a_missing_path_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="missing"):
        _native.Watcher([str(tmp_path / "missing")])


# Of each random writer; about 600 a second.
SAVES = int(os.environ.get("WATCHER_SAVES", "1200"))


class Writer(threading.Thread):
    """Saves files in all the ways that there are, at random."""

    def __init__(self, folder: Path, folders: int, files: int) -> None:
        super().__init__()
        self.folder = folder
        self.folders = folders
        self.files = files
        self.random = random.Random(files)
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            for number in range(SAVES):
                self.save(number)
                # Mostly at once, at times long enough for a comparison to begin or to end.
                if self.random.random() < 0.1:
                    time.sleep(self.random.choice([0.001, 0.005, 0.018, 0.022, 0.03]))
        except BaseException as error:
            self.error = error

    def save(self, number: int) -> None:
        parent = self.folder / f"d{self.random.randrange(self.folders)}"
        path = parent / f"f{self.random.randrange(self.files)}.py"
        # All of one length: only content tells them apart.
        text = f"{self.random.randrange(1_000_000):06}"
        way = self.random.randrange(20)
        if way == 0:
            shutil.rmtree(parent, ignore_errors=True)
        elif way == 1:
            other = self.folder / f"d{self.random.randrange(self.folders)}"
            if parent.exists() and not other.exists():
                parent.rename(other)
        elif way == 2:
            path.unlink(missing_ok=True)
        else:
            parent.mkdir(exist_ok=True)
            if way < 9:
                (parent / "draft.tmp").write_text(text)
                (parent / "draft.tmp").replace(path)
            elif way < 12:
                path.unlink(missing_ok=True)
                path.write_text(text)
            else:
                path.write_text(text)


def contents(folder: Path) -> dict[str, str]:
    found = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            with contextlib.suppress(FileNotFoundError):
                found[str(path)] = path.read_text()
    return found


# With few files bursts are those of edits, with many those of many.
@pytest.mark.parametrize(("folders", "files", "least"), [(3, 4, 10), (6, 12, 1)])
@pytest.mark.slow
def test_no_edit_is_lost(
    poll: bool, folders: int, files: int, least: int, start: Callable[..., _native.Watcher], tmp_path: Path
) -> None:
    """Whoever reads what is told, when it is told, has in the end what is on the disk."""
    settings: dict[str, Any] = {"poll": True, "poll_ms": 10} if poll else {}
    watcher = start(tmp_path, **settings)
    writer = Writer(tmp_path, folders, files)
    mirror: dict[str, str] = {}
    existing: set[str] = set()
    writer.start()
    bursts = 0
    quiet_since = None
    while True:
        changes = wait(watcher, 0.2)
        for one_burst in changes:
            bursts += 1
            assert one_burst.first_ns < one_burst.ready_ns
            # Each burst goes on from where the last one ended.
            assert existing.issuperset([*one_burst.changed, *one_burst.deleted, *one_burst.saved])
            assert existing.isdisjoint(one_burst.created)
            existing = existing.difference(one_burst.deleted).union(one_burst.created)
            for path in [*one_burst.changed, *one_burst.created]:
                try:
                    mirror[path] = Path(path).read_text()
                except OSError:
                    mirror.pop(path, None)
            for path in one_burst.deleted:
                mirror.pop(path, None)
        if writer.is_alive():
            continue
        actual = contents(tmp_path)
        # 1: the last burst's quiet is over as well; a poller doubts what is younger than 2 s.
        quiet_since = time.monotonic() if changes or quiet_since is None else quiet_since
        if mirror == actual and existing == set(actual):
            break
        assert time.monotonic() - quiet_since < 8, sorted(set(mirror.items()) ^ set(actual.items()))
    writer.join()
    assert writer.error is None
    assert bursts >= least
    assert watcher.notices() == []
