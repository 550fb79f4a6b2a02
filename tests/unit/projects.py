"""Small projects, as the Rust half reads them."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pytest_hotreload import _native

Tree = Callable[[Mapping[str, str]], None]


class Scanned:
    """A scanned project whose paths are relative to the root."""

    def __init__(self, root: Path, tests: list[str], **options: Any) -> None:
        self.root = root
        given: dict[str, Any] = {
            "sys_path": sys.path[1:],
            "stdlib": sys.stdlib_module_names,
            "site_dirs": [sysconfig.get_path("purelib")],
        }
        self.native = _native.Project(str(root), **{**given, **options})
        assert self.native.scan([str(root / test) for test in tests]) == []

    def closure(self, test: str) -> list[str]:
        return [os.path.relpath(path, self.root) for path in self.native.closure(str(self.root / test))]

    def third_party(self, test: str) -> tuple[list[str], list[str]]:
        return self.native.third_party(str(self.root / test))

    def shared(self, *tests: str, minimum: int = 2) -> list[str]:
        return self.native.shared([str(self.root / test) for test in tests], minimum)

    def quarantine(self, *tests: str) -> dict[str, str]:
        return self.native.quarantine([str(self.root / test) for test in tests])
