"""Recognises installed files in every place."""

from __future__ import annotations

import os
import site
import sysconfig

import pytest

from pytest_hotreload.process import installed


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/home/me/project/tests/test_a.py", False),
        ("/home/me/project/.venv/lib/python3.12/site-packages/numpy/__init__.py", True),
        ("/usr/lib/python3/dist-packages/yaml/__init__.py", True),
        ("/home/me/.local/lib/python3.12/site-packages/a.py", True),
        ("/home/me/my-site-packages/test_a.py", False),
        ("/home/me/project/site-packages.py", False),
        (os.__file__, False),
        (pytest.__file__, True),
        ("", False),
    ],
)
def test_a_file_is_installed(path: str, expected: bool) -> None:
    assert installed.is_installed(path) is expected


def test_a_folder_of_any_name_counts_if_it_is_the_interpreters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "_FOLDERS", ("/opt/packages/",))
    assert installed.is_installed("/opt/packages/a.py")
    assert not installed.is_installed("/opt/packages-of-mine/a.py")


def test_folders_of_the_user_count_where_they_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site, "getusersitepackages", lambda: "/home/me/packages")
    for enabled in (True, False):
        monkeypatch.setattr(site, "ENABLE_USER_SITE", enabled)
        assert ("/home/me/packages" in installed.site_folders()) is enabled
    assert sysconfig.get_path("purelib") in installed.site_folders()


def test_the_standard_library_is_where_os_is() -> None:
    assert os.__file__.startswith(tuple(folder + os.sep for folder in installed.standard_folders()))
