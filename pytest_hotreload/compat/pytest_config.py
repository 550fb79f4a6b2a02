"""Private interfaces of pytest and pluggy about configuration, plugins and hooks.

Checked on pytest 8.4.2, 9.0 and 9.2.0 with pluggy 1.5 to 1.7. Each function names what it relies on.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import _pytest
import _pytest.config
import _pytest.pathlib
import pluggy
from _pytest import hookspec
from _pytest.assertion.rewrite import AssertionRewritingHook

from pytest_hotreload.world import BUILTINS, contextlib, functools, os, pytest

__builtins__ = BUILTINS


#: pytest's own names, before a conftest adds others (``pytest.results = []``).
NAMES_OF_PYTEST = frozenset(vars(pytest))


# ------------------------------------------------------------------------------------- hooks


def keep_only(config: pytest.Config, hook: str, plugins: Iterable[object]) -> list[Any]:
    """The implementations of ``hook`` that belong to ``plugins`` (pluggy: ``HookCaller._hookimpls``)."""
    kept = list(plugins)
    caller = getattr(config.hook, hook)
    return [impl for impl in caller._hookimpls if any(impl.plugin is plugin for plugin in kept)]


def set_implementations(config: pytest.Config, hook: str, implementations: list[Any]) -> None:
    """Let only these run from now on, in this process (pluggy: ``HookCaller._hookimpls``)."""
    getattr(config.hook, hook)._hookimpls[:] = implementations


def implementing_plugins(config: pytest.Config, hook: str) -> list[object]:
    """The plugins that implement ``hook``."""
    return [impl.plugin for impl in getattr(config.hook, hook).get_hookimpls()]


def plugin_name(config: pytest.Config, plugin: object) -> str:
    """As the user knows it: the distribution that it came with, or the name that it is registered by."""
    for found, distribution in config.pluginmanager.list_plugin_distinfo():
        if found is plugin:
            return _project_name(distribution)
    name = str(config.pluginmanager.get_name(plugin) or type(plugin).__name__)
    return os.path.relpath(name, config.rootpath) if os.path.isabs(name) else name


def implementing_plugins_of(config: pytest.Config, hook: str) -> list[object]:
    """The same of a hook that nobody may have declared."""
    return implementing_plugins(config, hook) if hasattr(config.hook, hook) else []


def call_directly(config: pytest.Config, hook: str, plugin: object, arguments: Mapping[str, Any]) -> None:
    """A plugin's implementations of a hook that can't be called again by itself (pluggy: historic ones)."""
    for implementation in getattr(config.hook, hook).get_hookimpls():
        if implementation.plugin is plugin and not (implementation.wrapper or implementation.hookwrapper):
            implementation.function(*(arguments[name] for name in implementation.argnames))


def call_for(config_: pytest.Config, hook: str, plugins: list[object], **arguments: Any) -> Any:
    """Call ``hook`` for ``plugins`` alone; what they return."""
    others = [p for p in implementing_plugins(config_, hook) if not any(p is q for q in plugins)]
    return config_.pluginmanager.subset_hook_caller(hook, others)(**arguments)


def is_pytests_hook(name: str) -> bool:
    """Whether pytest itself specifies this hook (``_pytest.hookspec``)."""
    return hasattr(hookspec, name)


def own_attributes(thing: pytest.Config | pytest.Session) -> set[str]:
    """Attributes of the config or the session that are pytest's: what its constructors name, and what comes later."""
    found = set(_LATER_ATTRIBUTES)
    for kind in type(thing).__mro__:
        code = getattr(kind.__dict__.get("__init__"), "__code__", None)
        found.update(code.co_names if code is not None else ())
    return found


#: Set on ``Config`` and ``Session`` after they are made; the last two by xdist.
# fmt: off
_LATER_ATTRIBUTES = frozenset((
    "args", "args_source", "cache", "inicfg", "_inicfg", "known_args_namespace", "rootdir", "_rootpath", "_inipath",
    "_parser", "_initialpaths", "_initialpaths_with_parents", "items", "testscollected", "exitstatus", "config",
    "_fixturemanager", "_setupstate", "_notfound", "_collection_cache", "stash", "workerinput", "workeroutput",
))
# fmt: on


def stash_content(thing: Any) -> dict[Any, Any] | None:
    """What lies in the stash (``Stash._storage``)."""
    found: Any = getattr(getattr(thing, "stash", None), "_storage", None)
    return found if type(found) is dict else None


# ------------------------------------------------------------------------------------- options


def declared_options(parser: pytest.Parser) -> set[str]:
    """Every option that stands already (``Parser._groups``, ``_anonymous``; ``Argument.names``)."""
    groups: list[Any] = [*getattr(parser, "_groups", []), getattr(parser, "_anonymous", None)]
    return {name for group in groups for option in getattr(group, "options", []) for name in option.names()}


def ini_values(config: pytest.Config) -> dict[str, str]:
    """What the ini file says, as text (``Config.inicfg``, in pytest 9 ``_inicfg``: plain values, or with
    their origin)."""
    values: Any = vars(config).get("_inicfg") or vars(config).get("inicfg", {})
    return {str(name): repr(getattr(value, "value", value)) for name, value in values.items()}


def conftest_files(config: pytest.Config) -> list[str]:
    """The conftests that are loaded. Nobody opens one whose bytecode is cached, and several may bear one name
    (``PytestPluginManager._conftest_plugins``)."""
    loaded: Any = getattr(config.pluginmanager, "_conftest_plugins", ())
    return [str(file) for module in loaded if (file := getattr(module, "__file__", None))]


def plugin_names(config: pytest.Config) -> list[str]:
    """Installed plugins that are in force, by distribution."""
    return [_project_name(found) for _, found in config.pluginmanager.list_plugin_distinfo()]


@functools.cache
def _project_name(found: Any) -> str:
    """Parses the distribution's metadata: 2 ms each."""
    return str(found.project_name)


def selects_everything(config: pytest.Config) -> bool:
    """Whether the command line names no files (``Config.args_source``: where ``config.args`` came from)."""
    source: Any = getattr(config, "args_source", None)
    return getattr(source, "name", "") in ("INVOCATION_DIR", "TESTPATHS")


def place_of_argument(config: pytest.Config, argument: str) -> str:
    """The file or folder that an argument names or selects from (``_pytest.main.resolve_collection_argument``)."""
    name = argument.partition("[")[0].split("::")[0]
    if config.option.pyargs:
        with contextlib.suppress(Exception):  # of a parent package: pytest's own look-up shows it
            spec = importlib.util.find_spec(name)
            if spec is not None:
                name = str(next(iter(spec.submodule_search_locations or ()), spec.origin))
    return os.path.abspath(config.invocation_params.dir / name)


def cache_folder(config: pytest.Config) -> Path:
    """pytest's cache, whether it exists or not, as ``Cache.cache_dir_from_config`` finds it."""
    try:
        named = str(config.getini("cache_dir"))
    except ValueError:  # -p no:cacheprovider
        named = ".pytest_cache"
    return config.rootpath / Path(os.path.expandvars(named)).expanduser()


def rewriting_hook() -> Any:
    """The import hook of the pytest that is being configured; it rewrites assertions in plugins, too."""
    found = (finder for finder in sys.meta_path if isinstance(finder, AssertionRewritingHook))
    return next(found, None)


def make_cache_folder(config: pytest.Config, name: str) -> Path:
    """As ``config.cache.mkdir(name)``, before there is ``config.cache``. Raises OSError."""
    return pytest.Cache(cache_folder(config), config, _ispytest=True).mkdir(name)


def package_folders() -> list[str]:
    """Where pytest's own code and pluggy's lie."""
    return [str(Path(str(module.__file__)).parent) for module in (pytest, _pytest, pluggy)]


# ------------------------------------------------------------------------------------- session


def expression_error(option: str, text: str) -> str:
    """Why pytest would refuse this expression of ``-k`` or ``-m``, as pytest says it; "" where it would not."""
    from _pytest.mark import _parse_expression

    if not text.strip():
        return ""
    wrong = f"Wrong expression passed to '{option}'"
    try:
        _parse_expression(text.lstrip(), wrong)
    except pytest.UsageError as error:
        return str(error)
    except (RecursionError, MemoryError, ValueError, SyntaxError) as error:  # nested too deeply, for one
        return f"{wrong}: {text}: {type(error).__name__}"
    return ""


def rewritten(config: pytest.Config, path: Path) -> Any:
    """The code of a file whose asserts pytest rewrites."""
    from _pytest.assertion.rewrite import _rewrite_test

    return _rewrite_test(path, config)[1]
