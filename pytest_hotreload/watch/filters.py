"""The filters that a user sets by keys: of paths, keywords and markers."""

from __future__ import annotations

from typing import Any

from pytest_hotreload.watch.protocol import Go


class Filters:
    """``chosen``: for the next rerun."""

    def __init__(self) -> None:
        self.chosen = self._accepted = Go()

    def change(self, name: str, text: str) -> None:
        """From the next rerun on, unless pytest refuses them: then those of before count again."""
        change: dict[str, Any] = {name: text}
        self._choose(self.chosen._replace(**change))

    def clear(self) -> None:
        self._choose(Go())

    def _choose(self, filters: Go) -> None:
        self._accepted, self.chosen = self.chosen, filters

    def accept(self) -> None:
        """pytest ran with them."""
        self._accepted = self.chosen

    def refuse(self) -> bool:
        """pytest can't be used so. Whether it may be due to them: then those of before count again."""
        refused = self.chosen != self._accepted
        self.chosen = self._accepted
        return refused

    def of(self, go: Go) -> Go:
        """The request with them."""
        chosen = self.chosen
        return go._replace(keyword=chosen.keyword, marker=chosen.marker, path=chosen.path)
