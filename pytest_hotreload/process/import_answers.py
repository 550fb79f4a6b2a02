"""The answers to questions of modules during their import: variables, files, folders, and the places of modules.

``import_inputs.py`` records an answer in the template, and ``adoption.py`` compares it with the one in a run. The
program of a watch's template executes this file before pytest is imported, so only the standard library is imported.
"""

from __future__ import annotations

import site
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from importlib.machinery import PathFinder
from typing import Any, NamedTuple

from pytest_hotreload.world import BUILTINS, os

__builtins__ = BUILTINS

#: Packages whose own files count as installed wherever they lie: a development install of pytest or of
#: hotreload.
OURS = ("pytest", "_pytest", "pluggy", "iniconfig", "pytest_hotreload", "pytest_hotreload_client")
_DISTRIBUTIONS = (".dist-info", ".egg-info", ".egg-link", ".egg")

#: Variables of numeric and other native libraries, by their prefixes (docs/design/imports.md).
_READ_BY_NATIVE_CODE = (
    b"OMP_", b"GOMP_", b"KMP_", b"MKL_", b"OPENBLAS_", b"GOTO_", b"BLIS_", b"NUMEXPR_", b"NPY_", b"NUMPY_",
    b"CUDA_", b"POLARS_", b"RAYON_", b"XLA_", b"TF_", b"GRPC_", b"NUMBA_", b"ARROW_", b"HDF5_",
)  # fmt: skip
#: Variables that are ignored when copies of the environment are compared: every shell and every test process
#: has its own values.
_NEUTRAL = frozenset(
    [b"PWD", b"OLDPWD", b"SHLVL", b"_", b"COLUMNS", b"LINES", b"PYTEST_CURRENT_TEST", b"PYTEST_VERSION"]
)
_OUR_VARIABLES = (b"PYTEST_XDIST_", b"PYTEST_HOTRELOAD_")


class Event(NamedTuple):
    """An input that a module read, with its value. Events are numbered in the order in which they occurred.

    The kind "set" is a change of a variable; its answer is the pair of the values before and after.
    """

    order: int
    kind: str
    subject: Any
    answer: Any


State = object

_PLAIN_STAT, _PLAIN_LISTDIR, _PLAIN_GETCWD = os.stat, os.listdir, os.getcwd


def state(name: str) -> State:
    """Return a value that changes with the content of a file, "folder" for a folder, or None if nothing is there."""
    try:
        found = _PLAIN_STAT(name)
    except (OSError, ValueError):
        return None
    if found.st_mode & 0o170000 == 0o040000:
        return "folder"
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


def listing(name: str, kind: str) -> State:
    """Return the names in a folder, without hidden ones and ``__pycache__``.

    For the kind "distributions", only the names of distributions are returned.
    """
    names = names_in(name)
    if kind == "distributions":
        return tuple(sorted(each for each in names if each.endswith(_DISTRIBUTIONS)))
    return tuple(sorted(each for each in names if not each.startswith(".") and each != "__pycache__"))


def native_variables(variables: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """Return the variables that native code reads without being observed."""
    return {key: value for key, value in variables.items() if key.startswith(_READ_BY_NATIVE_CODE)}


def shared_variables(variables: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """Return the variables by which copies of the environment are compared."""
    return {
        key: value
        for key, value in variables.items()
        if key not in _NEUTRAL and not key.startswith(_OUR_VARIABLES)
    }


def state_of_folder(name: str) -> State:
    """Return a value that changes when an entry is added or removed, or None if there is no folder."""
    try:
        return _PLAIN_STAT(name).st_mtime_ns
    except OSError:
        return None


def names_in(name: str) -> list[str]:
    """Return the entries of a folder."""
    try:
        return _PLAIN_LISTDIR(name)
    except OSError:
        return []


def folder() -> str:
    """Return the current folder, or "" if it was deleted."""
    try:
        return _PLAIN_GETCWD()
    except OSError:
        return ""


def place_of(spec: Any) -> Any:
    """Return the place that a look-up found, in a comparable form."""
    if spec is None:
        return None
    return spec.origin, tuple(spec.submodule_search_locations or ())


def installed_folders() -> tuple[str, ...]:
    """Return the folders of installed and standard-library modules, each with a separator at the end."""
    paths = sysconfig.get_paths()
    found = [paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    found += site.getsitepackages() if hasattr(site, "getsitepackages") else []
    found += [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
    found += [entry for entry in sys.path if entry.endswith(".zip")]
    for name in OURS:
        spec = PathFinder.find_spec(name)
        if spec is not None and spec.origin:
            found.append(os.path.dirname(spec.origin))
    return tuple({each + os.sep for path in found if path for each in (path, os.path.realpath(path))})


def is_below(path: str, folders: tuple[str, ...]) -> bool:
    """Return whether a file is installed. Any ``site-packages`` counts, wherever it lies."""
    parts = path.split(os.sep)
    return path.startswith(folders) or "site-packages" in parts or "dist-packages" in parts


def is_inside(name: str, packages: Iterable[str]) -> bool:
    """Return whether a module is one of these packages, or below one of them."""
    return any(name == each or name.startswith(each + ".") for each in packages)


def variables() -> dict[bytes, bytes]:
    """Return the environment as ``os`` stores it; reading it here is not recorded."""
    found: dict[bytes, bytes] = os.environ._data  # type: ignore[attr-defined]
    return found


def set_variable(wanted: dict[bytes, bytes], name: bytes, value: bytes | None) -> None:
    """Set a variable in a copy of the environment; None removes it."""
    if value is None:
        wanted.pop(name, None)
    else:
        wanted[name] = value


def set_variables(wanted: dict[bytes, bytes]) -> None:
    """Change the environment of this process into the given one."""
    present = variables()
    for key in [key for key in present if key not in wanted]:
        os.environ.pop(os.fsdecode(key), None)
    for key, value in wanted.items():
        if present.get(key) != value:
            os.environ[os.fsdecode(key)] = os.fsdecode(value)


class Present:
    """The inputs that a module would read if it were imported now."""

    def __init__(self) -> None:
        self._variables = variables()
        self._is_copied = False

    def differs(self, event: Event) -> str:
        """Return how an input differs from the recorded one, in words; or ""."""
        if event.kind == "set":
            self._change(event)
            return ""
        if self._answer(event) == event.answer:
            return ""
        if event.kind == "environ":
            return f"{os.fsdecode(event.subject)} {_had(event.answer)}"
        return _DIFFERENCES[event.kind].format(event.subject)

    def _change(self, event: Event) -> None:
        if not self._is_copied:
            self._variables, self._is_copied = dict(self._variables), True
        set_variable(self._variables, event.subject, event.answer[1])

    def _answer(self, event: Event) -> Any:
        if event.kind == "environ":
            return self._variables.get(event.subject)
        if event.kind == "native":
            return native_variables(self._variables)
        if event.kind == "environment":
            return shared_variables(self._variables)
        if event.kind == "folder":
            return folder()
        return state(event.subject) if event.kind == "file" else listing(event.subject, event.kind)


_DIFFERENCES = {
    "native": "an environment variable that native code reads had another value",
    "environment": "the environment variables were different",
    "folder": "the current folder was different",
    "file": "{} was different",
    "listing": "{} had other entries",
    "distributions": "{} had other distributions",
}


def _had(value: bytes | None) -> str:
    return "was not set" if value is None else "had another value"
