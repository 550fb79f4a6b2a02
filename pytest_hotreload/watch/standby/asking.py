"""Notes what imports ask of files without opening them, in processes that runs or reruns are forked from.

No audit event shows ``os.stat``, ``os.lstat`` and ``os.access``, on which ``os.path.exists``, ``Path.is_file`` and
``shutil.which`` rest. So functions of ours stand in their places while conftests and test files are imported ahead.
They are gone before anything is forked: a test finds the functions of the interpreter, also where a module has taken
one into its own names.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from types import FrameType
from typing import Any, Final

from pytest_hotreload.process import adoption, import_names
from pytest_hotreload.process.fork_state import namespace
from pytest_hotreload.process.import_inputs import VOLATILE
from pytest_hotreload.process.installed import is_installed, standard_folders
from pytest_hotreload.watch.asked_files import answer
from pytest_hotreload.watch.protocol import Answer, FileQuestion
from pytest_hotreload.world import BUILTINS, MODULES, getframe, os

__builtins__ = BUILTINS

#: Modules of the standard library that ask on behalf of their callers.
_BETWEEN: Final = ("genericpath", "posixpath", "pathlib", "pathlib._local", "pathlib._abc", "shutil", "glob")
#: Their functions to which only matters whether something is there, and of which kind.
_OF_KIND: Final = (
    "exists", "lexists", "isfile", "isdir", "islink", "realpath", "_joinrealpath", "resolve", "is_file", "is_dir",
    "is_symlink",
)  # fmt: skip
#: What these look for is an input already, or belongs to no import: sources for tracebacks.
_OURS: Final = ("_pytest", "pluggy", "pytest_hotreload", "linecache")
#: Sets of functions in ``os``.
_GROUPS: Final = ("supports_fd", "supports_dir_fd", "supports_follow_symlinks", "supports_effective_ids")


class Asking:
    """The questions so far, and the functions that stand in for others."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], Answer] = {}
        #: Name in ``os`` -> our function, and the one that it stands in for.
        self._instead: dict[str, tuple[Any, Any]] = {}
        #: The names of modules at the last beginning, and those that the template has imported.
        self._known: set[str] = set()
        self._early: set[str] = set()
        self._standard = tuple(folder + os.sep for folder in standard_folders())

    def begin(self) -> None:
        """Note from now on. What somebody else has replaced stays as it is."""
        self._known = set(MODULES)
        self._early = self._early or set(_modules())
        module = MODULES["os"]
        for name in ("stat", "lstat", "access"):
            plain = getattr(os, name)
            if getattr(module, name) is plain:
                ours = self._noting(name, plain)
                self._instead[name] = ours, plain
                import_names.stands_for(ours, plain)
                setattr(module, name, ours)
                for group in _groups_with(plain):
                    group.add(ours)

    def end(self) -> None:
        """Put the functions back, also in modules that were imported since :meth:`begin`."""
        module, plains = MODULES["os"], {id(ours): plain for ours, plain in self._instead.values()}
        for name, (ours, plain) in self._instead.items():
            if getattr(module, name) is ours:
                setattr(module, name, plain)
            for group in _groups_with(ours):
                group.discard(ours)
        for each in MODULES.keys() - self._known if plains else ():
            space = namespace(MODULES.get(each))
            for key in [key for key, value in space.items() if id(value) in plains]:
                space[key] = plains[id(space[key])]
        self._instead.clear()

    def asked(self) -> frozenset[FileQuestion]:
        """What was asked so far, and the installed files that were imported meanwhile."""
        asked = [FileQuestion(path, question, each) for (path, question), each in self._found.items()]
        return installed_sources(self._early).union(asked)

    def _noting(self, name: str, plain: Callable[..., Any]) -> Callable[..., Any]:
        def asks(*args: Any, **kwargs: Any) -> Any:
            if name in self._instead:
                self._note(name, args, kwargs, getframe(1))
            return plain(*args, **kwargs)

        return asks

    def _note(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], frame: FrameType) -> None:
        path = _text(args[0] if args else kwargs.get("path"))
        if not path or kwargs.get("dir_fd") is not None:  # an open file or folder, whose opening is noted
            return
        of_kind, caller = _asked_by(frame)
        path = os.path.join(_folder(), path)
        if caller.partition(".")[0] in _OURS or self._is_constant(path):
            return
        if name == "access":
            question = f"access {args[1] if len(args) > 1 else kwargs.get('mode')}"
        else:
            follows = name == "stat" and kwargs.get("follow_symlinks", True)
            question = ("kind" if of_kind else "state") + ("" if follows else " of link")
        if (path, question) not in self._found:
            self._found[path, question] = answer(path, question)

    def _is_constant(self, path: str) -> bool:
        """Whether the path belongs to the system or the interpreter. What is installed has its own check."""
        if path.startswith(VOLATILE):
            return True
        return "/../" not in path and (is_installed(path) or path.startswith(self._standard))


def installed_sources(known: Collection[str] = ()) -> frozenset[FileQuestion]:
    """The installed files of the modules here, apart from known ones."""
    spaces = [namespace(module) for name, module in _modules().items() if name not in known]
    files = {file for space in spaces if type(file := space.get("__file__")) is str and is_installed(file)}
    return frozenset(FileQuestion(file, "source", answer(file, "source")) for file in files)


def _modules() -> dict[str, Any]:
    """The modules that are loaded here, and those that wait for their import."""
    held = adoption.held()
    return {**(held.warmed if held is not None else {}), **MODULES}


def _groups_with(function: Any) -> list[set[Any]]:
    groups: list[set[Any]] = [getattr(MODULES["os"], name) for name in _GROUPS]
    return [group for group in groups if function in group]


def _text(path: Any) -> str:
    """A path as text; "" for a descriptor, or for what is no path."""
    try:
        return "" if isinstance(path, int) else os.fsdecode(path)
    except TypeError:
        return ""


def _folder() -> str:
    try:
        return os.getcwd()
    except OSError:
        return ""


def _asked_by(frame: FrameType | None) -> tuple[bool, str]:
    """Whether only the kind of a file is asked for, and the module that asks."""
    of_kind = False
    while frame is not None:
        name = frame.f_globals.get("__name__")
        if name not in _BETWEEN:
            return of_kind, name if isinstance(name, str) else ""
        of_kind = of_kind or frame.f_code.co_name in _OF_KIND
        frame = frame.f_back
    return of_kind, ""


#: The questions of this process, and of those that it was forked from.
ASKING: Final = Asking()
