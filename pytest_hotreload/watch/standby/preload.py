"""First-party modules in the fork points of a watch: imported as a collection would, or refused with a reason."""

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
from pytest_hotreload.process.proc import native_threads
from pytest_hotreload.process.template import import_module
from pytest_hotreload.records.observer import Observer
from pytest_hotreload.watch.protocol import Extend, Inputs
from pytest_hotreload.world import contextlib


class FirstParty:
    """What the fork points of one configured pytest loaded, and how it is told."""

    def __init__(self, config: pytest.Config, observer: Observer | None) -> None:
        self.config = config
        self.known: tuple[str, ...] = ()
        self.observer = observer or Observer(config)
        self.warned: list[warnings.WarningMessage] = []
        self.refused: dict[str, str] = {}
        #: What the fork points loaded or read -> since when they may have, in nanoseconds.
        self.held: dict[str, int] = {}

    def hold(self, since_ns: int) -> None:
        """All that is held now, and was not before, was read after that time."""
        rows = self.observer.peek().rows
        read = [row.subject for row in rows if row.kind in ("read", "update")]
        for file in (*(file for _, file in self.observer.loaded()), *read):
            self.held.setdefault(file, since_ns)

    def extend(self, order: Extend) -> None:
        """Import what was asked for. What fails is told: this process is of no use then, and another leaves it out."""
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
        """A thread of an import that is warm already was *used*: no fork has it."""
        before = native_threads()
        asking = observe_for(file)  # or every test file would be taken to need what is imported for one
        try:
            why = load()
        finally:
            observe_for(asking)
        if not why and native_threads() > before:
            why = "starts a thread while it is imported"
        if why:
            self.refused[file] = why

    def _refuse_readers(self, written: frozenset[str]) -> None:
        """Who read a variable that ``pytest_configure`` has still to write saw another world than in a plain run."""
        if not written:
            return
        for row in self.observer.peek().rows:
            if row.kind == "environ" and row.owner and (row.subject in written or row.subject == "*"):
                self.refused[row.owner] = f"reads {row.subject}, which pytest_configure writes"

    @contextlib.contextmanager
    def _as_collected(self) -> Iterator[None]:
        """As in a collection: warnings by the user's filters, kept for the reruns; output unseen."""
        with fork_state.output_to_nowhere(), warnings.catch_warnings(record=True) as caught:
            pytest_output.apply_warning_filters(self.config)
            yield
        self.warned += caught or []

    def warn_again(self) -> None:
        """In a rerun's collection: what plain pytest would have been warned of there."""
        for caught in self.warned:
            warnings.warn_explicit(
                caught.message, caught.category, caught.filename, caught.lineno, source=caught.source
            )

    def inputs(self) -> Inputs:
        """All that this process read, listed and asked for since it was configured."""
        seen = self.observer.peek()
        files = {row.subject for row in seen.rows if row.kind in ("read", "update")}
        files |= {module.file for module in seen.modules if module.file}
        files |= set(pytest_config.conftest_files(self.config))
        loaded = self.observer.loaded()  # all that is known where nobody observes
        files |= {file for _, file in loaded}
        asked = [module.name for module in seen.modules] + [name for name, _ in loaded]
        names = {"conftest"} | {part for name in asked for part in name.split(".")}
        return Inputs(
            frozenset(files | set(_ini_files(self.config))),
            frozenset(row.subject for row in seen.rows if row.kind == "list"),
            frozenset(names),
        )


def _ini_files(config: pytest.Config) -> Iterable[str]:
    """What pytest would read its settings from, whether it is there or not."""
    names = (
        "pytest.toml",
        ".pytest.toml",
        "pytest.ini",
        ".pytest.ini",
        "pyproject.toml",
        "tox.ini",
        "setup.cfg",
    )
    yield from (str(config.rootpath / name) for name in names)
    if config.inipath is not None:
        yield str(config.inipath)
