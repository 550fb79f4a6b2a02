"""Transfers data of plugins that use xdist's convention (``workeroutput``) from children to the controller.

In xdist, a worker is a worker before any plugin is configured; our children are forks of a process that was
configured as a controller. So a separate fork, before the first child, determines what a plugin's
``pytest_configure`` or ``pytest_sessionstart`` puts into ``workeroutput`` in a worker, and each child begins
with this data.

With one slot no test sees any of this: ``workeroutput`` is set after the last test of a child.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pytest_hotreload.compat import console, plugins, pytest_config
from pytest_hotreload.compat.pickling import pack
from pytest_hotreload.compat.unpickling import loads
from pytest_hotreload.process.quiet_fork import fork_quietly
from pytest_hotreload.world import BUILTINS, os, pytest, select, signal, time

__builtins__ = BUILTINS

#: The ``workeroutput`` that each worker of this run begins with.
_EARLY = pytest.StashKey[dict[str, Any]]()
#: The ``workerinput`` for a child of a run with one slot, set after its tests; absent if no plugin takes data
#: over.
_ALONE = pytest.StashKey[dict[str, Any]]()
_EARLY_HOOKS = ("pytest_configure", "pytest_sessionstart")
#: Seconds for the early hooks of all plugins together.
_PATIENCE = 5.0


def prepare(session: pytest.Session, workerinput: Mapping[str, Any], *, several: bool) -> None:
    """Determine the early ``workeroutput``, in the controller, once, before the first fork."""
    config = session.config
    plugins.find_participants(config)
    if several or pytest_config.implementing_plugins_of(config, "pytest_testnodedown"):
        config.stash[_EARLY] = _early_output(session, workerinput)
        if not several:
            config.stash[_ALONE] = dict(workerinput)


def begin(config: pytest.Config, workerinput: dict[str, Any]) -> None:
    """Turn a child into a worker.

    A child that is forked from a worker (a slot process) already has ``workeroutput``.
    """
    config.workerinput = workerinput  # type: ignore[attr-defined]
    if not hasattr(config, "workeroutput"):
        config.workeroutput = config.stash.get(_EARLY, {})  # type: ignore[attr-defined]


def finish(session: pytest.Session) -> Iterator[str]:
    """Call the hooks that fill ``workeroutput``; yield each failure in words, since it is no error of a test."""
    config = session.config
    if config.stash.get(_ALONE, None) is not None:
        begin(config, config.stash[_ALONE])
    status = session.exitstatus or (1 if session.testsfailed else 0)
    for owner in plugins.participants(config):
        try:
            pytest_config.call_for(
                config, "pytest_sessionfinish", [owner], session=session, exitstatus=status
            )
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # for example pytest.exit
            name = pytest_config.plugin_name(config, owner)
            yield console.hook_failed(name, "pytest_sessionfinish", error)


def output(config: pytest.Config) -> bytes:
    """Return the data that plugins handed over, for the controller; or b""."""
    handed: Any = getattr(config, "workeroutput", None)
    return pack(dict(handed), config) if handed else b""


def _early_output(session: pytest.Session, workerinput: Mapping[str, Any]) -> dict[str, Any]:
    calls = [
        (hook, plugin)
        for hook in _EARLY_HOOKS
        for plugin in pytest_config.implementing_plugins(session.config, hook)
        if plugins.names_workeroutput(plugin)
    ]
    if not calls:
        return {}
    reading, writing = os.pipe()
    try:
        pid = fork_quietly()
    except OSError:  # forking the children will fail, too
        os.close(reading)
        os.close(writing)
        return {}
    if not pid:
        _tell_early_output(session, workerinput, calls, writing)
    os.close(writing)
    try:
        return loads(_read(reading, pid), session.config) or {}
    finally:
        os.close(reading)


def _tell_early_output(
    session: pytest.Session, workerinput: Mapping[str, Any], calls: list[tuple[str, object]], writing: int
) -> None:
    """Call the early hooks in the fork and send the result; never returns.

    Output is hidden, because the controller has printed it already.
    """
    try:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for number in (1, 2):
            os.dup2(nowhere, number)
        config = session.config
        config.workerinput = dict(workerinput)  # type: ignore[attr-defined]
        config.workeroutput = {}  # type: ignore[attr-defined]
        # Helper plugins are registered already; registering a second one of the same name would raise.
        config.pluginmanager.register = lambda *_, **__: None  # type: ignore[method-assign]
        for hook, plugin in calls:
            try:
                pytest_config.call_directly(config, hook, plugin, {"config": config, "session": session})
            except BaseException:
                continue
        with open(writing, "wb") as file:
            file.write(output(config))
    finally:
        os._exit(0)


def _read(reading: int, pid: int) -> bytes:
    data, until = b"", time.monotonic() + _PATIENCE
    while select.select([reading], [], [], max(0.0, until - time.monotonic()))[0]:
        more = os.read(reading, 65536)
        if not more:
            break
        data += more
    else:
        os.kill(pid, signal.SIGKILL)
        data = b""
    os.waitpid(pid, 0)
    return data
