"""Edits of single functions in the projects of ``functions.py``."""

from __future__ import annotations

import re
from collections.abc import Callable

from tests.mutation.edits import Editor


class FunctionEditor(Editor):
    """Edits single functions."""

    def edit(self) -> str:
        random = self.project.random
        if self.undo is not None and random.random() < 0.3:
            undo, self.undo = self.undo, None
            undo()
            return "restore"
        kinds: list[Callable[[str, str], tuple[str, str]]] = [
            *[self.number] * 12, self.raising, self.comment, self.layout, self.docstring, self.default,
            self.added, self.swapped, self.nested, self.generator, self.global_name,
        ]  # fmt: skip
        name = self.some(r"(src/app|tests)/\w+\.py")
        if name is None:
            return "nothing"
        self.keep(name)
        text = (self.root / name).read_text()
        kind, changed = random.choice(kinds)(name, text)
        (self.root / name).write_text(changed)
        return kind

    def _lines(self, text: str, pattern: str) -> list[int]:
        return [at for at, line in enumerate(text.split("\n")) if re.search(pattern, line)]

    def _at(self, text: str, pattern: str, change: Callable[[str], str]) -> str:
        found = self._lines(text, pattern)
        lines = text.split("\n")
        if found:
            at = self.project.random.choice(found)
            lines[at] = change(lines[at])
        return "\n".join(lines)

    def number(self, _name: str, text: str) -> tuple[str, str]:
        def change(line: str) -> str:
            found = self.project.random.choice(list(re.finditer(r"(?<![\w.\"'-])\d+\b", line)))
            new = (int(found.group()) + self.project.random.randrange(1, 9)) % 10
            return line[: found.start()] + str(new) + line[found.end() :]

        return "number", self._at(text, r"(?<![\w.\"'-])\d+\b", change)

    def raising(self, _name: str, text: str) -> tuple[str, str]:
        def change(line: str) -> str:
            space = line[: len(line) - len(line.lstrip())]
            return f"{space}if {self.project.random.randrange(2)}: raise ValueError(3)\n{line}"

        return "raise", self._at(text, r"^\s+return ", change)

    def comment(self, _name: str, text: str) -> tuple[str, str]:
        return "comment", self._at(text, r"^(    )?(def|class) ", lambda line: f"# {len(text)}\n\n{line}")

    def layout(self, _name: str, text: str) -> tuple[str, str]:
        return "layout", self._at(text, r"return \w+ \+ \w+$", lambda line: line.replace(" + ", "   +  "))

    def docstring(self, _name: str, text: str) -> tuple[str, str]:
        def change(line: str) -> str:
            return f'{line}\n{" " * (len(line) - len(line.lstrip()) + 4)}"""{"d" * self.project.random.randrange(9)}"""'

        return "docstring", self._at(text, r"^\s*def .*:$", change)

    def default(self, _name: str, text: str) -> tuple[str, str]:
        return "default", self._at(text, r"def \w+\(\w+=\d", lambda line: re.sub(r"=\d", "=7", line))

    def added(self, _name: str, text: str) -> tuple[str, str]:
        return "added", text + f"\n\ndef added_{self.project.random.randrange(99)}():\n    return 1\n"

    def swapped(self, _name: str, text: str) -> tuple[str, str]:
        parts = text.split("\n\ndef ")
        if len(parts) > 3:
            parts[-2:] = [parts[-1].rstrip("\n"), parts[-2] + "\n"]
        return "swapped", "\n\ndef ".join(parts)

    def nested(self, _name: str, text: str) -> tuple[str, str]:
        def change(line: str) -> str:
            space = line[: len(line) - len(line.lstrip())]
            return f"{space}def inner(): return {self.project.random.randrange(9)}\n{space}inner()\n{line}"

        return "nested", self._at(text, r"^\s+return ", change)

    def generator(self, _name: str, text: str) -> tuple[str, str]:
        return "generator", self._at(text, r"^\s+return \d$", lambda line: line.replace("return", "yield"))

    def global_name(self, _name: str, text: str) -> tuple[str, str]:
        return "global", text + f"\nLEFT_OVER = {self.project.random.randrange(9)}\n"
