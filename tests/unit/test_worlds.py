"""Our code looks up nothing in modules that tests can patch; a new look-up fails here: docs/design/worlds.md."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "pytest_hotreload"

#: What runs in children, or in the process that forks them, after tests began.
IN_CHILDREN = [
    "process.prefork",
    "run.child.self_collecting",
    "original_names",
    "run.child.entry",
    "process.channel",
    "run.child.child",
    "run.child.context",
    "run.child.fixture_process",
    "process.inheritance",
    "process.fixture_messages",
    "run.child.reporter",
    "compat.pytest_config",
    "compat.junit",
    "compat.pytest_fixtures",
    "compat.pytest_output",
    "compat.pytest_session",
    "records.conflicts",
    "run.gathered.containers",
    "process.foreign",
    "process.fork_server",
    "process.fork_state",
    "run.gathered.carry",
    "run.gathered.known_objects",
    "compat.debugger",
    "compat.handover",
    "imports.learning",
    "process.adoption",
    "process.import_answers",
    "process.import_names",
    "process.import_system",
    "process.installed",
    "process.leftovers",
    "process.lifeline",
    "records.observer",
    "records.places",
    "compat.plugins",
    "compat.pickling",
    "process.poller",
    "process.proc",
    "process.fork_messages",
    "process.messages",
    "process.progress",
    "run.child.reset",
    "compat.plain_reports",
    "compat.call_infos",
    "compat.controller_hooks",
    "compat.other_loops",
    "compat.rebuilt_classes",
    "compat.teamcity",
    "run.gathered.item_attributes",
    "compat.reports",
    "process.slots",
    "process.job_control",
    "compat.unpickling",
    "compat.withdrawals",
]
#: No part of a run: commands, the processes of a watch above its reruns, fresh interpreters without conftests.
OUTSIDE = {
    "__init__",
    "watch.standby.affected",
    "imports.analysis",
    "watch.announcements",
    "watch.attach_client",
    "watch.attach_server",
    "watch.input_states",
    "watch.prepared_kinds",
    "watch.prepared_runs",
    "commands.foundations",
    "hosts.broker",
    "cli",
    "watch.key_bindings",
    "records.couplings",
    "records.declarations",
    "commands.doctor",
    "errors",
    "usage",
    "commands.explain",
    "imports.fallback_parser",
    "watch.edits",
    "watch.file_events",
    "watch.process",
    "watch.processes",
    "watch.template_processes",
    "commands.graph",
    "hosts.agent",
    "host_options",
    "hosts.start",
    "commands.cache",
    "commands.ask_pytest",
    "isolate.environment",
    "isolate.package",
    "isolate.calls",
    "isolate.child",
    "isolate.errors",
    "isolate.messages",
    "isolate.process",
    "isolate.reader",
    "isolate.template",
    "watch.keyboard",
    "watch.terminal_modes",
    "watch.key_decoder",
    "report.failure",
    "report.failure_section",
    "report.html",
    "ci.merge_checks",
    "ci.merge_files",
    "ci.merge_cache_memory",
    "ci.merge_cache",
    "ci.merge",
    "option_declarations",
    "options",
    "watch.pages",
    "watch.chain_plan",
    "commands.doctor_plugin",
    "watch.endpoint",
    "report.page",
    "report.tables",
    "watch.reruns",
    "watch.selected",
    "watch.results",
    "watch.stopping",
    "watch.attach_messages",
    "watch.messages",
    "watch.screen",
    "watch.signals",
    "commands.serve",
    "ci.plan",
    "shard_options",
    "watch.environment",
    "ci.timings",
    "report.trace",
    "watch.watcher",
    "watch.requests",
    "world",
}
#: What the run loop calls between the collection and the end, outside of ``original_names``: builtins of its own.
OF_THE_LOOP = [
    "records.collection_hooks",
    "run.children",
    "run.completeness",
    "run.loop",
    "run.crashes",
    "run.timeouts",
    "hosts.dispatch",
    "run.fixtures.shared",
    "run.fixtures.candidates",
    "run.fixtures.chains",
    "run.fixtures.declaration",
    "run.fixtures.ends",
    "run.fixtures.handle",
    "run.fixtures.history",
    "run.fixtures.known",
    "run.fixtures.packages",
    "run.fixtures.processes",
    "run.fixtures.sources",
    "run.fixtures.teardown",
    "run.warm_functions",
    "run.known_caches",
    "process.living",
    "run.gathered.merge",
    "hosts.host",
    "hosts.relay",
    "hosts.role",
    "hosts.hosts",
    "run.in_place",
    "process.interrupts",
    "run.terminal_lease",
    "compat.console",
    "compat.xdist",
    "ci.outcomes",
    "records.file_outcome",
    "records.drafts",
    "records.failures",
    "records.records",
    "records.options_selection",
    "records.run_epochs",
    "records.run_notes",
    "records.verdicts",
    "run.endings",
    "run.late_teardowns",
    "run.phases",
    "run.replay",
    "records.reuse",
    "run.hooks",
    "run.schedule",
    "run.launcher",
    "run.spawn",
    "run.status_line",
    "run.messages",
    "imports.threads",
    "records.totals",
    "report.failure_reports",
]
#: Modules whose functions read the clock, wait, start or tell something: to be taken from ``world`` by all others.
HELD = {
    "os",
    "time",
    "signal",
    "threading",
    "select",
    "selectors",
    "socket",
    "subprocess",
    "pickle",
    "struct",
    "gc",
}

#: What a module that runs in children may import as it is, and why that is safe.
ALLOWED = {
    "__future__": "is for the compiler",
    "_thread": "a class, bound when the module is loaded",
    "_pytest": "pytest's own, which plain pytest looks up likewise",
    "collections": "classes, bound when the module is loaded",
    "queue": "a class, of which objects are",
    "collections.abc": "for annotations",
    "dataclasses": "at the definition of classes",
    "errno": "numbers",
    "importlib": "before tests run",
    "importlib.machinery": "classes, bound when the module is loaded",
    "importlib.metadata": "before tests run",
    "importlib.util": "before tests run",
    "itertools": "native functions, bound when the module is loaded",
    "logging": "before tests run, and classes",
    "pathlib": "for annotations, and before tests run",
    "pluggy": "for its folder",
    "site": "before tests run",
    "sysconfig": "before tests run",
    "sys": "its streams and hooks are a test's to replace: what we want is what is there",
    "weakref": "classes, bound when the module is loaded",
    "xml.etree.ElementTree": "a class, bound when the module is loaded",
    "types": "classes, bound when the module is loaded",
    "typing": "for annotations",
}
#: Functions that import something when they are called, and why that is safe: (module, function).
LATE = {
    ("process.channel", "_garbage"): "in the controller; the run ends by it",
    ("compat.pytest_session", "drop_pending_exceptions"): "before the first test of a child",
    ("compat.pytest_session", "skip_last_collection"): "before the session of a rerun",
    ("compat.pytest_config", "expression_error"): "in the watcher, which runs no test",
    ("compat.junit", "report"): "before the first test of a child",
    ("compat.debugger", "call_before"): "before the first test of a child",
    ("compat.pytest_config", "usual_options"): "in the controller, before test files are imported",
    ("compat.pytest_config", "rewritten"): "in the controller, which runs no test",
    ("compat.junit", "stand_in"): "before tests run",
    ("compat.pytest_output", "warnings_of"): "in the controller, before tests run",
    ("compat.plugins", "keep_coverage_files"): "before conftests",
}
#: What of ``sys`` may be looked at when tests have begun; modules are in ``world.MODULES``.
SYS = {
    "stdout",
    "stderr",
    "__stdout__",
    "__stderr__",
    "unraisablehook",
    "__unraisablehook__",
    "warnoptions",
    "audit",
    "meta_path",
    "path",
    "path_hooks",
    "pycache_prefix",
    "stdlib_module_names",
    "builtin_module_names",
}


def _modules() -> dict[str, Path]:
    """By dotted name within the package; empty ``__init__`` files are left out."""
    found = {
        str(path.relative_to(PACKAGE).with_suffix("")).replace("/", "."): path
        for path in PACKAGE.rglob("*.py")
    }
    return {name: path for name, path in sorted(found.items()) if path.stat().st_size}


def _tree(name: str) -> ast.Module:
    return ast.parse(_path(name).read_text())


def _path(name: str) -> Path:
    return PACKAGE / f"{name.replace('.', '/')}.py"


def _run_time(nodes: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Without what only type checkers see."""
    for node in nodes:
        if not (
            isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        ):
            yield node


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and not node.level:
        return [str(node.module)]
    return []


def _is_allowed(name: str) -> bool:
    return name in ALLOWED or name.startswith(("_pytest.", "pytest_hotreload"))


@pytest.mark.parametrize("name", IN_CHILDREN)
def test_code_in_children_imports_no_module_that_tests_patch(name: str) -> None:
    found = [each for node in _run_time(_tree(name).body) for each in _imported(node)]
    assert [each for each in found if not _is_allowed(each)] == []


@pytest.mark.parametrize("name", IN_CHILDREN)
def test_code_in_children_imports_nothing_when_it_is_called(name: str) -> None:
    late = [
        (name, function.name)
        for function in ast.walk(_tree(name))
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert [each for each in late if each not in LATE] == []


@pytest.mark.parametrize("name", [*IN_CHILDREN, *OF_THE_LOOP])
def test_code_of_a_run_has_builtins_of_its_own(name: str) -> None:
    assert "\n__builtins__ = BUILTINS\n" in _path(name).read_text()


@pytest.mark.parametrize("name", IN_CHILDREN)
def test_code_in_children_takes_nothing_else_from_sys(name: str) -> None:
    found = {
        node.attr
        for node in ast.walk(_tree(name))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "sys"
    }
    assert found <= SYS


def test_all_that_runs_in_a_run_takes_its_clock_and_its_system_calls_from_the_held_world() -> None:
    bad = [
        f"{module} imports {name}"
        for module, path in _modules().items()
        if module not in OUTSIDE
        for node in ast.walk(ast.parse(path.read_text()))
        for name in _imported(node)
        if name in HELD
    ]
    assert bad == []


def _in_functions(tree: ast.Module) -> Iterator[ast.AST]:
    """What runs when functions are called, without the annotations of local names."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            for statement in function.body:
                left_out = [
                    n.annotation for n in ast.walk(statement) if isinstance(n, ast.AnnAssign | ast.arg)
                ]
                notes = {id(node) for each in left_out if each is not None for node in ast.walk(each)}
                yield from (node for node in ast.walk(statement) if id(node) not in notes)


@pytest.mark.parametrize("module", sorted(set(_modules()) - OUTSIDE))
def test_functions_of_a_run_use_pytest_as_it_was(module: str) -> None:
    """A conftest may replace ``pytest.File``: what is used in functions comes from the held world."""
    tree = _tree(module)
    imported = any("pytest" in _imported(node) for node in _run_time(tree.body))
    used = {
        node.attr
        for node in _in_functions(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "pytest"
    }
    assert not (imported and used)


def test_every_module_is_on_one_side() -> None:
    there = set(_modules())
    assert there >= OUTSIDE | set(IN_CHILDREN)
    assert not OUTSIDE & set(IN_CHILDREN)


def test_a_held_module_is_none_for_those_who_look_through_globals() -> None:
    """pyfakefs replaces modules, freezegun functions, in the globals of all loaded modules."""
    from pytest_hotreload import world
    from pytest_hotreload.run.child import reset

    assert type(reset.__dict__["os"]) is world.Held
    assert not [
        name for name, value in vars(reset).items() if type(value) is type(sys) and value.__name__ in HELD
    ]
