"""The filters that a user sets by keys: path, keyword and marker."""

from __future__ import annotations

from typing import Any

from pytest_hotreload.watch.protocol import Go


class Filters:
    """The chosen filters, and the last ones that pytest accepted."""

    def __init__(self) -> None:
        #: ``chosen``: the filters for the next rerun.
        self.chosen = self._accepted = Go()

    def change(self, name: str, text: str) -> None:
        """Set one filter from the next rerun on. If pytest refuses it, the previous filters apply again."""
        change: dict[str, Any] = {name: text}
        self._choose(self.chosen._replace(**change))

    def clear(self) -> None:
        self._choose(Go())

    def _choose(self, filters: Go) -> None:
        self._accepted, self.chosen = self.chosen, filters

    def accept(self) -> None:
        """Note that pytest ran with the chosen filters."""
        self._accepted = self.chosen

    def refuse(self) -> bool:
        """Go back to the accepted filters after pytest refused to run.

        Returns whether the chosen filters may be the cause, which is so if they differ from the accepted ones.
        """
        refused = self.chosen != self._accepted
        self.chosen = self._accepted
        return refused

    def of(self, go: Go) -> Go:
        """The order ``go`` with the chosen filters."""
        chosen = self.chosen
        return go._replace(keyword=chosen.keyword, marker=chosen.marker, path=chosen.path)
