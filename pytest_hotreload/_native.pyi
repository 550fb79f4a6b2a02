# ruff: noqa: PYI021 - the stub is the contract: its docstrings are the only ones
"""The Rust half of pytest-hotreload: what a test suite imports, and the system calls that Python lacks.

All work is done with the interpreter lock released. No thread outlives a call, but for a `Watcher`'s: a process
that forks may use everything here except `Watcher`. Paths go in as `str` or `os.PathLike`, relative ones below
`rootdir`, and come back absolute, symbolic links kept.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NoReturn, final

@final
class Project:
    """What the test files of a run import: `scan` them, then ask.

    Every question takes files that the last `scan` was given, and raises `KeyError` for another.
    """

    def __new__(
        cls,
        rootdir: str,
        *,
        sys_path: Sequence[str],
        stdlib: Collection[str],
        site_dirs: Sequence[str],
        import_mode: str = "prepend",
        editable: Mapping[str, str] | None = None,
        namespace_packages: bool = False,
        cache_file: str | None = None,
    ) -> Project:
        """Describe the run.

        `sys_path`: the run's `sys.path`, pytest's `pythonpath` in front. `stdlib`: `sys.stdlib_module_names`.
        `site_dirs`: folders whose contents are third-party. `editable`: top-level module -> folder or file, of
        editable installs that work by a finder; first-party if inside `rootdir`. `import_mode`: "prepend",
        "append" or "importlib"; or "package", for files that are imported without pytest: no conftest is read, no
        folder added, and what stands under a condition counts as run at import; else `ValueError`.
        `namespace_packages`: pytest's `consider_namespace_packages`. `cache_file`: the parse cache; one that is
        missing is no error, one that is corrupt or older is ignored and named by `diagnostics`.

        First-party is what lies inside `rootdir`, outside every site folder and virtual environment.
        """

    def scan(self, test_files: Sequence[str]) -> list[str]:
        """Read the test files, their conftests and packages, and all first-party files that they import.

        Returns the files that were rejected and have no import list yet. The caller reads those with
        `fallback_parser.imports_of`, calls `supply` for each, then `scan` again, until it returns `[]`: a
        supplied file may lead to further ones. The call after a `[]` reads every file anew.
        """

    def supply(
        self,
        path: str,
        imports: Sequence[tuple[int, str | None, str | None, str, int]],
        effects: Sequence[tuple[int, str, str]] | None = None,
        diagnostic: str | None = None,
        line: int | None = None,
    ) -> None:
        """Give a rejected file its imports and effects, as the interpreter's own parser reads them.

        An import is (level, module, name, context, line): `import a.b` is (0, "a.b", None, …), `from .a import b`
        is (1, "a", "b", …), `from . import b` is (1, None, "b", …). Contexts: "module", "class", "try" (its
        ImportError is caught), "handler" (of such a try), "conditional", "function", "type_checking", "plugin"
        (of `pytest_plugins`). An effect is as `effects` returns it. With a `diagnostic` (at `line`, from 1), it
        is reported and nothing is cached.

        Raises `KeyError` if the last scan did not meet the file, `ValueError` for an unknown context or kind.
        """

    def closure(self, test_file: str) -> list[str]:
        """The first-party files that it imports, transitively, itself and its conftests among them.

        In the order in which they would be imported; after those, what is imported only in functions or
        under conditions. What stands under `if TYPE_CHECKING` is left out.
        """

    def chain(self, test_file: str, file: str) -> list[str]:
        """The shortest chain of imports from a test file (or its conftests) to a first-party file, both included.

        `[]` if nothing that the test file imports leads there.
        """

    def links(self, test_file: str) -> list[tuple[str, str]]:
        """Which file of the closure imports which, as (importer, imported), each pair once; no file itself.

        By importer in the order in which they would be imported, then by the importer's imports: those that run
        at its own import before the others.
        """

    def locate(self, test_file: str, name: str) -> str | None:
        """The first-party file that importing a dotted name in this test file would load, or None."""

    def third_party(self, test_file: str) -> tuple[list[str], list[str]]:
        """Third-party and standard-library modules that it reaches: at import, and only later.

        Dotted names, in the order of import; the deepest module of `import a.b.c` stands for its parents.
        Later is: in functions, under conditions, in an `except ImportError` whose `try` finds all its modules.
        """

    def shared(self, test_files: Sequence[str], minimum: int = 2) -> list[str]:
        """Third-party and standard-library modules that at least `minimum` of the files reach at import.

        In the order in which importing the files one after another would load them. Quarantined ones included.
        """

    def effects(self, path: str) -> list[tuple[int, str, str]]:
        """What a first-party file changes before the first test runs, as (line, kind, detail), by line.

        Seen are the statements that run at import, the functions of the file that those call by name, and its
        hooks that run before collection ends, `pytest_configure` for one.

        Kinds: "environment" (detail: the key), "patch" (an attribute of something imported, `sys.modules[…]`,
        `gevent.monkey.patch_all()`), "path" (a change of `sys.path`; detail "*"), "rewrite" (the module that
        was registered for assertion rewriting). The detail is "*" where the source does not say it literally.
        """

    def quarantine(self, test_files: Sequence[str]) -> dict[str, str]:
        """The modules of these files that must stay out of the template, each with the reason, in one line."""

    def diagnostics(self) -> list[tuple[str, int | None, str]]:
        """What went wrong with single files, as (path, line from 1, text): never an exception."""

    def missing(self) -> list[tuple[str, int, str]]:
        """Imports of the last scan's files that lead nowhere, as (path, line from 1, dotted name as it is spelled).

        Not those in a `try` that catches it, in functions and under conditions.
        """

    def save(self) -> None:
        """Write the parse cache: what this run used of it, and what it added.

        To a temporary file that is then renamed. Raises `OSError`; without a `cache_file` does nothing.
        """

    def statistics(self) -> dict[str, int]:
        """Of the last scan: "files" met, "parsed", "cached" (taken from the cache), "rejected" (not supplied)."""

@final
class Changes:
    """What one burst of events changed. Paths are absolute, as the project names them; lists are sorted."""

    @property
    def changed(self) -> list[str]:
        """Files that existed before and exist now, with another content.

        Files above 64 MB are compared by size and times. What was touched before it was first read, in the first
        moments of a watcher, counts as changed.
        """

    @property
    def created(self) -> list[str]:
        """Files that did not exist at the last comparison."""

    @property
    def deleted(self) -> list[str]:
        """Files that existed at the last comparison and are gone."""

    @property
    def saved(self) -> list[str]:
        """Files that were written, or got a new time, and hold what they held."""

    @property
    def burst(self) -> str:
        """ "" for an ordinary edit, "git" if git held its lock or moved HEAD, "many" for more than 20 paths.

        "overflow" if events were lost, so that all files were compared.
        """

    @property
    def first_ns(self) -> int:
        """When the first event of the burst came, by `time.monotonic_ns`; if it polls, when that was noticed."""

    @property
    def ready_ns(self) -> int:
        """When the comparison was done, by the same clock."""

@final
class Watcher:
    """Which files below some paths changed by content. Has a thread: not for a process that forks.

    Left out are folders that tools write to (`.git`, `__pycache__`, `.pytest_cache`, `node_modules`, …), virtual
    environments (`pyvenv.cfg`), folders with a `CACHEDIR.TAG`, `.pyc` files, and what editors put beside a file
    (`*~`, `.*.sw?`, `.#*`, `4913`); not if they are themselves among the paths. Links to folders are followed, but
    for those that lead back to where they stand.
    """

    def __new__(
        cls,
        paths: Iterable[str],
        *,
        ignore: Iterable[str] | None = None,
        quiet_ms: int = 20,
        longest_ms: int = 100,
        poll: bool = False,
        poll_ms: int = 200,
    ) -> Watcher:
        """Watch files, or folders with all that is below. No later change is missed.

        `ignore`: absolute paths that are left out with all below. A burst ends when no event came for `quiet_ms`, at
        the latest `longest_ms` after its first. If it has more than 20 paths, or git is at work in the repository that
        a path lies in: after 250 ms, and when git let go of its lock, at the latest after 5 s.

        `poll`: look every `poll_ms` instead of being told; less often where that would take more than 2 % of a
        core. The same happens, with a notice, where the system does not tell.

        Raises `FileNotFoundError` for a path that does not exist, `OSError` if there are no descriptors or threads.
        """

    def fileno(self) -> int:
        """A descriptor, closed on exec, that is readable when changes or notices wait. Only `take` empties it.

        Raises `ValueError` after `close`.
        """

    def take(self) -> list[Changes]:
        """The changes that wait, oldest first; `[]` if there are none, or the watcher is closed. Never blocks."""

    def watch(self, paths: Iterable[str], *, deep: bool = True) -> None:
        """Watch further files or folders, whether they exist or not. Their changes after this call are noticed.

        Without `deep` the names and files in a folder count, and not what lies in the folders below it.
        A path that appears later is created then. Waits for a comparison under way. Raises `ValueError` after `close`.
        """

    def notices(self) -> list[str]:
        """Lines for the user since the last call: that it polls and why, that events were lost, that it failed."""

    @property
    def polling(self) -> bool:
        """Whether it polls, now."""

    def close(self) -> None:
        """End the watching and its threads. May be called twice; dropping the watcher does the same."""

@final
class FolderEvents:
    """That an entry of one of these folders came, went or was written; not which, and nothing of what is below them.

    Reads nothing. Dropping it closes its descriptor, and ends its thread.
    """

    def __new__(cls, folders: Iterable[str]) -> FolderEvents:
        """A folder that does not exist tells nothing, nor does it when it comes.

        Raises `OSError` where the system does not tell, or has no descriptors left.
        """

    def fileno(self) -> int:
        """Closed on exec, readable when something happened."""

    def drain(self) -> bool:
        """Whether something happened since the last call. Never blocks."""

@final
class RecordStore:
    """The store of records: for each test file one, which says what the file depends on and how that was.

    Files go in as paths, absolute or relative to `rootdir`, and come back as records name them: relative with "/", or
    absolute where they lie outside of `rootdir`. A byte that is no text is what `os.fsdecode` makes of it. What is
    wrong with the content of the store is never an error: it is ignored, and told by `notes`. Whatever needs the
    records loads them if `load` was not called.
    """

    def __new__(cls, folder: str, rootdir: str) -> RecordStore:
        """Name the store; the disk is not touched. All that is written lies in the folder `records-5` of `folder`."""

    def load(self) -> int:
        """Read the index, and the records that changed since it was written. Returns how many records there are.

        May be called again, to see what other processes wrote.
        """

    def notes(self) -> list[str]:
        """What the last `load` ignored and why, and which epoch could not be remembered since: a line for each kind.

        Records are "corrupt", "older", "newer" (by their schema), "foreign" (no record), "misplaced" (another
        file's) or "unreadable". A store that is a symbolic link, or belongs to another user, is not used at all.
        """

    def leave_out(self, reports: Iterable[str]) -> None:
        """These files are no part of the project, though they may lie in its folders: runs write them at their end."""

    def files(self) -> list[str]:
        """The test files that have a record, sorted."""

    def files_by_epoch(self) -> dict[str, list[str]]:
        """Epoch -> the test files whose record was made in it, both in any order."""

    def get(self, file: str) -> str | None:
        """The record as it is on the disk, as JSON; None if there is none, or none that can be used.

        Its keys, in this order: "file", "epoch", "outcome", "settled", "unsettled" (the input that changed while
        the file ran; left out if none did), "tests", "costs", "closure", "dynamic", "coupled_with", "roots", "reads",
        "listings", "layout", "environment", "declared", "started", "project", "distributions", "modules", "flags",
        "ports", "writes", "serial". What is fingerprinted is a list of [name, fingerprint], with null for what did not
        exist.
        """

    def outside(self) -> list[str]:
        """The files and folders outside of `rootdir` that any record depends on, sorted; some may not exist."""

    def results(
        self, files: Sequence[str]
    ) -> list[tuple[list[str], list[str], list[tuple[str, str]]] | None]:
        """Of each test file's record, as it is on the disk: "flags", "writes", "tests" as (node id, outcome), in order.

        None where `get` would say None.
        """

    def put_all(
        self,
        drafts: Mapping[str, str],
        *,
        started_ns: int,
        environment: Mapping[str, str],
        before: Sequence[tuple[str, Sequence[tuple[int, str]]]] | None = None,
    ) -> int:
        """Fingerprint what these test files depend on, as it is now, and write their records.

        `before`: the functions that ran before all tests, as (first line, qualified name), by file. A draft may have
        the key "functions": {"files": [[file whose functions are watched, [[first line, qualified name]]]], "ran" and
        "outside" (of single tests): indexes of these functions, counted through, "tests": such a list for each test,
        or null, "undivided": the reason for which nothing of it is known, or ""}.

        Returns how many records have other bytes now. Each thing is looked at once, however many files depend on it, in
        parallel. Of two names of one file the last counts.

        A draft is a JSON object with the keys "epoch", "outcome" ("passed", or anything else), "tests" ([node id,
        outcome, seconds], in order), "costs" ({"collection", "fixtures", "imports"}: seconds), "closure" (first-party
        files), "dynamic" ({dotted name: path, or null if it was not found}), "coupled_with" (other test files;
        they have to be in the closure, too), "roots" (first-party folders of `sys.path`, in order), "reads" ([path,
        [mtime_ns, ctime_ns, size, inode]], as it was at the first touch, or [path, null] if it did not exist),
        "listings" (folders), "environment" (names, "*" for all), "declared" (patterns, with `**`), "started" (what
        processes are called that may read anything of the project), "project" (folders of which all files count, but
        for those that the watcher leaves out), "distributions" ({name: version}),
        "modules" ({dotted name: distribution}), "flags", "ports", "writes" (paths), "serial". All
        are required, and no others are taken.

        The test file is part of its closure. The layout is what can be imported from the roots, from the folders of
        the closure and those between, and from the folders that a name of "dynamic" would lead through: give a failed
        import of `space.module` there, since a namespace package has no file in the closure.

        `environment` holds the values that it ran with; of "*" these do not count: `_`, `SHLVL`, `PWD`, `OLDPWD`,
        `COLUMNS`, `LINES`, `WINDOWID`, `TERM_SESSION_ID`, `PYTEST_CURRENT_TEST`, `PYTEST_XDIST_*`,
        `PYTEST_HOTRELOAD_*`.

        A record is unsettled, and never fresh, if an input changed while the file ran: a read file that is not as at
        its first touch; any file whose mtime or ctime is not older than `started_ns` by 20 ms (by 2 s if it is a whole
        second, as on file systems that know no less); a folder that was listed, or a pattern, likewise, unless it
        looks as it did to an earlier `check` or `put_all` of this object before `started_ns`; a module that was added
        to a folder of the layout; an input that can't be read.

        The old record stays if only seconds differ, each by less than a quarter or less than 5 ms. Else seconds of
        tests that were known are the mean of the old and the new.

        Raises `ValueError` for a draft that is not one, before anything is written. Where records can't be written
        the others are; then `OSError` is raised for the first, by file.
        """

    def extend_all(
        self,
        drafts: Mapping[str, str],
        *,
        epochs: Sequence[str],
        started_ns: int,
        environment: Mapping[str, str],
        before: Sequence[tuple[str, Sequence[tuple[int, str]]]] | None = None,
    ) -> int:
        """Extend the records of these test files by what a run of a part of their tests saw; drafts as for `put_all`.

        A record only gets further dependencies; those that it has keep their fingerprints, so it holds only where it
        would have held before. Of a test that ran the functions are added, the worse outcome counts, and seconds are
        the mean of both. If the outcome of the draft is not "passed", the record's outcome becomes "failed".

        A test file without a record gets none. A record of another epoch stays as it is, or is removed if the outcome
        of the draft is not "passed". Returns how many records have other bytes now. Raises as `put_all`.
        """

    def adopt(self, folder: str, files: Sequence[str]) -> int:
        """Take the records of these test files from the store in another folder, as they are, with their epochs.

        What that store has no usable record of stays as it is here. Returns how many records have other bytes now.
        Raises `OSError` where one can't be written.
        """

    def conflicts(self) -> list[tuple[str, list[str], list[str]]]:
        """The records that have ports or writes, as (file, ports, writes), sorted by file. From memory."""

    def remove(self, files: Sequence[str]) -> None:
        """Remove the records of these test files, if there are any. Raises `OSError`."""

    def prune(self) -> list[str]:
        """Remove the records of test files that are gone, and return these; also what dead writers left behind.

        Epochs that no record names go an hour after they were written. Without `rootdir` nothing is removed. Raises
        `OSError`.
        """

    def clear(self) -> None:
        """Remove the store and those of older schemas, nothing else in its folder. Raises `OSError`."""

    def verify(self) -> list[tuple[str, str]]:
        """Read all record files. Returns those that can't be used, as (path, what is wrong), sorted."""

    def save(self) -> None:
        """Write the index. Without it the next `load` reads every record, and `check` every file. Raises `OSError`."""

    def statistics(self) -> dict[str, int]:
        """How many "records", their "bytes" on the disk, and the distinct "paths" that they depend on."""

    def epoch(self, inputs: Mapping[str, str]) -> str:
        """The fingerprint of named inputs, in hex. They are remembered in the store, in clear, for `epoch_changes`."""

    def epoch_changes(
        self, epoch: str, inputs: Mapping[str, str]
    ) -> list[tuple[str, str | None, str | None]] | None:
        """The inputs that differ from those of an epoch, as (name, then, now), sorted; None if it is not known."""

    def check(
        self, files: Sequence[str], *, epochs: Sequence[str], environment: Mapping[str, str]
    ) -> list[tuple[str, str, str]]:
        """For each file (file as given, verdict, detail). Content is looked at, in parallel, each thing once.

        The first of these verdicts that applies: "unknown" (no record), "epoch" (of none of these; its), "unsettled"
        (the input that changed while it ran), "failed", then by inputs, detail the path or name: "gone" (a file),
        "content", "appeared" (a file that did not exist), "listing" (a folder's names), "declared" (a pattern's
        files), "environment", "project" (a file in one of its folders), "layout" (a folder: what can be imported from
        it), "fresh".

        A file is not read again if its mtime, ctime, size, inode and device are those of when it was hashed, and it
        had not been changed for 2 s then.
        """

    def affected(
        self,
        changes: Sequence[str],
        *,
        names: Sequence[str] | None = None,
        added: Sequence[str] | None = None,
    ) -> list[tuple[str, str, str]]:
        """The test files that depend on one of these paths, as (file, verdict, detail) of `check`, sorted by file.

        The content of the paths is not read: all are taken for changed. A folder stands for all that is below it.
        `names`: paths that came or went, as far as a listing of their folders is concerned. `added`: paths that came,
        perhaps between a run and its record: how the layout looks now says nothing, so "layout" is the verdict.
        """

    def runners(self, file: str, function: str) -> list[tuple[str, list[tuple[str, int]] | None]]:
        """The test files that ran a function of this qualified name, by their records.

        Each with its tests that ran it, as (node id, number of functions that the test ran); None if it ran outside
        of single tests: while the file was imported, or in a fixture of a wider scope.
        """

    def functions_of(self, test_file: str, node_id: str | None = None) -> list[tuple[str, list[str]]] | None:
        """The functions that a test ran by its file's record, or that the whole file ran, of each divided file.

        None if there is no record, or if it is not known what the test ran.
        """

    def is_outdated(self) -> bool:
        """Whether another process has saved records since `load`."""

    def content_changes(self) -> list[tuple[str, list[str] | None]]:
        """Of the last `check` or `affected`: the divided files whose content changed, by name.

        Each with the qualified names of the functions whose bodies changed, none if only comments, layout or
        positions did; None if something else changed.
        """

    def affected_tests(self, test_file: str) -> list[str] | None:
        """The tests of a file that ran a function that changed, by the last `check` or `affected`.

        Node ids, in the order of the record. None if any test may be concerned.
        """

    def affected_parts(
        self, test_files: Sequence[str]
    ) -> list[tuple[list[str] | None, float, int, float, list[tuple[str, list[str] | None]]]]:
        """Of each test file, by the last `check` or `affected`, the part that what changed concerns.

        The tests as `affected_tests`, and their recorded seconds; the number of all tests of the file, and their
        seconds; the changes as `concerning_changes`. All records are read at once.
        """

    def concerning_changes(self, test_file: str) -> list[tuple[str, list[str] | None]]:
        """The files whose changed content concerns a test file, by the last `check` or `affected`, sorted.

        Each with the qualified names of the changed functions that the test file ran; None where more than bodies of
        functions changed, or where that is not known.
        """

    def changed_functions(self, test_file: str, file: str) -> list[str] | None:
        """The functions of a file that changed since a test file's record and that it ran, by the last `check`.

        Qualified names, in the order of the source. None if something else changed, or if that is not known.
        """

    def look_at_layouts(self, files: Sequence[str]) -> None:
        """Look at the layouts of these records, before their names are resolved for `confirm`."""

    def confirm(self, files: Sequence[str]) -> None:
        """Note that these records hold under the layouts last looked at, too. Those without one are left out.

        For a caller who then found that all names still resolve to the same files. Kept in the index, not in the
        record, until the layout changes again or the record is written anew.
        """

def outline(source: bytes) -> tuple[str, list[tuple[str, int, int, str]]] | None:
    """A source by functions: the fingerprint of the rest, and (qualified name, first line, last line, fingerprint).

    Functions in the order of the source; first is the line of the first decorator. Equal fingerprints mean equal
    code but for positions. None if the source can't be read.
    """

def glob_matches(pattern: str, path: str) -> bool:
    """Whether a pattern, as records have them in "declared", means this path; both relative, or both absolute.

    `**` stands for any number of folders, and for all below at the end; `*`, `?` and `[…]` stay within a name.
    """

def set_child_subreaper(enabled: bool) -> bool:
    """Whether orphaned descendants of this process become its children. False where the platform has no such thing."""

def remember_modes(terminal: int, flags: tuple[int, int, int, int], characters: bytes) -> None:
    """When `guard` ends this process, and it is this one and no fork of it: give the terminal these modes.

    Only if the terminal's modes are then what `watch/keyboard.py` makes of these: else a shell has it. `flags`: input,
    output, control, local, `characters`: the control characters, both as `termios.tcgetattr` gives them.
    `terminal` must stay open. Raises `OSError` where it is none.
    """

def put_back_modes() -> None:
    """Now, what `remember_modes` would do: before this process ends for another reason than its parent's death."""

def guard(lifeline: int, parent_death_signal: bool = True) -> None:
    """Called in a forked child: end it, its group (if it leads one) and its children when its parent ends.

    `lifeline`: the read end of a pipe whose only write end the parent holds: the child has to close its inherited
    write end before, and so has every other process. With `parent_death_signal`, the kernel's signal is asked for,
    too, where it exists. Both arrive as one real-time signal, SIGRTMAX-3 (SIGIO where there are none); its handler
    does nothing unless the parent is gone. Neither an ignored SIGTERM nor a blocking call holds it up.
    If the parent is gone already the call does not return. Make the process a child subreaper first, or
    descendants that left the group and lost their parent are out of reach.

    Descriptors: one is opened and kept. Not inherited by forked children, who call it themselves.
    Raises `OSError` for a bad descriptor.
    """

def children_of(pid: int) -> list[int]:
    """The direct children of a process, adopted and dead but unreaped ones too, sorted. `[]` without `/proc`."""

def flush_c_stdio() -> None:
    """Write out the buffers of C's own streams: a fork would copy them, and they would be written twice."""

def monotonic() -> float:
    """Seconds of the clock of `time.monotonic()` on Linux; all processes of a machine share it."""

def time() -> float:
    """Seconds since 1970, whatever the time is that a test sees."""

def time_ns() -> int:
    """Nanoseconds since 1970, likewise."""

def pid() -> int:
    """This process's id."""

def exit_now(status: int) -> NoReturn:
    """As `os._exit`."""

def send_all(socket: int, data: bytes) -> None:
    """Send all of it, also on a socket that does not block. Handlers of signals run after it. Raises `OSError`."""

def freeze() -> bool:
    """As `gc.freeze`. False, and nothing is frozen, where that could be noticed.

    `gc.get_objects`, `get_referrers`, `collect`, `freeze` and `get_freeze_count` stay the functions that they are, and
    thaw when the first of them is called.
    """

def thaw() -> None:
    """Undo `freeze`, if nobody did."""

def keep_frozen() -> None:
    """From now on these functions thaw no more; what is frozen stays so."""

def objects_of_types(kinds: tuple[type, ...]) -> list[Any]:
    """What the garbage collector knows of these types and those below them, but for what is frozen.

    By type alone: no object is asked for anything.
    """

@final
class Bindings:
    """What names were bound to, to find those that are bound to something else.

    In a fork this is several times faster than in Python, since no reference to a value is counted.
    """

    def __new__(cls, tables: Sequence[tuple[dict[str, Any], Sequence[tuple[str, Any]]]]) -> Bindings:
        """Pairs of a namespace and its names, each with its original value."""

    def differing(self) -> list[tuple[int, str, Any]]:
        """(Number of the table, name, original value) of each name that is bound to another value now, or to none."""

def collapse_heap(minimum_bytes: int = 2097152) -> int:
    """Move private memory of this process into huge pages, so that forks get cheaper.

    Of mappings of at least `minimum_bytes`, each aligned 2 MiB of which half is in use. Returns the bytes that are in
    huge pages afterwards; 0 where unsupported (Linux before 6.1, other systems). Never raises.
    """

def own_pages() -> bytes:
    """Of a fork: which pages of memory it does not share any more, since it wrote to them.

    16 bytes for each run of pages: the addresses of its begin and end. b"" where the system does not tell. Never
    raises.
    """

def make_own(pages: bytes) -> None:
    """Of a fork: copy these pages now, as far as it shares them, since a write to each would cost a fault later.

    `pages`: as `own_pages` told of a relative; what is mapped otherwise here is left alone, as is everything where
    unsupported (Linux before 5.14, other systems). Never raises.
    """

@final
class OpenDescriptions:
    """Which open files of this process its forks can have anew, so that they do not share offsets and wake-ups.

    Noted are descriptors from 3 on: files that are only read, and that nothing locks; pipes and pairs of `AF_UNIX`
    sockets that are empty and whose ends are both in this process; eventfds; epoll sets. Numbers of one description
    (`dup`) remain one. Pipes, pairs and eventfds are left out if a child of this process, or of one of the four above
    it, holds them. On other systems than Linux, nothing is noted. Never raises.
    """

    def __new__(cls, kept: Sequence[int], ours: Sequence[int]) -> OpenDescriptions:
        """Note them as they are now.

        `kept`: descriptors that stay as they are, with all others of their description. `ours`: children that hold
        nothing but what they renewed.
        """

    def renew(self) -> int:
        """Of a fork: replace what was noted, in the state of that moment. What can't be had anew stays as it is.

        Numbers, `FD_CLOEXEC` and status flags remain. Returns how many descriptors were replaced. May be called again.
        """

def observe(
    root: str,
    *,
    collecting: bool,
    ignored: Sequence[str],
    temporary: Sequence[str],
    callers: Sequence[str],
    pycache_prefix: str | None = None,
    installed: Sequence[str] | None = None,
) -> None:
    """Record from now on what this process opens, lists, imports by name, connects to; forget what was recorded before.

    The first call in a process installs an audit hook, for good; it does nothing unless recording. A forked child
    inherits the recording with its rows: it calls `observe` again to begin with none.

    The longest of `root`, `ignored` and `temporary` that holds a path decides: recorded; left out; a "read", if the
    file was there, unchanged, before this call. A path in none of them is recorded; below `/proc`, `/dev` and `/sys`
    it is left out. Bytecode stands for its source, and is never written. `callers`: packages whose own code, as the
    innermost frame, is not recorded. `pycache_prefix`: `sys.pycache_prefix`.

    `collecting`: each row has an owner, and there is one row for each: every file of a path that is recorded whose code
    is on the stack, up to the innermost whose module body runs, or else what `observe_for` said; and the top-level
    packages below the folders `installed` that are on the stack before any of `callers`. "" stands for all. Without
    `collecting` the owner is "".
    """

def canonical_path(path: str) -> str:
    """Absolute, without `.`, `..` and doubled slashes. What stands before a `..` is followed if it exists; all other
    links keep their names. Raises `OSError` where the path is relative to a folder that is gone.
    """

def watch_functions(enabled: bool) -> str | None:
    """Watch which functions of first-party files run, from the next import on, or stop.

    First-party by the settings of the last `observe`. Returns None, or the reason for which it is not possible.
    Files that were imported before are not watched, and what ran before is forgotten.
    """

def mark_functions(label: int) -> None:
    """Say that what ran since the last call belongs to this label: the index of an item, or -1 for none."""

def pause_functions() -> None:
    """Watch those functions no more that ran since `mark_functions`, until it is called again."""

def mark_function_files(process: int) -> None:
    """Say which process forks: `functions_ran` names, there and in forks, only files that come later."""

def functions_ran() -> tuple[
    tuple[list[tuple[str, int, str]], list[tuple[int, list[int]]], list[int], list[str], tuple[int, int]]
    | None,
    str,
]:
    """What ran since the last call: (places, sets, starters, files, mark), or None and the reason.

    A place is (file, first line, qualified name); a set is (label, indexes of places), each label once; starters are
    labels of what started a process, and of tests in which one lived on; files are those that are
    watched since the mark; the mark is (number of files then, process), (0, 0) without one.
    """

def observe_again() -> None:
    """In a forked child: begin with nothing, under the settings of the last `observe`, and not collecting."""

BOARD_BYTES: int
"""How long the file is that `join_board` wants, for all children of a run."""

def join_board(page: int, board: int, slot: int, item: int) -> None:
    """This process is the child of a slot from now on, and runs `item` first.

    It compares what it uses with the children that live beside it.

    `board`: the descriptor of a file of `BOARD_BYTES`, which all children of a run map. There each socket's address is
    noted before it is bound, and each path that an audit event says is written. Where a child that lives has an address
    that this one is about to bind, or, on this machine, to connect to, the call does not happen: it fails with
    EADDRINUSE or ECONNREFUSED, and `page` says so, with the item in its first four bytes. At byte 16: a state of eight
    bytes (2 once all is written), four for what was done (1 bind, 2 connect, 3 path), four for the item, eight for the
    first item of the other child plus 1 (0 where that is unknown), eight for the length of the text that follows. The
    first collision stays.

    Both files may be closed; both are mapped for good, by forks too. Raises `OSError` where that can't be. Only on
    Linux addresses are compared. A slot from 512 on joins nothing.
    """

def leave_board() -> None:
    """This child has run its items: until it joins again, no other child is compared with it."""

def look_for_contention() -> bool:
    """A test failed: whether it used a path that a child beside this one wrote; said on the page, too."""

def note_opens(enabled: bool) -> None:
    """Begin or end a list of the files that this process opens for reading. It starts empty."""

def noted_opens() -> list[str]:
    """The paths since the last call, as they were given to `open`."""

def observe_for(owner: str) -> str:
    """Whom events belong to that no running module body owns, until the next `observe`. Returns the previous owner."""

def observed() -> list[tuple[str, str, str, tuple[int, int, int, int] | None]]:
    """Take what was recorded, as (owner, kind, subject, state), in the order of first touch; recording goes on anew.

    State is (mtime_ns, ctime_ns, size, inode) at the first touch, of "read" and "update" only; None if nothing was
    there. One row for each owner, kind and subject.

    Kinds with a path: "read"; "update" (opened for both, appended, created exclusively, a database: an input and an
    output; a later "read" is part of it); "write" (truncated, made, removed, renamed, changed in its attributes: what
    was replaced before it was read is no input later); "list" (of a folder).
    Others: "import" (an absolute name outside the standard library, found or not), "environ" (a variable, "*" for all
    of them), "subprocess" (a program, or the event where none is named), "start" (what a process is called that may
    read anything of the project), "connect" ("host:port", "unix:path", and
    "name:host" of a look-up that is not the loopback's), "bind" (the same, but for port 0).
    """

def stop_observing() -> None:
    """Record nothing from now on, and forget what was recorded. Watching imports and the environment goes on, idle."""

def watch_imports(enabled: bool) -> None:
    """Record imports of modules that are loaded already, too, for which there is no audit event.

    Puts native functions before `builtins.__import__` and importlib's `_gcd_import`; False puts the originals back
    unless somebody replaced ours. A replacement that may lead to ours is left alone.
    """

def watch_environment(enabled: bool) -> None:
    """Record reads of `os.environ` and `os.environb`, by native functions before their `encodekey` and `decodekey`.

    `mock.patch.dict` copies and restores without reading; `PYTEST_CURRENT_TEST`, `PYTEST_XDIST_*` and
    `PYTEST_HOTRELOAD_*` are left out. False puts the originals back unless somebody replaced ours.
    """

class RewindRefused(Exception):  # noqa: N818 - as the engine's documents call it
    """A snapshot or a rewind that was refused; the text is the reason, one sentence without a full stop."""

SNAPSHOT_NAME: str
"""The name of snapshot processes, as `/proc/PID/comm` shows it."""

@final
class Rewinder:
    """Puts the memory of this process back to a snapshot, so that it can run a further test file as a fresh fork.

    A process has one; a fork of it can make its own. All methods hold the interpreter lock.
    """

    def __new__(cls, engine: str = "auto", store_limit: int = 1073741824, sibling: bool = False) -> Rewinder:
        """Reserve the engine's memory: address space, which is committed as pages are stored.

        `engine`: "userfaultfd" (Linux 6.7), "pagemap" (Linux 5.9), or "auto" for the first one that the system
        permits. `store_limit`: bytes of original pages that may be kept. `sibling`: whether the snapshot process is a
        child of this process's parent, which reaps it, so that it is not among the children of this process.

        Raises `RewindRefused` where the platform has no such engine, or if this process took a snapshot already;
        `ValueError` for an unknown name.
        """

    def snapshot(self) -> int:
        """Take the snapshot and return 0. After the n-th rewind the same call returns again, with n.

        A child process without an exit signal, named `SNAPSHOT_NAME`, keeps the memory and all descriptors. Call it
        in the main thread, as the only thread.

        Raises `RewindRefused`; nothing is changed then, and no process is left.
        """

    def rewind(self, verify: bool = False) -> None:
        """Go back to the snapshot: this call does not return, and `snapshot` returns once more.

        With `verify`, all readable private memory is compared with the snapshot process's; `statistics` has the
        result. If memory can only be put back in part, the process ends with status 113.

        Raises `RewindRefused`. The process can then only end: threads may have been ended, and the state that the
        kernel keeps for the process may have been put back in part.
        """

    def statistics(self) -> dict[str, int]:
        """Times (`…_ns`) and counts of the last rewind; `snapshot_ns` and `held_pages` of the snapshot.

        Pages: "dirty" (looked at), "fetched" (from the snapshot process), "copied" (they differed), "zeroed", "lost"
        (unmapped or dropped since), "store_pages", "verified_pages", "mismatched_pages", "first_mismatch" (its
        address). "protections" and "hot_set_baseline": how often all pages were protected anew, and how many were
        dirty after the last time.
        """

    @property
    def engine(self) -> str:
        """The engine in use: "userfaultfd" or "pagemap"; final after `snapshot`."""

    @property
    def snapshot_pid(self) -> int:
        """The pid of the snapshot process; 0 before `snapshot`."""

def rewind_self_test(engine: str = "auto") -> str | None:
    """Try an engine in a fork: snapshot, changes, two verified rewinds. Returns the reason of a failure, or None.

    Took 92 to 154 ms on a busy machine. On other processors than x86-64, a `Rewinder` needs a test that passed in this
    process or its parents.
    """
