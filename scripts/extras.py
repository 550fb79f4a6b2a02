"""Print the requirements of pyproject.toml and those of the named extras, one a line, without building the project.

Python 3.10 has no ``tomllib`` and the tools must install before anything else is there, so pip's own copy of
tomli serves where the standard library has none.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

PYPROJECT = Path(__file__).parent.parent / "pyproject.toml"


def load_toml(path: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        from pip._vendor import tomli as tomllib
    return tomllib.loads(path.read_text(encoding="utf-8"))


def requirements(extras: list[str]) -> list[str]:
    """The project's own first: the wheel is installed without asking for them again."""
    project = load_toml(PYPROJECT)["project"]
    known: dict[str, list[str]] = project["optional-dependencies"]
    return [*project["dependencies"], *(requirement for extra in extras for requirement in known[extra])]


if __name__ == "__main__":
    print("\n".join(requirements(sys.argv[1:])))
