"""Finds what a module changes in the process when it is imported, by the rules of `rust/src/imports/effects.rs`."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from pytest_hotreload.imports.fallback_walk import UNKNOWN, argument, bodies, literal, own_calls, text

#: Line, kind and detail.
Effect = tuple[int, str, str]

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


class Effects:
    """Collects the effects of a module."""

    def __init__(self) -> None:
        #: Local name -> the dotted name that it was imported as.
        self.names: dict[str, str] = {}
        self.functions: dict[str, Sequence[ast.stmt]] = {}
        self.called: list[str] = []
        self.found: set[Effect] = set()

    def of(self, body: Sequence[ast.stmt]) -> list[Effect]:
        """The effects of a module's body, and of the functions that it or pytest's early hooks call."""
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
            for context, inner in bodies(statement):
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
        for call, later in own_calls(statement):
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
                self.found.add((line, "environment", text(target.slice)))
            elif name == "sys.path":
                self.found.add((line, "path", UNKNOWN))
            elif name == "sys.modules":
                self.found.add((line, "patch", f"sys.modules[{text(target.slice)}]"))
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
            return [("environment", text(first))]
        if name == "os.environ.update":
            return [("environment", key) for key in _keys_of_call(call, 0)]
        if name in _ENVIRONMENT_OF_ALL:
            return [("environment", UNKNOWN)]
        if name == "pytest.register_assert_rewrite":
            return [("rewrite", text(each)) for each in call.args]
        if name in ("sys.modules.pop", "sys.modules.setdefault"):
            return [("patch", f"sys.modules[{text(first)}]")]
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
            return [] if module is None else [("patch", f"{module}.{text(argument(call, 1, ''))}")]
        if isinstance(call.func, ast.Attribute):
            if call.func.attr == "start":
                return self._started_patch(call.func.value)
            if call.func.attr in ("setenv", "delenv"):
                return [("environment", text(argument(call, 0, "")))]
        return []

    def _started_patch(self, patch: ast.expr) -> list[tuple[str, str]]:
        name = self._dotted(patch.func) if isinstance(patch, ast.Call) else None
        if name is None or not name.endswith(("patch", "patch.object", "patch.multiple")):
            return []
        assert isinstance(patch, ast.Call)
        first = patch.args[0] if patch.args else None
        detail = self._dotted(first) if first is not None else None
        return [("patch", text(first) if detail is None else detail)]

    def _patch_dict(self, call: ast.Call) -> list[tuple[str, str]]:
        if not call.args:
            return []
        name = self._dotted(call.args[0]) or literal(call.args[0])
        if name == "os.environ":
            return [("environment", key) for key in _keys_of_call(call, 1)]
        return [] if name is None else [("patch", name)]


def _keys_of(value: ast.expr) -> list[str]:
    """Return the keys of a literal mapping or of `dict(KEY=…)`; otherwise unknown."""
    if isinstance(value, ast.Dict):
        return [text(key) for key in value.keys]
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "dict":
        return [*(UNKNOWN for _ in value.args), *_keywords(value)]
    return [UNKNOWN]


def _keywords(call: ast.Call) -> list[str]:
    return [UNKNOWN if keyword.arg is None else keyword.arg for keyword in call.keywords]


def _keys_of_call(call: ast.Call, position: int) -> list[str]:
    keys = _keys_of(call.args[position]) if len(call.args) > position else []
    return keys + [key for key in _keywords(call) if key != "clear"]
