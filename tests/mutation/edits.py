"""Random edits of a generated project, each of a kind that some tool's cache has missed."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.mutation import caches
from tests.mutation.project import Project, files_of

#: A date long before any run: content with an old time must still count.
_LONG_AGO = 1_000_000_000


@dataclass
class Editor:
    """``mode``: the value of the environment variable that modules read."""

    project: Project
    mode: str = ""
    undo: Callable[[], None] | None = None

    @property
    def root(self) -> Path:
        return self.project.root

    def edit(self) -> str:
        """Do one; returns its kind."""
        random = self.project.random
        if self.undo is not None and random.random() < 0.4:
            undo, self.undo = self.undo, None
            undo()
            return "restore"
        kinds: list[Callable[[], str]] = [
            self.constant, self.constant, self.constant, self.rewrite_module, self.rewrite_test, self.conftest,
            self.data, self.delete_data, self.create_data, self.same_size, self.old_time, self.touch,
            self.optional, self.shadow, self.to_package, self.to_module, self.rename, self.environment,
            self.new_test, self.package_init, self.delete_module,
            self.data, self.data, self.beside, self.beside, self.absent, self.version, self.link, self.environment,
        ]  # fmt: skip
        return random.choice(kinds)()

    # -- helpers -------------------------------------------------------------------------------------

    def keep(self, *names: str) -> None:
        """The next restore puts these back as they are now."""
        before = {name: self.read(name) for name in names}

        def undo() -> None:
            for name, content in before.items():
                path = self.root / name
                if content is None:
                    path.unlink(missing_ok=True)
                else:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(content)

        self.undo = undo

    def read(self, name: str) -> bytes | None:
        path = self.root / name
        return path.read_bytes() if path.is_file() else None

    def some(self, pattern: str) -> str | None:
        found = [name for name in files_of(self.root) if re.fullmatch(pattern, name)]
        return self.project.random.choice(found) if found else None

    def change_number(self, name: str) -> None:
        """Another constant of the same length, so that the size stays."""
        text = (self.root / name).read_text()
        numbers = list(re.finditer(r"(?<== )\d+", text)) or list(re.finditer(r"\d+", text))
        if not numbers:
            (self.root / name).write_text(text + "\n# changed\n")
            return
        found = self.project.random.choice(numbers)
        length = len(found.group())
        new = str((int(found.group()) + self.project.random.randrange(1, 9)) % 10**length).rjust(length, "1")
        (self.root / name).write_text(text[: found.start()] + new + text[found.end() :])

    # -- kinds ---------------------------------------------------------------------------------------

    def constant(self) -> str:
        name = self.some(r"(src|tests|more|\.\./lib)/.*\.py")
        if name:
            self.keep(name)
            self.change_number(name)
        return "content"

    def rewrite_module(self) -> str:
        module = self.project.random.choice(self.project.modules)
        path = self.project.path_of(module)
        if self.read(path) is not None:
            self.keep(path)
            self.project.write_module(module)
        return "rewrite"

    def rewrite_test(self) -> str:
        name = self.some(r"tests/.*test_\w+\.py")
        if name:
            self.keep(name)
            self.project.write_test(name)
        return "test"

    def conftest(self) -> str:
        name = self.project.random.choice(["tests/conftest.py", "tests/db/conftest.py"])
        self.keep(name)
        self.project.write_conftest(name)
        return "conftest"

    def data(self) -> str:
        name = self.some(r"data/.*\.txt")
        if name:
            self.keep(name)
            (self.root / name).write_text(str(self.project.number()))
        return "data"

    def delete_data(self) -> str:
        name = self.some(r"data/.*\.txt")
        if name:
            self.keep(name)
            (self.root / name).unlink()
        return "delete data"

    def create_data(self) -> str:
        name = f"data/{self.project.random.choice([*self.project.data, 'extra.txt'])}"
        if self.read(name) is None:
            self.keep(name)
            self.project.write(name, str(self.project.number()))
        return "create data"

    def same_size(self) -> str:
        name = self.some(r"src/.*\.py")
        if name:
            self.keep(name)
            before = (self.root / name).stat()
            self.change_number(name)
            os.utime(self.root / name, ns=(before.st_atime_ns, before.st_mtime_ns))
        return "same size, same time"

    def old_time(self) -> str:
        name = self.some(r"(src|data)/.*\.(py|txt)")
        if name:
            self.keep(name)
            self.change_number(name)
            os.utime(self.root / name, (_LONG_AGO, _LONG_AGO))
        return "old time"

    def touch(self) -> str:
        for name in files_of(self.root):
            os.utime(self.root / name, (time.time(), time.time()))
        return "touch"

    def optional(self) -> str:
        """The module that a ``try: import …_fast`` looks for."""
        module = self.project.random.choice(self.project.modules)
        path = self.project.path_of(module + "_fast")
        self.keep(path)
        if self.read(path) is None:
            self.project.write_module(module, path)
        else:
            (self.root / path).unlink()
        return "optional module"

    def shadow(self) -> str:
        """A module that comes before another of the same name on the search path."""
        paths = ["tests/helper.py", "helper.py"] + ["tests/db/helper.py"] * self.project.leaves_state
        path = self.project.random.choice(paths)
        self.keep(path)
        if self.read(path) is None:
            self.project.write_module("helper", path)
        else:
            (self.root / path).unlink()
        return "shadow"

    def to_package(self) -> str:
        path = self.some(r"src/app/m\d\.py")
        if path:
            inside = path.replace(".py", "/__init__.py")
            self.keep(path, inside)
            (self.root / inside).parent.mkdir(exist_ok=True)
            shutil.move(self.root / path, self.root / inside)
            self.change_number(inside)
        return "module to package"

    def to_module(self) -> str:
        path = self.some(r"src/app/m\d/__init__\.py")
        if path:
            outside = path.replace("/__init__.py", ".py")
            self.keep(path, outside)
            shutil.move(self.root / path, self.root / outside)
            shutil.rmtree((self.root / path).parent)
        return "package to module"

    def rename(self) -> str:
        path = self.some(r"src/(app|space)/.*\.py")
        if path and not path.endswith("__init__.py"):
            new = path.replace(".py", "_moved.py")
            self.keep(path, new)
            shutil.move(self.root / path, self.root / new)
        return "rename"

    def delete_module(self) -> str:
        path = self.some(r"src/.*\w\d\.py")
        if path:
            self.keep(path)
            (self.root / path).unlink()
        return "delete module"

    def environment(self) -> str:
        self.mode = self.project.random.choice(["", "a", "ab", "abcd"])
        return "environment"

    def new_test(self) -> str:
        name = self.project.random.choice(["tests/test_new.py", "tests/db/test_new_too.py"])
        self.keep(name)
        if self.read(name) is None:
            self.project.write_test(name)
        else:
            (self.root / name).unlink()
        return "test file comes or goes"

    def beside(self) -> str:
        """A module of a root that is reached by a path with ``..`` in it."""
        name = self.some(r"(more|\.\./lib)/.*\.py")
        if name:
            self.keep(name)
            self.change_number(name)
        return "beside the root"

    def absent(self) -> str:
        """What ``find_spec`` looks for: a module, or a folder that would do for one."""
        name = self.project.random.choice(["src/absent.py", "../lib/absent.py", "more/absent/part.py"])
        self.keep(name)
        if self.read(name) is None:
            self.project.write(name, "")
        else:
            (self.root / name).unlink()
        if name.endswith("part.py") and self.read(name) is None:
            (self.root / name).parent.rmdir()
        return "what find_spec looks for"

    def version(self) -> str:
        name = "src/thing.egg-info/PKG-INFO"
        self.keep(name)
        (self.root / name).write_text(caches.metadata(self.project.random.randrange(10)))
        return "metadata"

    def link(self) -> str:
        path = self.root / "data/link"
        path.unlink()
        path.symlink_to(f"d{self.project.random.randrange(3)}.txt")
        return "link"

    def package_init(self) -> str:
        name = self.project.random.choice(["src/app/__init__.py", "src/app/sub/__init__.py"])
        self.keep(name)
        (self.root / name).write_text(f"KIND = {self.project.number()}\n")
        return "package"
