"""Distinguishes installed and standard-library files from those of a project.

``import_answers.py`` has its own implementation, because it runs before any other module of this package may
be imported.
"""

from __future__ import annotations

import site

from pytest_hotreload.world import BUILTINS, os, sysconfig

__builtins__ = BUILTINS

#: The names that installers, Debian's among them, give to their folders, wherever these lie.
_NAMES = {"site-packages", "dist-packages"}


def site_folders() -> list[str]:
    """Return the folders of this interpreter that hold third-party modules."""
    paths = sysconfig.get_paths()
    folders = [paths.get("purelib"), paths.get("platlib")]
    folders += site.getsitepackages() if hasattr(site, "getsitepackages") else []
    if site.ENABLE_USER_SITE:
        folders.append(site.getusersitepackages())
    return sorted({folder for folder in folders if folder})


def standard_folders() -> tuple[str, ...]:
    """Return the folders of the standard library, also under their real paths if links lead there."""
    paths = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")} - {None, ""}
    return tuple(sorted(paths | {os.path.realpath(path) for path in paths}))


_FOLDERS = tuple(folder + os.sep for folder in site_folders())


def is_installed(path: str) -> bool:
    """Return whether a file lies in a folder of installed packages, of this interpreter or another one."""
    return path.startswith(_FOLDERS) or not _NAMES.isdisjoint(path.split(os.sep))
