# ruff: noqa: PYI021 - the stub is the contract: its docstrings are the only ones
"""The Rust half of pytest-hotreload: what a test suite imports, and the system calls that Python lacks.

All work is done with the interpreter lock released. No thread outlives a call, but for a `Watcher`'s: a process
that forks may use everything here except `Watcher`. Paths go in as `str` or `os.PathLike`, relative ones below
`rootdir`, and come back absolute, symbolic links kept.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import final

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
        "append" or "importlib", else `ValueError`. `namespace_packages`: pytest's
        `consider_namespace_packages`. `cache_file`: the parse cache; one that is missing is no error, one that
        is corrupt or older is ignored and named by `diagnostics`.

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

    def save(self) -> None:
        """Write the parse cache: what this run used of it, and what it added.

        To a temporary file that is then renamed. Raises `OSError`; without a `cache_file` does nothing.
        """

    def statistics(self) -> dict[str, int]:
        """Of the last scan: "files" met, "parsed", "cached" (taken from the cache), "rejected" (not supplied)."""

@final
class Watcher:
    """Which files below some paths changed by content. Has a thread: not for a process that forks.

    Folders that tools write to (`.git`, `__pycache__`, `.pytest_cache`, …) and `.pyc` files are left out.
    """

    def __new__(
        cls, paths: Iterable[str], *, quiet_ms: int = 20, longest_ms: int = 100, poll: bool = False
    ) -> Watcher:
        """Watch absolute paths, files or folders with all that is below.

        A burst of events ends when none came for `quiet_ms`, at the latest `longest_ms` after its first.
        `poll`: look every 200 ms instead of being told, which is also what happens where the system refuses
        watches. Raises `OSError` if a path does not exist.
        """

    def poll_changes(self, timeout_ms: int) -> list[str]:
        """Wait at most `timeout_ms` for changes: the files that differ by content, sorted; `[]` if none do.

        New and deleted files are changes. Raises `ValueError` after `close`.
        """

    @property
    def polling(self) -> bool:
        """Whether it polls."""

    def close(self) -> None:
        """End the watching. May be called twice."""

def set_child_subreaper(enabled: bool) -> bool:
    """Whether orphaned descendants of this process become its children. False where the platform has no such thing."""

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

def collapse_heap(minimum_bytes: int = 2097152) -> int:
    """Move private memory of this process into huge pages, so that forks get cheaper.

    Of mappings of at least `minimum_bytes`, each aligned 2 MiB of which half is in use. Returns the bytes that are in
    huge pages afterwards; 0 where unsupported (Linux before 6.1, other systems). Never raises.
    """
