"""Private interfaces of pytest and pluggy about configuration, plugins and hooks.

Checked on pytest 8.4.2, 9.0 and 9.2.0 with pluggy 1.5 to 1.7. Each function names what it relies on.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
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


#: The names of the module ``pytest``, before a conftest adds others (``pytest.results = []``).
NAMES_OF_PYTEST = frozenset(vars(pytest))


# ------------------------------------------------------------------------------------- hooks


def keep_only(config: pytest.Config, hook: str, plugins: Iterable[object]) -> list[Any]:
    """Return the implementations of ``hook`` that belong to ``plugins`` (pluggy: ``HookCaller._hookimpls``)."""
    kept = list(plugins)
    caller = getattr(config.hook, hook)
    return [impl for impl in caller._hookimpls if any(impl.plugin is plugin for plugin in kept)]


def set_implementations(config: pytest.Config, hook: str, implementations: list[Any]) -> None:
    """Make only these implementations run from now on, in this process (pluggy: ``HookCaller._hookimpls``)."""
    getattr(config.hook, hook)._hookimpls[:] = implementations


def implementing_plugins(config: pytest.Config, hook: str) -> list[object]:
    """Return the plugins that implement ``hook``."""
    return [impl.plugin for impl in getattr(config.hook, hook).get_hookimpls()]


def hook_functions(config: pytest.Config, hook: str) -> list[Any]:
    """Return the functions that implement ``hook``.

    ``config.hook`` hides them for hooks with a path in pytest 8 (``_pytest.config.compat.PathAwareHookProxy``).
    """
    return [each.function for each in getattr(config.pluginmanager.hook, hook).get_hookimpls()]


def plugin_name(config: pytest.Config, plugin: object) -> str:
    """Return the name by which the user knows a plugin: its distribution, or the name that it is registered by."""
    for found, distribution in config.pluginmanager.list_plugin_distinfo():
        if found is plugin:
            return _project_name(distribution)
    name = str(config.pluginmanager.get_name(plugin) or type(plugin).__name__)
    return os.path.relpath(name, config.rootpath) if os.path.isabs(name) else name


def implementing_plugins_of(config: pytest.Config, hook: str) -> list[object]:
    """Return the plugins that implement ``hook``, which may be undeclared."""
    return implementing_plugins(config, hook) if hasattr(config.hook, hook) else []


def call_implementation(implementation: Any, arguments: Mapping[str, Any]) -> Any:
    """Call one implementation of a hook with those of the arguments that it takes (pluggy: ``HookImpl.argnames``)."""
    return implementation.function(*(arguments[name] for name in implementation.argnames))


def call_directly(config: pytest.Config, hook: str, plugin: object, arguments: Mapping[str, Any]) -> None:
    """Call a plugin's implementations of a hook that can't be called again through pluggy (historic hooks)."""
    for implementation in getattr(config.hook, hook).get_hookimpls():
        if implementation.plugin is plugin and not (implementation.wrapper or implementation.hookwrapper):
            call_implementation(implementation, arguments)


def call_for(config_: pytest.Config, hook: str, plugins: list[object], **arguments: Any) -> Any:
    """Call ``hook`` for ``plugins`` only, and return their results."""
    others = [p for p in implementing_plugins(config_, hook) if not any(p is q for q in plugins)]
    return config_.pluginmanager.subset_hook_caller(hook, others)(**arguments)


def is_pytests_hook(name: str) -> bool:
    """Return whether pytest itself specifies this hook (``_pytest.hookspec``)."""
    return hasattr(hookspec, name)


def own_attributes(thing: pytest.Config | pytest.Session) -> set[str]:
    """Return the config's or session's attributes that belong to pytest.

    These are the attributes that the constructors name, and those that are added later.
    """
    found = set(_LATER_ATTRIBUTES)
    for kind in type(thing).__mro__:
        code = getattr(kind.__dict__.get("__init__"), "__code__", None)
        found.update(code.co_names if code is not None else ())
    return found


#: Attributes that are set on ``Config`` and ``Session`` after their creation; the last two are set by xdist.
# fmt: off
_LATER_ATTRIBUTES = frozenset((
    "args", "args_source", "cache", "inicfg", "_inicfg", "known_args_namespace", "rootdir", "_rootpath", "_inipath",
    "_parser", "_initialpaths", "_initialpaths_with_parents", "items", "testscollected", "exitstatus", "config",
    "_fixturemanager", "_setupstate", "_notfound", "_collection_cache", "stash", "workerinput", "workeroutput",
))
# fmt: on


def stash_content(thing: Any) -> dict[Any, Any] | None:
    """Return the content of the stash (``Stash._storage``)."""
    found: Any = getattr(getattr(thing, "stash", None), "_storage", None)
    return found if type(found) is dict else None


# ------------------------------------------------------------------------------------- options


def declared_options(parser: pytest.Parser) -> set[str]:
    """Return every option that is already declared (``Parser._groups``, ``_anonymous``; ``Argument.names``)."""
    groups: list[Any] = [*getattr(parser, "_groups", []), getattr(parser, "_anonymous", None)]
    return {name for group in groups for option in getattr(group, "options", []) for name in option.names()}


def option_names(config: pytest.Config) -> dict[str, str]:
    """Return the longest spelling of each option, by the name of its value.

    Relies on ``Config._parser``, its groups, and ``Argument.names`` and ``dest``.
    """
    parser: Any = vars(config).get("_parser")
    groups: list[Any] = [*getattr(parser, "_groups", []), getattr(parser, "_anonymous", None)]
    options = [option for group in groups for option in getattr(group, "options", []) if option.names()]
    return {option.dest: max(option.names(), key=len) for option in options}


def ini_values(config: pytest.Config) -> dict[str, str]:
    """Return the values of the ini file, as text.

    Relies on ``Config.inicfg``, in pytest 9 ``_inicfg``: plain values, or values with their origin.
    """
    values: Any = vars(config).get("_inicfg") or vars(config).get("inicfg", {})
    return {str(name): repr(getattr(value, "value", value)) for name, value in values.items()}


def conftest_files(config: pytest.Config) -> list[str]:
    """Return the loaded conftests (``PytestPluginManager._conftest_plugins``).

    A conftest whose bytecode is cached is never opened, and several may have the same module name.
    """
    loaded: Any = getattr(config.pluginmanager, "_conftest_plugins", ())
    return [str(file) for module in loaded if (file := getattr(module, "__file__", None))]


def plugin_names(config: pytest.Config) -> list[str]:
    """Return the distributions of the installed plugins that are active."""
    return [_project_name(found) for _, found in config.pluginmanager.list_plugin_distinfo()]


@functools.cache
def _project_name(found: Any) -> str:
    """Return the name of a distribution. Cached, because parsing the metadata takes 2 ms each time."""
    return str(found.project_name)


def selects_everything(config: pytest.Config) -> bool:
    """Return whether the command line names no files (``Config.args_source``: the origin of ``config.args``)."""
    source: Any = getattr(config, "args_source", None)
    return getattr(source, "name", "") in ("INVOCATION_DIR", "TESTPATHS")


def names_folders(config: pytest.Config) -> bool:
    """Return whether the command line names folders only: no files, and no tests."""
    return all(os.path.isdir(place_of_argument(config, argument)) for argument in config.args)


def usual_options(config: pytest.Config, names: Iterable[str]) -> dict[str, Any]:
    """Return the values that these options have in every run: those of ``addopts`` and of the environment.

    ``Config._parser`` (pytest 8.4 to 9.2) knows the options of plugins, too. It is None where they cannot be read.
    """
    import shlex

    words = [*shlex.split(os.environ.get("PYTEST_ADDOPTS", "")), *config.getini("addopts")]
    found = None
    with contextlib.suppress(
        Exception
    ):  # an option in addopts may only print something, and ends by an exception
        found = config._parser.parse_known_args(words)
    return {name: getattr(found, name, None) for name in names}


def only_argument(config: pytest.Config) -> str:
    """Return the only file, folder or test that the command line names, or "" (``Config.option.file_or_dir``)."""
    named = list(getattr(config.option, "file_or_dir", None) or ())
    source = getattr(getattr(config, "args_source", None), "name", "")
    return str(named[0]) if len(named) == 1 and source == "ARGS" else ""


def replace_argument(config: pytest.Config, old: str, new: str, arguments: Sequence[str]) -> None:
    """Let a configured pytest select ``new`` where its command line names ``old``, which is of the same folder.

    ``arguments``: the new command line. Relies on ``Config.args``, ``invocation_params``, ``file_or_dir`` of ``option``
    and of ``known_args_namespace``.
    """
    params: Any = config.invocation_params
    config.invocation_params = type(params)(args=tuple(arguments), plugins=params.plugins, dir=params.dir)
    for names in (config.args, config.option.file_or_dir, config.known_args_namespace.file_or_dir):
        names[:] = [new if name == old else name for name in names]


def place_of_argument(config: pytest.Config, argument: str) -> str:
    """Return the file or folder that an argument names or selects from.

    Does the same as ``_pytest.main.resolve_collection_argument``.
    """
    name = argument.partition("[")[0].split("::")[0]
    if config.option.pyargs:
        with contextlib.suppress(Exception):  # raised by a parent package; pytest's own look-up reports it
            spec = importlib.util.find_spec(name)
            if spec is not None:
                name = str(next(iter(spec.submodule_search_locations or ()), spec.origin))
    return os.path.abspath(config.invocation_params.dir / name)


def arguments_among(config: pytest.Config, paths: Collection[str]) -> list[str]:
    """Return the arguments whose file or folder is one of the paths; all arguments with ``--pyargs``."""
    if getattr(config.option, "pyargs", False):
        return list(config.args)
    return [argument for argument in config.args if place_of_argument(config, argument) in paths]


def cache_folder(config: pytest.Config) -> Path:
    """Return pytest's cache folder, whether it exists or not, as ``Cache.cache_dir_from_config`` finds it."""
    try:
        named = str(config.getini("cache_dir"))
    except ValueError:  # -p no:cacheprovider
        named = ".pytest_cache"
    return config.rootpath / Path(os.path.expandvars(named)).expanduser()


def rewriting_hook() -> Any:
    """Return the import hook of the pytest that is being configured; the hook also rewrites assertions in plugins."""
    found = (finder for finder in sys.meta_path if isinstance(finder, AssertionRewritingHook))
    return next(found, None)


def make_cache_folder(config: pytest.Config, name: str) -> Path:
    """Do the same as ``config.cache.mkdir(name)``, before ``config.cache`` exists. Raises OSError."""
    return pytest.Cache(cache_folder(config), config, _ispytest=True).mkdir(name)


def package_folders() -> list[str]:
    """Return the folders of pytest's and pluggy's own code."""
    return [str(Path(str(module.__file__)).parent) for module in (pytest, _pytest, pluggy)]


# ------------------------------------------------------------------------------------- session


def expression_error(option: str, text: str) -> str:
    """Return pytest's error message for this expression of ``-k`` or ``-m``; "" if pytest accepts it."""
    from _pytest.mark import _parse_expression

    if not text.strip():
        return ""
    wrong = f"Wrong expression passed to '{option}'"
    try:
        _parse_expression(text.lstrip(), wrong)
    except pytest.UsageError as error:
        return str(error)
    except (RecursionError, MemoryError, ValueError, SyntaxError) as error:  # for example nested too deeply
        return f"{wrong}: {text}: {type(error).__name__}"
    return ""


def rewritten(config: pytest.Config, path: Path) -> Any:
    """Return the code of a file with pytest's rewritten asserts."""
    from _pytest.assertion.rewrite import _rewrite_test

    return _rewrite_test(path, config)[1]
