"""Warm functions: functions that fill caches, called once before the first fork.

Without them, each child fills these caches again. The functions are named in the ini option ``hotreload_warm``,
marked by :func:`warm` in a conftest or a plugin, or known (``run/known_caches.py``).

Each function is tried in a fork that is thrown away, and is called here only if that went well: an error, the
end of the process or a thread then leaves nothing behind in the process from which the children are forked.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import PurePath
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from pytest_hotreload.compat import pytest_output
from pytest_hotreload.original_names import ORIGINAL_NAMES
from pytest_hotreload.process import lifeline
from pytest_hotreload.process.living import Living
from pytest_hotreload.process.template import in_fork, quiet
from pytest_hotreload.run import known_caches, messages
from pytest_hotreload.usage import usage_error
from pytest_hotreload.world import BUILTINS, contextlib, os, time, warnings

__builtins__ = BUILTINS

if TYPE_CHECKING:
    from pytest_hotreload.run.context import RunContext

_MARK = "_pytest_hotreload_warm"
#: The functions are called if more files than this are forked for each slot. A call costs its time twice, in the
#: trial and here, while all slots wait; a child saves it once, and the slots save in parallel.
_FILES_PER_SLOT = 2
_Function = TypeVar("_Function", bound=Callable[..., Any])


def warm(function: _Function) -> _Function:
    """Mark a function of a conftest or a plugin to be called once, before the first fork.

    The function fills caches that the tests would fill, takes no argument, and has no other effect that a test
    can see. Without ``--hotreload``, the decorator has no effect.

    Args:
        function: A function at the level of a module, without parameters. It is no fixture.

    Returns:
        The same function.
    """
    setattr(function, _MARK, True)
    return function


class WarmFunction(NamedTuple):
    """A function to call."""

    #: The name in messages.
    name: str
    #: Returns the function.
    find: Callable[[], Callable[[], Any]]
    #: What messages call the origin: the ini option, or the decorator.
    origin: str = "hotreload_warm"


class UnknownFunctionError(Exception):
    """An entry of ``hotreload_warm`` names a module or function that does not exist."""


def worthwhile(files: int, slots: int) -> bool:
    """Whether enough files will be forked to win back the calls."""
    return files > _FILES_PER_SLOT * slots


def call_all(context: RunContext, running: Iterable[str], controller: int) -> None:
    """Call all warm functions, in the controller, after the collection and before the first fork.

    Args:
        context: The run.
        running: The paths of the files that will be forked from this process.
        controller: The read end of the lifeline, which tells the trials that this process has ended.

    Raises:
        pytest.UsageError: The ini option names a module or function that does not exist.
    """
    places = {os.path.dirname(path) for path in running}
    folders = places | {str(parent) for place in places for parent in PurePath(place).parents}
    functions = [*_named(context.options.warm), *_marked(context, folders)]
    known = known_caches.present() if context.options.warm_known else []
    if not functions and not known:
        return
    records = context.records
    if records is not None:
        records.stop_collecting()  # a trial would count as a process that a test started
    pytest_output.flush_terminal(context.config)
    for function in functions:
        if _passes_trial(context, function, controller):
            _call(context, function)
    for name, fill in known:
        _fill_known(context, name, fill)


def _named(names: Iterable[str]) -> Iterator[WarmFunction]:
    return (WarmFunction(name, functools.partial(_resolve, name)) for name in names)


def _marked(context: RunContext, folders: set[str]) -> Iterator[WarmFunction]:
    """Yield the marked functions of plugins, and of the conftests of the files that run."""
    seen = set()
    for plugin in context.config.pluginmanager.get_plugins():
        if type(plugin) is not ModuleType:
            continue
        path = PurePath(str(vars(plugin).get("__file__") or plugin.__name__))
        if path.name == "conftest.py" and str(path.parent) not in folders:
            continue
        where = context.shown(str(path)) if path.is_absolute() else str(path)
        for value in list(vars(plugin).values()):
            if type(value) is FunctionType and vars(value).get(_MARK) is True and value not in seen:
                seen.add(value)
                yield WarmFunction(f"{where}:{value.__name__}", functools.partial(_itself, value), "warm")


def _itself(function: Callable[[], Any]) -> Callable[[], Any]:
    return function


def _resolve(name: str) -> Callable[[], Any]:
    """Return the function of an entry. Raises UnknownFunctionError, and all that the module's import raises."""
    module_name, _, path = name.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and f"{module_name}.".startswith(f"{error.name}."):
            raise UnknownFunctionError(f"there is no module {error.name}") from None
        raise
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise UnknownFunctionError(f"there is no {part} in {module_name}") from None
    if not callable(found):
        raise UnknownFunctionError(f"its type is {type(found).__name__}, which can't be called")
    return found  # type: ignore[no-any-return]


def _passes_trial(context: RunContext, function: WarmFunction, controller: int) -> bool:
    """Try the function in a fork. Prints the reason for which it can't be called. Raises UsageError."""
    before = Living()  # of this process: BLAS starts its threads anew in a fork
    try:
        unknown, why = in_fork(lambda: _try(function, controller, before), ("", messages.ENDED_ITS_PROCESS))
    except OSError:  # the system refuses to fork; then no child is forked either
        return False
    if unknown:
        raise usage_error(
            f"hotreload_warm names {function.name!r}, but {unknown}",
            hint="correct the name, or remove it from the ini file",
        )
    if why:
        context.totals.notices.append(messages.not_warmed(function.origin, function.name, why))
    return not why


def _try(function: WarmFunction, controller: int, before: Living) -> tuple[str, str]:
    """In the fork: return the reason for which the entry is wrong, or the reason for which the call failed."""
    lifeline.end_with(controller)
    with _silent(), quiet():
        try:
            _run(function)
        except UnknownFunctionError as error:
            return str(error), ""
        except BaseException as error:
            return "", messages.raised(error)
    return "", before.what_is_new().removeprefix("it ")


def _run(function: WarmFunction) -> None:
    result = function.find()()
    if type(result).__name__ in ("coroutine", "async_generator", "generator"):
        raise TypeError("a warm function must be an ordinary function")


def _call(context: RunContext, function: WarmFunction) -> None:
    """Call the function here. This call may fail although the trial passed, and that is reported, too."""
    began, before = time.monotonic(), Living()
    try:
        with _observed(context), pytest_output.capture_dropped(context.config), _unheard():
            _run(function)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        why = messages.raised(error)
    else:
        why = before.what_is_new().removeprefix("it ")
        context.totals.warm_functions[function.name] = time.monotonic() - began
    if why:
        context.totals.notices.append(messages.not_warmed(function.origin, function.name, why))


def _fill_known(context: RunContext, name: str, fill: Callable[[], None]) -> None:
    began = time.monotonic()
    quietly = pytest_output.capture_dropped(context.config)
    with contextlib.suppress(Exception), _observed(context), quietly, _unheard():
        fill()
        context.totals.warm_functions[name] = time.monotonic() - began


def _observed(context: RunContext) -> contextlib.AbstractContextManager[None]:
    """Attribute what the function reads to every test file."""
    return context.records.sharing() if context.records is not None else contextlib.nullcontext()


@contextlib.contextmanager
def _unheard() -> Iterator[None]:
    """Ignore warnings and log records of this block, which belong to no test."""
    import logging

    disabled = logging.root.manager.disable
    with ORIGINAL_NAMES:
        logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        with ORIGINAL_NAMES:
            logging.disable(disabled)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Discard, in a fork that is thrown away, what this block writes to ``sys.stdout``, ``sys.stderr`` and to logs."""
    with (
        open(os.devnull, "w") as nowhere,  # noqa: PTH123 - pathlib may be a test's
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
        _unheard(),
    ):
        yield
