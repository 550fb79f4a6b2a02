"""Reads xdist's ``--tx``: the specifications of hosts, and options that can't be combined with hosts."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pytest_hotreload.usage import usage_error

#: The variable that names the descriptors that a host's pytest inherits: the lifeline and its end of the
#: socket.
HOST_ENVIRONMENT: Final = "PYTEST_HOTRELOAD_HOST"
#: Keys of execnet's specifications that are supported, besides ``env:NAME``.
_KEYS: Final = ("popen", "ssh", "ssh_config", "vagrant_ssh", "python", "chdir", "nice", "id")
_EXAMPLE: Final = "for example --tx popen --tx ssh=user@host//python=python3//chdir=/path/to/checkout"
_BOOT: Final = "from pytest_hotreload.hosts.start import main; main({argv!r})"
#: The largest number of hosts; a larger number is a typing error.
_MOST: Final = 512
#: Variables that determine how pytest and Python behave, and that would be missing on another machine.
_VARIABLES: Final = (
    "PYTEST_ADDOPTS",
    "PYTEST_PLUGINS",
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD",
    "PYTHONHASHSEED",
    "CI",
    "BUILD_NUMBER",
    "COLUMNS",
)
#: (attribute of the namespace, option) -> the alternative to the option.
_REFUSED: Final = {
    ("usepdb", "--pdb"): "a host has no terminal; debug without --tx",
    ("trace", "--trace"): "a host has no terminal; debug without --tx",
    ("hotreload_watch", "--watch"): "watch without --tx",
    ("hotreload_report", "--hotreload-report"): "write the report in a run without --tx",
    ("hotreload_trace", "--hotreload-trace"): "write the trace in a run without --tx",
    ("px", "--px"): "let ssh connect through another machine (ProxyJump in its configuration)",
    ("rsyncdir", "--rsyncdir"): "make a checkout on each host, and name its folder with chdir=",
}


@dataclass(frozen=True)
class Spec:
    """The specification of one host."""

    name: str
    #: The parts of the specification, without ``chdir``.
    keys: Mapping[str, str | bool]
    #: The folder in which the host's pytest starts: absolute on this machine, elsewhere as written (relative
    #: to the user's home).
    folder: str
    #: Whether the host is on this machine.
    local: bool

    def xspec(self) -> str:
        """Return the specification for execnet.

        Our agent changes to the folder, because execnet would create a missing folder.
        """
        return "//".join(key if value is True else f"{key}={value}" for key, value in self.keys.items())


def read(namespace: Any, folder: Path) -> tuple[Spec, ...]:
    """Read the hosts; none without ``--tx``. ``folder``: where pytest was called. Raises :class:`pytest.UsageError`."""
    asked: Sequence[str] = getattr(namespace, "tx", None) or ()
    if not asked:
        return ()
    _refuse(namespace)
    texts = [text for each in asked for text in _repeated(each)]
    if len(texts) > _MOST:
        raise usage_error(f"--tx names {len(texts)} hosts, more than the limit of {_MOST}", hint=_EXAMPLE)
    if not texts:
        raise usage_error("--tx names no host", hint=_EXAMPLE)
    specs = [_spec(text, folder) for text in texts]
    _check_coverage(namespace, specs, str(folder))
    names = [spec.name for spec in specs]
    counted: dict[str, int] = {}
    for number, spec in enumerate(specs):
        counted[spec.name] = counted.get(spec.name, 0) + 1
        if names.count(spec.name) > 1:
            specs[number] = Spec(f"{spec.name} #{counted[spec.name]}", spec.keys, spec.folder, spec.local)
    return tuple(specs)


def _refuse(namespace: Any) -> None:
    for (attribute, option), instead in _REFUSED.items():
        if getattr(namespace, attribute, None):
            raise usage_error(f"{option} can't be used with hosts (--tx)", hint=instead)
    if getattr(namespace, "dist", "no") == "each":
        raise usage_error(
            "--dist=each runs each test on each host, but --hotreload runs each file on one host",
            hint="run pytest once for each host",
        )
    if getattr(namespace, "hotreload_isolate", "file") == "worker":
        raise usage_error(
            "--hotreload-isolate=worker can't be used with hosts (--tx)", hint="leave one of the two out"
        )


def _check_coverage(namespace: Any, specs: Sequence[Spec], folder: str) -> None:
    """Reject hosts with another folder: coverage data from hosts comes with their reports, and is matched by path."""
    if not getattr(namespace, "cov_source", None) or getattr(namespace, "no_cov", False):
        return
    for spec in specs:
        if spec.folder != folder:
            raise usage_error(
                f"--cov measures by path, but the host {spec.name} has the files in another folder ({spec.folder})",
                hint=f"put the files in {folder} on the host too, or measure in a run without --tx",
            )


def _repeated(text: str) -> list[str]:
    """Expand a repeated specification: ``3*popen`` stands for three hosts."""
    count, star, rest = text.partition("*")
    return [rest] * int(count) if star and count.isdigit() else [text]


def _spec(text: str, folder: Path) -> Spec:
    keys: dict[str, str | bool] = {}
    for part in text.split("//"):
        key, equals, value = part.partition("=")
        if key in keys or not (key in _KEYS or key.startswith("env:")):
            raise usage_error(f"--tx {text}: {_wrong(key, doubled=key in keys)}", hint=_EXAMPLE)
        keys[key] = value if equals else True
    kinds = [kind for kind in ("popen", "ssh", "vagrant_ssh") if keys.get(kind)]
    if len(kinds) != 1 or (kinds[0] != "popen" and keys[kinds[0]] is True):
        raise usage_error(f"--tx {text} is neither popen nor ssh=HOST", hint=_EXAMPLE)
    place, local = keys.pop("chdir", ""), kinds == ["popen"]
    keys.pop("id", None)
    where = place if isinstance(place, str) and place else str(folder)
    name = "popen" if local else f"ssh={keys[kinds[0]]}"
    for key, said in (("python", keys.get("python")), ("chdir", place)):
        name += f"//{key}={said}" if said and local else ""
    return Spec(name, keys, os.path.join(folder, where) if local else where, local)  # noqa: PTH118


def _wrong(key: str, *, doubled: bool) -> str:
    if doubled:
        return f"{key} is given twice"
    if key == "socket":
        return "socket servers are not supported, because anyone who can reach one can use it"
    return f"{key!r} is not a valid part of a host specification"


def order(
    spec: Spec,
    folder: Path,
    arguments: Sequence[str],
    flags: Sequence[str],
    environment: Mapping[str, str],
) -> dict[str, Any]:
    """Return the instructions for a host's agent.

    ``folder``: where pytest was called. ``arguments``: its arguments.
    """
    here = sys.path[0] if sys.path else ""
    return {
        "folder": spec.folder,
        "flags": list(flags),
        "folder_first": here in ("", str(folder)),
        "code": _BOOT.format(argv=[sys.argv[0], *_moved(arguments, str(folder))]),
        "variable": HOST_ENVIRONMENT,
        "one_stream": _one_stream(),
        "environment": {name: environment[name] for name in _VARIABLES if name in environment},
    }


def _one_stream() -> bool:
    """Return whether output that bypasses the capture goes to one stream and keeps its order, as on a terminal."""
    try:
        return os.path.sameopenfile(1, 2)
    except OSError:
        return True


def _moved(arguments: Sequence[str], folder: str) -> list[str]:
    """Make absolute paths below the folder relative, since a host's checkout may lie elsewhere."""
    moved = []
    for argument in arguments:
        option, equals, value = argument.partition("=") if argument.startswith("-") else ("", "", argument)
        if value == folder or value.startswith(folder + os.sep):
            value = os.path.relpath(value, folder)
        moved.append(option + equals + value)
    return moved
