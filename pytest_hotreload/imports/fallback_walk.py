"""Walks the statements and calls of a syntax tree in the order in which they run, as `rust/src/imports/ast_walk.rs`."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

#: The detail of an import or effect if the source does not state it literally.
UNKNOWN = "*"

_IMPORT_ERRORS = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def bodies(statement: ast.stmt) -> Iterator[tuple[str, Sequence[ast.stmt]]]:
    """Yield the statement's bodies, each with the context that it adds."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
        yield "function", statement.body
    elif isinstance(statement, ast.ClassDef):
        yield "class", statement.body
    elif isinstance(statement, (ast.For, ast.AsyncFor)):
        yield "module", statement.body
        yield "module", statement.orelse
    elif isinstance(statement, ast.While):
        yield "conditional", statement.body
        yield "conditional", statement.orelse
    elif isinstance(statement, ast.If):
        yield from _branches(statement)
    elif isinstance(statement, (ast.With, ast.AsyncWith)):
        yield "module", statement.body
    elif isinstance(statement, ast.Match):
        for case in statement.cases:
            yield "conditional", case.body
    elif isinstance(statement, ast.Try) or type(statement).__name__ == "TryStar":
        yield from _attempt(statement)


def _branches(statement: ast.If) -> Iterator[tuple[str, Sequence[ast.stmt]]]:
    contexts = {None: "conditional", True: "module", False: "type_checking"}
    truth = _truth(statement.test)
    yield contexts[truth], statement.body
    yield contexts[None if truth is None else not truth], statement.orelse


def _truth(test: ast.expr) -> bool | None:
    """Return the value of a test, if it is known when the tests run: `TYPE_CHECKING` is false."""
    if isinstance(test, ast.Name):
        return False if test.id == "TYPE_CHECKING" else None
    if isinstance(test, ast.Attribute):
        return False if test.attr == "TYPE_CHECKING" else None
    if (
        isinstance(test, ast.UnaryOp)
        and isinstance(test.op, ast.Not)
        and not isinstance(test.operand, ast.UnaryOp)
    ):
        value = _truth(test.operand)
        return None if value is None else not value
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        simple = (value for value in test.values if not isinstance(value, ast.BoolOp))
        return False if any(_truth(value) is False for value in simple) else None
    if isinstance(test, ast.Constant) and isinstance(test.value, int):
        return bool(test.value)
    return None


def _attempt(statement: ast.stmt) -> Iterator[tuple[str, Sequence[ast.stmt]]]:
    # The statement may be an ast.TryStar, which Python 3.10 does not have.
    handlers: list[ast.ExceptHandler] = getattr(statement, "handlers")  # noqa: B009
    parts: list[list[ast.stmt]] = [getattr(statement, name) for name in ("body", "orelse", "finalbody")]
    context = "try" if any(_catches_import_error(handler.type) for handler in handlers) else "module"
    yield context, parts[0]
    for handler in handlers:
        yield "handler" if _catches_import_error(handler.type) else "conditional", handler.body
    yield context, parts[1]
    yield "module", parts[2]


def _catches_import_error(caught: ast.expr | None) -> bool:
    if caught is None:
        return True
    if isinstance(caught, ast.Name):
        return caught.id in _IMPORT_ERRORS
    if isinstance(caught, ast.Attribute):
        return caught.attr in _IMPORT_ERRORS
    if isinstance(caught, ast.Tuple):
        return any(_catches_import_error(one) for one in caught.elts if not isinstance(one, ast.Tuple))
    return False


def own_calls(statement: ast.stmt) -> Iterator[tuple[ast.Call, bool]]:
    """Yield the calls in a statement's own expressions, inner ones first, and whether a lambda delays them."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
        own: list[ast.expr] = [*statement.decorator_list, *_defaults(statement.args)]
    elif type(statement).__name__ == "TypeAlias":
        own = []
    elif isinstance(statement, (ast.Assign, ast.AnnAssign)):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        own = [*([statement.value] if statement.value else []), *targets]
    elif isinstance(statement, ast.ClassDef):
        own = [
            *statement.decorator_list,
            *statement.bases,
            *(keyword.value for keyword in statement.keywords),
        ]
    elif isinstance(statement, (ast.With, ast.AsyncWith)):
        own = [item.context_expr for item in statement.items]
    else:
        own = [child for child in ast.iter_child_nodes(statement) if isinstance(child, ast.expr)]
    for expression in own:
        yield from _calls(expression, later=False)


def _defaults(arguments: ast.arguments) -> list[ast.expr]:
    return [default for default in [*arguments.defaults, *arguments.kw_defaults] if default is not None]


def _calls(node: ast.AST, *, later: bool) -> Iterator[tuple[ast.Call, bool]]:
    if isinstance(node, ast.Lambda):
        for default in _defaults(node.args):
            yield from _calls(default, later=later)
        yield from _calls(node.body, later=True)
        return
    children = [*ast.iter_child_nodes(node)]
    # The iterables of a comprehension run before its result, which precedes them in the tree.
    children.sort(
        key=lambda child: isinstance(node, _COMPREHENSIONS) and not isinstance(child, ast.comprehension)
    )
    for child in children:
        yield from _calls(child, later=later)
    if isinstance(node, ast.Call):
        yield node, later


def literal(node: ast.expr | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def text(node: ast.expr | None) -> str:
    found = literal(node)
    return UNKNOWN if found is None else found


def argument(call: ast.Call, position: int, keyword: str) -> ast.expr | None:
    if len(call.args) > position:
        return call.args[position]
    return next((one.value for one in call.keywords if one.arg == keyword), None)
