"""Imports first-party modules into the fork points of a watch, as a collection would, or refuses them with a reason."""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from pytest_hotreload._native import observe_for
from pytest_hotreload.compat import pytest_config, pytest_output, pytest_session
from pytest_hotreload.process import fork_state
from pytest_hotreload.process.living import NativeThreads
from pytest_hotreload.process.template import STARTS_THREAD, import_module
from pytest_hotreload.records.observer import Observer
from pytest_hotreload.watch.protocol import Extend, Inputs
from pytest_hotreload.watch.standby.asking import ASKING
from pytest_hotreload.world import contextlib
from pytest_hotreload_client import own_server


class FirstParty:
    """The first-party modules that the fork points of one configured pytest have loaded."""

    def __init__(self, config: pytest.Config, observer: Observer | None) -> None:
        self.config = config
        self.known: tuple[str, ...] = ()
        self.observer = observer or Observer(config)
        self.warned: list[warnings.WarningMessage] = []
        self.refused: dict[str, str] = {}
        #: File that the fork points loaded or read -> the earliest time of that, in nanoseconds.
        self.held: dict[str, int] = {}

    def hold(self, since_ns: int) -> None:
        """Note that files which are held now, and were not held before, were read after that time."""
        rows = self.observer.peek().rows
        read = [row.subject for row in rows if row.kind in ("read", "update")]
        for file in (*(file for _, file in self.observer.loaded()), *read):
            self.held.setdefault(file, since_ns)

    def extend(self, order: Extend) -> None:
        """Import the modules and test files of the order.

        Files that fail are in ``refused``. This process is then of no use, and another fork point leaves them out.
        """
        self.refused = {}
        with self._as_collected():
            for name, file in order.modules:
                self._import(file, functools.partial(import_module, name))
                if getattr(sys.modules.get(name), "__file__", None) != file:
                    self.refused.setdefault(file, "its import resolves to another file")
            for file in order.tests:
                self._import(
                    file, functools.partial(pytest_session.import_test_file, self.config, Path(file))
                )
        self._refuse_readers(order.written)

    def _import(self, file: str, load: Callable[[], str]) -> None:
        """Import one file with ``load``, and refuse it if that fails or starts a thread.

        Warm modules are already imported, so a new thread comes from their *use*; no fork would have that thread.
        """
        native = NativeThreads()
        asking = observe_for(file)  # otherwise every test file would seem to need the imports of this one
        try:
            why = load()
        finally:
            observe_for(asking)
        if not why and native.started() > 0:
            why = STARTS_THREAD
        if why:
            self.refused[file] = why

    def _refuse_readers(self, written: frozenset[str]) -> None:
        """Refuse files that read a variable which ``pytest_configure`` will write: its value differs in a plain run."""
        if not written:
            return
        for row in self.observer.peek().rows:
            if row.kind == "environ" and row.owner and (row.subject in written or row.subject == "*"):
                self.refused[row.owner] = f"reads {row.subject}, which pytest_configure writes"

    @contextlib.contextmanager
    def _as_collected(self) -> Iterator[None]:
        """Import as in a collection: warnings pass the user's filters and are kept for reruns; output is hidden."""
        with fork_state.output_to_nowhere(), warnings.catch_warnings(record=True) as caught:
            pytest_output.apply_warning_filters(self.config)
            yield
        self.warned += caught or []

    def warn_again(self) -> None:
        """Repeat in a rerun's collection the warnings that plain pytest would have issued there."""
        for caught in self.warned:
            warnings.warn_explicit(
                caught.message, caught.category, caught.filename, caught.lineno, source=caught.source
            )

    def inputs(self) -> Inputs:
        """All files, folders and names that this process has read, listed or asked for since it was configured."""
        seen = self.observer.peek()
        files = {row.subject for row in seen.rows if row.kind in ("read", "update")}
        files |= {module.file for module in seen.modules if module.file}
        files |= set(pytest_config.conftest_files(self.config))
        loaded = self.observer.loaded()  # the only source if nothing is observed
        files |= {file for _, file in loaded}
        files |= set(_packages_above(files))
        asked = [module.name for module in seen.modules] + [name for name, _ in loaded]
        names = {"conftest"} | {part for name in asked for part in name.split(".")}
        return Inputs(
            frozenset(files | set(_ini_files(self.config))),
            frozenset(row.subject for row in seen.rows if row.kind == "list"),
            frozenset(names),
            ASKING.asked(),
        )


def _packages_above(files: Iterable[str]) -> Iterator[str]:
    """The ``__init__.py`` files, up to the first that is missing, by which pytest names a test file or conftest.

    The name decides which folder is put on ``sys.path``.
    """
    folders = {Path(file).parent for file in files if file.endswith(".py")}
    seen: set[Path] = set()
    while folders - seen:
        folder = (folders - seen).pop()
        seen.add(folder)
        yield str(folder / "__init__.py")
        if (folder / "__init__.py").is_file():
            folders.add(folder.parent)


def _ini_files(config: pytest.Config) -> Iterable[str]:
    """The files from which pytest may read its settings, whether they exist or not."""
    yield from (str(config.rootpath / name) for name, _ in own_server.FILES)
    if config.inipath is not None:
        yield str(config.inipath)
