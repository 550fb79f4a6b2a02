"""Runs pytest in this process to answer a question.

Its output is held back, and shown only without an answer.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple, TextIO

import pytest

from pytest_hotreload._native import flush_c_stdio
from pytest_hotreload.compat import pytest_config


class Heard(NamedTuple):
    """The output and the exit status of a pytest run."""

    status: int
    out: bytes
    err: bytes

    def show(self) -> int:
        """Print the output to the original streams, and return the exit status."""
        for stream, text in ((sys.stdout, self.out), (sys.stderr, self.err)):
            stream.flush()
            stream.buffer.write(text)
            stream.flush()
        return self.status


def ask(plugin: object, arguments: Sequence[str]) -> Heard:
    """Run pytest with a plugin that finds the answer, and return its output."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        with _kept_back(sys.stdout, 1, out), _kept_back(sys.stderr, 2, err):
            status = _main(plugin, arguments)
        return Heard(status, _content(out), _content(err))


def _main(plugin: object, arguments: Sequence[str]) -> int:
    try:
        return int(pytest.main(list(arguments), plugins=[plugin]))
    except SystemExit as error:  # raised by a conftest
        return error.code if isinstance(error.code, int) else 1


@contextlib.contextmanager
def _kept_back(stream: TextIO, descriptor: int, file: IO[bytes]) -> Iterator[None]:
    """Redirect the descriptor to a file, because imported code may write to it in any way."""
    stream.flush()
    kept = os.dup(descriptor)
    os.dup2(file.fileno(), descriptor)
    try:
        yield
    finally:
        stream.flush()
        flush_c_stdio()
        os.dup2(kept, descriptor)
        os.close(kept)


def _content(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()


class CacheLocation(NamedTuple):
    """The root of a project and the folder of its records."""

    root: Path
    #: The folder in which records are, if there are any; None if pytest's cache is turned off.
    folder: Path | None


def place(arguments: Sequence[str], *, make: bool = False) -> CacheLocation | Heard:
    """Find the root and the cache of the project in the current folder. Runs no code of the project.

    ``make`` creates the cache if there is none, and may raise OSError.
    """
    finder = _PlaceFinder(make)
    with contextlib.suppress(_Found):
        return ask(finder, arguments)
    if finder.refused is not None:
        raise finder.refused
    return finder.places[0]


class _Found(BaseException):
    """Ends pytest early. A BaseException, so that no ``except Exception`` stops it."""


class _PlaceFinder:
    def __init__(self, make: bool) -> None:
        self.places: list[CacheLocation] = []
        self.refused: OSError | None = None
        self._make = make

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_load_initial_conftests(self, early_config: pytest.Config) -> Generator[None, object, object]:
        """Find the folder in the first hook that knows the ini; the first conftest is loaded after it."""
        folder = _records_folder(early_config)
        try:
            if folder is not None and self._make:
                folder = pytest_config.make_cache_folder(early_config, folder.name)
        except OSError as error:
            self.refused = error
        self.places.append(CacheLocation(early_config.rootpath, folder))
        if self.places:
            raise _Found
        return (yield)


def _records_folder(config: pytest.Config) -> Path | None:
    """The folder that ``Cache.mkdir("hotreload")`` creates."""
    if not config.pluginmanager.hasplugin("cacheprovider"):
        return None
    return pytest_config.cache_folder(config) / "d" / "hotreload"
