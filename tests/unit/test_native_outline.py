"""Outlines of sources: what they tell apart must be all that the interpreter's own compiler tells apart."""

from __future__ import annotations

import ast
import os
import random
import sysconfig
import textwrap
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_hotreload._native import outline

SEED = int(os.environ.get("HOTRELOAD_SEED", "1"))
#: Edits of sources of the standard library; each compiles two files, 50 ms.
EDITS = 120
Outline = tuple[str, list[tuple[str, int, int, str]]]


def outlined(source: str) -> Outline:
    found = outline(textwrap.dedent(source).encode())
    assert found is not None, source
    return found


def changed(before: str, after: str) -> list[str] | None:
    """The functions whose bodies differ; None if anything else does."""
    (rest, functions), (new_rest, new_functions) = outlined(before), outlined(after)
    if rest != new_rest:
        return None
    assert [one[0] for one in functions] == [one[0] for one in new_functions]
    return [one[0] for one, new in zip(functions, new_functions, strict=True) if one[3] != new[3]]


SOURCE = '''\
import functools
RATE = 0.2

@functools.lru_cache
def net(x: int, y=lambda: 1, *args, z=RATE) -> int:
    """Net."""
    return x  # as given

class Cart:
    """A cart."""
    size = 1; color: str = ""
    def total(self):
        def each(item):
            return net(item)
        return sum(each(item) for item in self.items)
    async def wait(self):
        await self.other()

def items():
    yield 1
'''

EDITS_BY_HAND: dict[str, tuple[str, str, list[str] | None]] = {
    "a comment": ("# as given", "# as it is", []),
    "blank lines": ("class Cart", "\n\n\nclass Cart", []),
    "parentheses": ("return x  #", "return (x)  #", []),
    "the same number": ("0.2", "0.20", []),
    "a body": ("return x  #", "return x + 1  #", ["net"]),
    "a method": ("in self.items)", "in self.all)", ["Cart.total"]),
    "an attribute of self more": ("return sum(", "self.sum = sum(", None),
    "an attribute of another object": ("return sum(", "net.sum = sum(", ["Cart.total"]),
    "an attribute of self that is read": ("in self.items)", "in self.items.all)", ["Cart.total"]),
    "an inner function": ("return net(item)", "return net(item) + 1", ["Cart.total.<locals>.each"]),
    "a name that an inner function uses": ("return net(item)", "return self(item)", [
        "Cart.total", "Cart.total.<locals>.each"
    ]),
    "an inner function's signature": ("each(item):", "each(item, n=1):", ["Cart.total"]),
    "a generator's body": ("yield 1", "yield 2", ["items"]),
    "a coroutine's body": ("self.other()", "self.another()", ["Cart.wait"]),
    "no generator any more": ("yield 1", "return 1", None),
    "a docstring": ('"""Net."""', '"""Net!"""', None),
    "a class's docstring": ('"""A cart."""', '"""The cart."""', None),
    "a default": ("z=RATE", "z=RATE + 1", None),
    "a default's lambda": ("lambda: 1", "lambda: 2", None),
    "an annotation": ("x: int", "x: float", None),
    "a decorator": ("@functools.lru_cache", "@functools.cache", None),
    "an argument": ("y=lambda", "w=lambda", None),
    "a constant": ("0.2", "0.3", None),
    "an attribute": ("size = 1", "size = 2", None),
    "an attribute that is no declaration any more": ("color: str", "(color): str", None),
    "a function more": ("def items", "def more(): pass\ndef items", None),
    "a function less": ("    async def wait(self):\n        await self.other()\n", "", None),
    "another name": ("def items", "def goods", None),
    "another place": ("class Cart", "def items():\n    yield 1\n\nclass Cart", None),
    "an import": ("import functools", "import functools, os", None),
    "the class is a cell of its methods": ("await self.other()", "await super().other()", None),
    "not async any more": ("async def wait(self):\n        await", "def wait(self):\n        yield", None),
}  # fmt: skip


@pytest.mark.parametrize("name", EDITS_BY_HAND)
def test_an_edit_is_of(name: str) -> None:
    old, new, expected = EDITS_BY_HAND[name]
    assert old in SOURCE
    assert changed(SOURCE, SOURCE.replace(old, new)) == expected


def test_functions_have_their_lines_and_names() -> None:
    assert [one[:3] for one in outlined(SOURCE)[1]] == [
        ("net", 4, 7),
        ("Cart.total", 12, 15),
        ("Cart.total.<locals>.each", 13, 14),
        ("Cart.wait", 16, 17),
        ("items", 19, 20),
    ]


@pytest.mark.parametrize(
    "source",
    ["def f(:", "x = '\\ud800'", "x = '\\uDfff'", "x = '\\U0000d812'", "x = " + "[" * 3000 + "]" * 3000],
)
def test_what_cannot_be_told_apart_has_no_outline(source: str) -> None:
    assert outline(source.encode()) is None


def test_bytes_that_are_no_text_have_no_outline() -> None:
    assert outline(b"x = '\xff'") is None
    assert outline(b"# coding: koi8-r\nx = 1") is None


# -- as the interpreter compiles it -------------------------------------------------------------------


def codes(code: types.CodeType) -> Iterator[types.CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield constant
            yield from codes(constant)


def own(code: types.CodeType, functions: set[tuple[str, int]]) -> tuple[Any, ...]:
    """A code object without positions, and without the code of other functions of the outline."""

    def constant(value: object) -> object:
        if not isinstance(value, types.CodeType):
            return (type(value).__name__, repr(value))
        if (value.co_name, value.co_firstlineno) in functions:
            signature = (value.co_argcount, value.co_posonlyargcount, value.co_kwonlyargcount, value.co_flags)
            names = value.co_varnames[: value.co_argcount + value.co_kwonlyargcount]
            return ("function", value.co_name, signature, names, value.co_freevars)
        return own(value, functions)

    return (
        code.co_code, tuple(map(constant, code.co_consts)), code.co_names, code.co_varnames, code.co_freevars,
        code.co_cellvars, code.co_flags, code.co_name, code.co_stacksize,
    )  # fmt: skip


def compiled(source: str, found: Outline) -> tuple[Any, list[Any]]:
    """The rest, and each function of the outline, as the interpreter has them."""
    module = compile(_without_lines_of_classes(source), "source.py", "exec", dont_inherit=True)
    functions = {(name.rpartition(".")[2], first) for name, first, _, _ in found[1]}
    by_place = {(code.co_name, code.co_firstlineno): code for code in codes(module)}
    bodies = [
        own(by_place[place], functions) if (place := (name.rpartition(".")[2], first)) in by_place else None
        for name, first, _, _ in found[1]
    ]
    return own(module, functions), bodies


def _without_lines_of_classes(source: str) -> ast.Module:
    """A class has its line as a constant from Python 3.13 on (`__firstlineno__`), which outlines leave out."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            node.lineno = 1
            for decorator in node.decorator_list:
                decorator.lineno = 1
    return tree


def some_sources(chance: random.Random) -> list[str]:
    folder = Path(sysconfig.get_paths()["stdlib"])
    names = sorted(path for path in folder.glob("*.py") if 2_000 < path.stat().st_size < 30_000)
    texts = [path.read_text(encoding="utf-8") for path in chance.sample(names, 12)]
    return [ast.unparse(ast.parse(text)) + "\n" for text in texts]


def _constant(node: ast.AST, chance: random.Random) -> bool:
    if isinstance(node, ast.Constant) and type(node.value) in (int, str, bytes, float, bool):
        node.value = chance.choice([0, 1, 7, "x", "", b"y", 1.5, True, None])
        return True
    return False


def _name(node: ast.AST, chance: random.Random) -> bool:
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        node.id = chance.choice(["self", "super", "__class__", "len", "x"])
        return True
    return False


def _statement(node: ast.AST, chance: random.Random) -> bool:
    body = getattr(node, "body", None)
    if isinstance(body, list) and len(body) > 1:
        at = chance.randrange(len(body))
        kind = chance.choice(["pass", "del", "yield", "copy"])
        if kind == "del":
            del body[at]
        elif kind == "copy":
            body.insert(at, body[at])
        else:
            body.insert(at, ast.Expr(ast.Yield()) if kind == "yield" else ast.Pass())
        return True
    return False


def _operator(node: ast.AST, chance: random.Random) -> bool:
    if isinstance(node, ast.BinOp):
        node.op = chance.choice([ast.Add(), ast.Sub(), ast.Mult(), ast.MatMult(), ast.Pow()])
        return True
    if isinstance(node, ast.Compare):
        node.ops[0] = chance.choice([ast.Lt(), ast.Is(), ast.IsNot(), ast.In(), ast.Eq()])
        return True
    return False


def _attribute(node: ast.AST, chance: random.Random) -> bool:
    if isinstance(node, ast.Attribute):
        node.attr = chance.choice(["a", "b", node.attr + "_"])
        return True
    return False


def _keyword(node: ast.AST, _chance: random.Random) -> bool:
    if isinstance(node, ast.Call) and node.keywords:
        node.keywords[0].arg = "other"
        return True
    return False


CHANGES: tuple[Callable[[ast.AST, random.Random], bool], ...] = (
    _constant, _name, _statement, _operator, _attribute, _keyword
)  # fmt: skip


def edited(source: str, chance: random.Random) -> str | None:
    tree = ast.parse(source)
    nodes = list(ast.walk(tree))
    for _ in range(200):
        if chance.choice(CHANGES)(chance.choice(nodes), chance):
            break
    try:
        text = ast.unparse(ast.fix_missing_locations(tree)) + "\n"
        compile(text, "source.py", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return None
    return text


@pytest.mark.slow
def test_every_difference_of_code_is_one_of_outlines() -> None:
    """Whatever an edit changes in the code of a function, or of the rest, shows in the outline."""
    chance = random.Random(SEED)
    sources = some_sources(chance)
    done = bodies = 0
    while done < EDITS:
        before = chance.choice(sources)
        after = edited(before, chance)
        found, new = (outline(text.encode()) if text else None for text in (before, after))
        if after is None or found is None or new is None:
            continue
        done += 1
        if found[0] != new[0]:
            continue
        (rest, functions), (new_rest, new_functions) = compiled(before, found), compiled(after, new)
        assert rest == new_rest, f"seed {SEED}"
        for one, now, code, new_code in zip(found[1], new[1], functions, new_functions, strict=True):
            if code != new_code:
                bodies += 1
                assert one[3] != now[3], f"seed {SEED}: {one[0]}"
    # Otherwise nothing was compared.
    assert bodies > EDITS // 4


def test_layout_changes_nothing() -> None:
    """The same tree, written in another way: comments, line breaks, quotes and parentheses are gone."""
    chance = random.Random(SEED)
    folder = Path(sysconfig.get_paths()["stdlib"])
    compared = 0
    for path in chance.sample(sorted(folder.glob("*.py")), 20):
        text = path.read_bytes()
        found, new = outline(text), outline(ast.unparse(ast.parse(text)).encode())
        if found is not None and new is not None:
            compared += 1
            assert found[0] == new[0], path
            assert [(name, body) for name, _, _, body in found[1]] == [
                (name, body) for name, _, _, body in new[1]
            ]
    assert compared > 10
