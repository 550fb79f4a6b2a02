"""Reads files that the Rust parser rejected, with the running interpreter's own `ast`.

The rules are those of `rust/src/imports/parse.rs`, `imports/ast_walk.rs` and `imports/effects.rs`;
`tests/unit/test_native_imports.py` compares the two implementations.
"""

from __future__ import annotations

import ast
import sys
import threading
import tokenize
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

Import = tuple[int, "str | None", "str | None", str, int]
Effect = tuple[int, str, str]

#: The detail of an import or effect if the source does not state it literally.
UNKNOWN = "*"

#: From "runs with the file" to "never": of two nested contexts, the later one in this order applies.
_CONTEXTS = ("module", "class", "try", "handler", "conditional", "function", "type_checking")
_IMPORT_ERRORS = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}
_DYNAMIC = {"import_module": "name", "__import__": "name", "importorskip": "modname"}
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_EARLY_HOOKS = (
    "pytest_addhooks",
    "pytest_addoption",
    "pytest_cmdline_main",
    "pytest_collection",
    "pytest_configure",
    "pytest_load_initial_conftests",
    "pytest_plugin_registered",
    "pytest_sessionstart",
)
_PATH_METHODS = {"insert", "append", "extend", "remove", "pop", "clear", "reverse", "sort"}
_ENVIRONMENT_OF_ONE = {
    "os.environ.setdefault",
    "os.environ.pop",
    "os.environ.__setitem__",
    "os.environ.__delitem__",
    "os.putenv",
    "os.unsetenv",
}
_EVENTLET = {"eventlet.monkey_patch", "eventlet.patcher.monkey_patch"}
_ENVIRONMENT_OF_ALL = {"os.environ.clear", "os.environ.popitem", "dotenv.load_dotenv"}


class Parsed(NamedTuple):
    """The arguments of `Project.supply`, after the path."""

    imports: list[Import]
    effects: list[Effect]
    diagnostic: str | None
    line: int | None


def imports_of(path: str) -> Parsed:
    """Return the imports and effects of a file.

    Never raises because of the content: a file that Python rejects, too, has no imports and a diagnostic.
    """
    try:
        tree = _parse(Path(path).read_bytes(), path)
        collector = _Imports()
        collector.body(tree.body, "module")
        return Parsed(collector.found + collector.plugins, _Effects().of(tree.body), None, None)
    except SyntaxError as error:
        return Parsed([], [], f"{type(error).__name__}: {error.msg}", error.lineno)
    except (OSError, ValueError, RecursionError, MemoryError, tokenize.TokenError) as error:
        return Parsed([], [], f"{type(error).__name__}: {error}", None)


def _parse(source: bytes, path: str) -> ast.Module:
    with warnings.catch_warnings():
        # An invalid escape already warns when pytest compiles the file.
        warnings.simplefilter("ignore")
        if sys.version_info >= (3, 11):
            return ast.parse(source, path)
        return _parse_on_a_large_stack(source, path)


def _parse_on_a_large_stack(source: bytes, path: str) -> ast.Module:
    """Parse in a thread with a large stack, as Python 3.10 does not limit the depth.

    `a+a+…` 250,000 times was a segmentation fault on 8 MB.
    """
    outcome: list[ast.Module | BaseException] = []

    def parse() -> None:
        try:
            outcome.append(ast.parse(source, path))
        except BaseException as error:  # raised again below
            outcome.append(error)

    before = threading.stack_size(max(64 << 20, 512 * len(source)))
    try:
        thread = threading.Thread(target=parse)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]


def _bodies(statement: ast.stmt) -> Iterator[tuple[str, Sequence[ast.stmt]]]:
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


def _own_calls(statement: ast.stmt) -> Iterator[tuple[ast.Call, bool]]:
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


def _literal(node: ast.expr | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _text(node: ast.expr | None) -> str:
    text = _literal(node)
    return UNKNOWN if text is None else text


class _Imports:
    def __init__(self) -> None:
        self.found: list[Import] = []
        self.plugins: list[Import] = []

    def body(self, body: Sequence[ast.stmt], context: str) -> None:
        for statement in body:
            self._statement(statement, context)
            for inner, statements in _bodies(statement):
                self.body(statements, max(context, inner, key=_CONTEXTS.index))

    def _statement(self, statement: ast.stmt, context: str) -> None:
        line = statement.lineno
        if isinstance(statement, ast.Import):
            self.found += [(0, alias.name, None, context, line) for alias in statement.names]
        elif isinstance(statement, ast.ImportFrom):
            module, level = statement.module, statement.level
            self.found += [(level, module, alias.name, context, line) for alias in statement.names]
        elif isinstance(statement, ast.Assign):
            if any(_is_plugins(target) for target in statement.targets):
                self._plugins(statement.value, context)
        elif isinstance(statement, (ast.AugAssign, ast.AnnAssign)) and _is_plugins(statement.target):
            self._plugins(statement.value, context)
        for call, later in _own_calls(statement):
            imported = _imported_by(call)
            if imported is not None:
                delayed = max(context, "function", key=_CONTEXTS.index) if later else context
                self.found.append((*imported, None, delayed, call.lineno))

    def _plugins(self, value: ast.expr | None, context: str) -> None:
        if value is None or context in ("function", "type_checking"):
            return
        elements = value.elts if isinstance(value, (ast.List, ast.Tuple, ast.Set)) else [value]
        named = (_literal(element) for element in elements)
        self.plugins += [(0, name, None, "plugin", value.lineno) for name in named if name is not None]


def _is_plugins(target: ast.expr) -> bool:
    return isinstance(target, ast.Name) and target.id == "pytest_plugins"


def _imported_by(call: ast.Call) -> tuple[int, str] | None:
    """Return level and module of `import_module("a.b")`, `__import__("a")`, `importorskip("a")`, or None."""
    function = call.func.id if isinstance(call.func, ast.Name) else None
    if isinstance(call.func, ast.Attribute):
        function = call.func.attr
    if function not in _DYNAMIC:
        return None
    name = _literal(_argument(call, 0, _DYNAMIC[function]))
    if name is None:
        return None
    package = _literal(_argument(call, 1, "package")) if function == "import_module" else None
    return _relative_to(name, package)


def _argument(call: ast.Call, position: int, keyword: str) -> ast.expr | None:
    if len(call.args) > position:
        return call.args[position]
    return next((one.value for one in call.keywords if one.arg == keyword), None)


def _relative_to(name: str, package: str | None) -> tuple[int, str] | None:
    module = name.lstrip(".")
    level = len(name) - len(module)
    is_package_itself = level > 0 and not module
    if not is_package_itself and not all(part and not set(part) & set("/\\ ") for part in module.split(".")):
        return None
    if package is None or level == 0:
        return level, module
    parts = package.split(".")
    if level > len(parts) + 1:
        return None
    return 0, ".".join(part for part in [*parts[: len(parts) + 1 - level], module] if part)


class _Effects:
    def __init__(self) -> None:
        #: Local name -> the dotted name that it was imported as.
        self.names: dict[str, str] = {}
        self.functions: dict[str, Sequence[ast.stmt]] = {}
        self.called: list[str] = []
        self.found: set[Effect] = set()

    def of(self, body: Sequence[ast.stmt]) -> list[Effect]:
        self._body(body)
        self.called += _EARLY_HOOKS
        seen = set()
        while self.called:
            name = self.called.pop()
            if name in self.functions and name not in seen:
                seen.add(name)
                self._body(self.functions[name])
        kinds = ("environment", "patch", "path", "rewrite")
        return sorted(self.found, key=lambda effect: (effect[0], kinds.index(effect[1]), effect[2]))

    def _body(self, body: Sequence[ast.stmt]) -> None:
        for statement in body:
            self._statement(statement)
            if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
                self.functions[statement.name] = statement.body
                continue
            for context, inner in _bodies(statement):
                if context != "type_checking":
                    self._body(inner)

    def _statement(self, statement: ast.stmt) -> None:
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            self._bind(statement)
        elif isinstance(statement, (ast.Assign, ast.Delete)):
            for target in statement.targets:
                self._target(target)
        elif isinstance(statement, ast.For) or (
            isinstance(statement, ast.AnnAssign) and statement.value is not None
        ):
            self._target(statement.target)
        elif isinstance(statement, ast.AugAssign):
            self._target(statement.target, statement)
        for call, later in _own_calls(statement):
            if not later:
                self._call(call)

    def _bind(self, statement: ast.Import | ast.ImportFrom) -> None:
        for alias in statement.names:
            if isinstance(statement, ast.ImportFrom):
                dotted = f"{statement.module}.{alias.name}" if statement.module else alias.name
                self.names[alias.asname or alias.name] = "." * statement.level + dotted
            else:
                top = alias.name.partition(".")[0]
                self.names[alias.asname or top] = alias.name if alias.asname else top

    def _dotted(self, node: ast.expr) -> str | None:
        """Return the dotted name that an expression refers to, if its first part was imported."""
        parts = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name) or node.id not in self.names:
            return None
        return ".".join([self.names[node.id], *reversed(parts)])

    def _target(self, target: ast.expr, update: ast.AugAssign | None = None) -> None:
        if isinstance(target, (ast.Tuple, ast.List)):
            for element in target.elts:
                self._single_target(element.value if isinstance(element, ast.Starred) else element, None)
        else:
            self._single_target(target, update)

    def _single_target(self, target: ast.expr, update: ast.AugAssign | None) -> None:
        line = target.lineno
        if isinstance(target, ast.Subscript):
            name = self._dotted(target.value)
            if name in ("os.environ", "os.environb"):
                self.found.add((line, "environment", _text(target.slice)))
            elif name == "sys.path":
                self.found.add((line, "path", UNKNOWN))
            elif name == "sys.modules":
                self.found.add((line, "patch", f"sys.modules[{_text(target.slice)}]"))
        elif isinstance(target, (ast.Attribute, ast.Name)):
            name = self._dotted(target)
            if name == "os.environ":
                self._environ(target, update)
            elif name == "sys.path":
                self.found.add((line, "path", UNKNOWN))
            elif name is not None and isinstance(target, ast.Attribute):
                self.found.add((line, "patch", name))

    def _environ(self, target: ast.expr, update: ast.AugAssign | None) -> None:
        """Note `os.environ = …` and `os.environ |= …`. Rebinding the bare name `environ` changes nothing."""
        if update is not None and isinstance(update.op, ast.BitOr):
            keys = _keys_of(update.value)
        else:
            keys = [] if isinstance(target, ast.Name) else [UNKNOWN]
        self.found |= {(target.lineno, "environment", key) for key in keys}

    def _call(self, call: ast.Call) -> None:
        if isinstance(call.func, ast.Name):
            self.called.append(call.func.id)
        name = self._dotted(call.func)
        effects = self._other_call(call) if name is None else self._known_call(name, call)
        self.found |= {(call.lineno, kind, detail) for kind, detail in effects}

    def _known_call(self, name: str, call: ast.Call) -> list[tuple[str, str]]:
        first = call.args[0] if call.args else None
        if name in _ENVIRONMENT_OF_ONE:
            return [("environment", _text(first))]
        if name == "os.environ.update":
            return [("environment", key) for key in _keys_of_call(call, 0)]
        if name in _ENVIRONMENT_OF_ALL:
            return [("environment", UNKNOWN)]
        if name == "pytest.register_assert_rewrite":
            return [("rewrite", _text(argument)) for argument in call.args]
        if name in ("sys.modules.pop", "sys.modules.setdefault"):
            return [("patch", f"sys.modules[{_text(first)}]")]
        if name in ("sys.modules.update", "sys.modules.clear"):
            return [("patch", f"sys.modules[{UNKNOWN}]")]
        if name.endswith("patch.dict"):
            return self._patch_dict(call)
        if name.startswith("gevent.monkey.patch_") or name in _EVENTLET:
            return [("patch", f"{name}()")]
        if name == "site.addsitedir" or (name.startswith("sys.path.") and name[9:] in _PATH_METHODS):
            return [("path", UNKNOWN)]
        return []

    def _other_call(self, call: ast.Call) -> list[tuple[str, str]]:
        """Return the effects of a call of a builtin, of a local name, or of the result of another call."""
        if isinstance(call.func, ast.Name) and call.func.id in ("setattr", "delattr") and call.args:
            module = self._dotted(call.args[0])
            return [] if module is None else [("patch", f"{module}.{_text(_argument(call, 1, ''))}")]
        if isinstance(call.func, ast.Attribute):
            if call.func.attr == "start":
                return self._started_patch(call.func.value)
            if call.func.attr in ("setenv", "delenv"):
                return [("environment", _text(_argument(call, 0, "")))]
        return []

    def _started_patch(self, patch: ast.expr) -> list[tuple[str, str]]:
        name = self._dotted(patch.func) if isinstance(patch, ast.Call) else None
        if name is None or not name.endswith(("patch", "patch.object", "patch.multiple")):
            return []
        assert isinstance(patch, ast.Call)
        first = patch.args[0] if patch.args else None
        detail = self._dotted(first) if first is not None else None
        return [("patch", _text(first) if detail is None else detail)]

    def _patch_dict(self, call: ast.Call) -> list[tuple[str, str]]:
        if not call.args:
            return []
        name = self._dotted(call.args[0]) or _literal(call.args[0])
        if name == "os.environ":
            return [("environment", key) for key in _keys_of_call(call, 1)]
        return [] if name is None else [("patch", name)]


def _keys_of(value: ast.expr) -> list[str]:
    """Return the keys of a literal mapping or of `dict(KEY=…)`; otherwise unknown."""
    if isinstance(value, ast.Dict):
        return [_text(key) for key in value.keys]
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "dict":
        return [*(UNKNOWN for _ in value.args), *_keywords(value)]
    return [UNKNOWN]


def _keywords(call: ast.Call) -> list[str]:
    return [UNKNOWN if keyword.arg is None else keyword.arg for keyword in call.keywords]


def _keys_of_call(call: ast.Call, position: int) -> list[str]:
    keys = _keys_of(call.args[position]) if len(call.args) > position else []
    return keys + [key for key in _keywords(call) if key != "clear"]
