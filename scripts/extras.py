"""Prints the requirements of pyproject.toml and of the named extras, one per line, without a build.

With ``--only``, the requirements of the extras alone.

Python 3.10 has no ``tomllib``, and this script runs before anything is installed, so pip's own copy of tomli
is used there.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from pathlib import Path
from typing import Any

PYPROJECT = Path(__file__).parent.parent / "pyproject.toml"


def load_toml(path: Path) -> dict[str, Any]:
    return dict(_toml_reader().loads(path.read_text(encoding="utf-8")))


def _toml_reader() -> Any:
    # pytest brings tomli into environments without pip.
    for name in ("tomllib", "pip._vendor.tomli", "tomli"):
        with contextlib.suppress(ImportError):
            return importlib.import_module(name)
    sys.exit("error: this Python can't read TOML; hint: use Python 3.11 or later, or install pip or tomli")


def requirements(extras: list[str], *, only: bool = False) -> list[str]:
    """The project's own requirements first, unless ``only`` those of the extras are wanted.

    The wheel itself is installed without them.
    """
    project = load_toml(PYPROJECT)["project"]
    known: dict[str, list[str]] = project["optional-dependencies"]
    own = [] if only else project["dependencies"]
    return [*own, *(requirement for extra in extras for requirement in known[extra])]


if __name__ == "__main__":
    words = sys.argv[1:]
    print("\n".join(requirements([word for word in words if word != "--only"], only="--only" in words)))
