"""The actions for the keys of a watch."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from pytest_hotreload.compat import pytest_config
from pytest_hotreload.watch import messages, screen
from pytest_hotreload.watch.interfaces import WatchActions
from pytest_hotreload.watch.keyboard import Keyboard
from pytest_hotreload.watch.protocol import Go, both
from pytest_hotreload.watch.requests import RunRequest
from pytest_hotreload.watch.reruns import RerunQueue
from pytest_hotreload.watch.results import Results


class Commands:
    """Maps each key to its action."""

    def __init__(
        self,
        watch: WatchActions,
        reruns: RerunQueue,
        results: Results,
        shown: screen.Screen,
        keyboard: Keyboard,
        config: pytest.Config,
    ) -> None:
        self.watch, self.reruns, self.results, self.screen = watch, reruns, results, shown
        self.keyboard, self.config = keyboard, config
        self._actions: dict[str, Callable[[], None]] = {
            "\n": self._all,
            "\r": self._all,
            "a": self._all,
            "r": self._again,
            "f": self._failing,
            "p": lambda: self._filter("path", "path"),
            "t": lambda: self._filter("keyword", "-k"),
            "m": lambda: self._filter("marker", "-m"),
            "c": self._clear_filters,
            "d": self._debug,
            "v": self._failures,
            "e": lambda: self.screen.lines(messages.reasons(self.reruns.reasons.values())),
            "s": self.reruns.ask_what_runs,
            "P": self._pause,
            "R": lambda: self.watch.renew(messages.ASKED_FOR),
            "h": lambda: self.screen.lines(messages.help_lines(self.screen.width())),
            "q": watch.quit,
        }

    def do(self, key: str) -> None:
        """Perform the action of a key. A key without an action is ignored."""
        action = self._actions.get(key)
        if action is not None:
            action()

    def _all(self) -> None:
        self.watch.ask(RunRequest(Go(), "all"))

    def _again(self) -> None:
        self.watch.ask(self.reruns.last or RunRequest(Go(), "all"))

    def _failing(self) -> None:
        failing = self.results.failing
        if failing:
            files = tuple(sorted(set(failing.values())))
            self.watch.ask(RunRequest(Go(files=files, collect_all=True, nodeids=tuple(failing)), "failing"))
        else:
            self.screen.line(messages.NOTHING_FAILING)

    def _debug(self) -> None:
        failing = self.results.failing
        if failing:
            nodeid, file = list(failing.items())[-1]
            self.watch.ask(
                RunRequest(Go(files=(file,), collect_all=True, nodeids=(nodeid,), debug=True), "debug")
            )
        else:
            self.screen.line(messages.NOTHING_FAILING)

    def _filter(self, name: str, prompt: str) -> None:
        now = getattr(self.reruns.filters.chosen, name)
        if now:
            self.screen.line(messages.filter_now(prompt, now))
        given = self.keyboard.ask(f"{prompt}: ")
        if given is None:
            return
        wrong = self._wrong(name, prompt, given.strip())
        if wrong:
            self.screen.line(messages.filter_refused(wrong), "red")
            return
        self.reruns.filters.change(name, given.strip())
        self._all()

    def _wrong(self, name: str, prompt: str, given: str) -> str:
        """The reason, in words, for which this filter can't be used; or ""."""
        if name == "path":
            known = [os.path.relpath(path, self.config.rootpath) for path in self.results.known]
            return messages.no_such_path(given) if known and not any(given in path for path in known) else ""
        namespace = self.config.known_args_namespace
        first = getattr(namespace, {"keyword": "keyword", "marker": "markexpr"}[name])
        return pytest_config.expression_error(prompt, given) or pytest_config.expression_error(
            prompt, both(first, given)
        )

    def _clear_filters(self) -> None:
        self.reruns.filters.clear()
        files = tuple(sorted(self.results.left_out))
        if files:  # affected by edits, but run with filters or not at all
            self.watch.ask(RunRequest(Go(files=files, collect_all=True), "again"))
        else:
            self.screen.line(messages.WATCHING)

    def _failures(self) -> None:
        texts = [self.results.texts.get(nodeid, "") for nodeid in self.results.failing]
        self.screen.lines(
            "\n\n".join(filter(None, texts)).split("\n") if any(texts) else [messages.NOTHING_FAILING]
        )

    def _pause(self) -> None:
        self.watch.paused = not self.watch.paused
        self.screen.line(messages.PAUSED if self.watch.paused else messages.WATCHING)
