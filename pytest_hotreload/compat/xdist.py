"""Emulates xdist's convention for plugins that rely on it: nodes, worker inputs, controller hooks.

The convention applies only with more than one slot: with one slot, everything is as in plain pytest. Without
xdist, a plugin named ``xdist`` provides the same hooks and fixtures, since many plugins look for it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any, Protocol

import pytest

from pytest_hotreload.compat import console, xdist_fixtures
from pytest_hotreload.world import BUILTINS, EXECUTABLE, os, own_copy, program_arguments

__builtins__ = BUILTINS

#: Plugins whose node hooks are not called: pytest-cov's distributed engine is not in use, see
#: ``compat/plugins.py``; pytest-metadata expects the data of a worker that configures itself, and has all of
#: it here.
_OWN_WAY = ("_cov", "metadata", "pytest_metadata.plugin")


class Node:
    """The view of xdist's ``WorkerController`` that plugins see; there is one node for each slot."""

    #: Set only after a child has handed data over: plugins check for the attribute.
    workeroutput: dict[str, Any]

    def __init__(self, config: pytest.Config, worker_id: str, count: int, run_id: str) -> None:
        self.config = config
        self.gateway = _Gateway(worker_id)
        self.workerinput: dict[str, Any] = {
            "workerid": worker_id,
            "workercount": count,
            "testrunuid": run_id,
            "mainargv": program_arguments(),
        }
        self.shutting_down = False

    def __repr__(self) -> str:
        return f"<Node {self.gateway.id}>"


class _Gateway:
    """The attributes ``id`` and ``spec`` and the method ``_rinfo()`` of an execnet gateway."""

    def __init__(self, worker_id: str) -> None:
        self.id = worker_id
        self.spec = SimpleNamespace(popen=True, chdir=None, python=None, id=worker_id)

    def _rinfo(self) -> SimpleNamespace:
        return SimpleNamespace(
            executable=EXECUTABLE,
            version_info=sys.version_info,
            platform=sys.platform,
            cwd=str(Path.cwd()),
            pid=os.getpid(),
        )


class Scheduling:
    """The part of xdist's scheduler that ``pytest_handlecrashitem`` may use."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.pending: list[str] = []

    def mark_test_pending(self, item: str) -> None:
        """Request another run of this node id."""
        self.pending.append(item)


class WorkerNode(Protocol):
    """The slot, here or on a host, that a node represents."""

    worker_id: str
    node: Any


class Nodes:
    """Calls the controller hooks at the times when xdist would.

    With fewer than two slots, only data that a child handed over is reported.
    """

    def __init__(self, config: pytest.Config, slots: Sequence[WorkerNode]) -> None:
        self.config = config
        self.slots: list[WorkerNode] = list(slots) if len(slots) > 1 else []
        self.run_id = os.urandom(16).hex()

    def configure(self) -> None:
        """Call ``pytest_configure_node`` and ``pytest_testnodeready`` for each slot."""
        for slot in self.slots:
            slot.node = Node(self.config, slot.worker_id, len(self.slots), self.run_id)
            self._call("pytest_configure_node", node=slot.node)
            self._call("pytest_testnodeready", node=slot.node)

    def collected(self, ids: Sequence[str]) -> None:
        """Report all ids once: a plugin that prunes data by the ids must not lose any."""
        if self.slots:
            self._call("pytest_xdist_node_collection_finished", node=self.slots[0].node, ids=ids)

    def child_ended(self, slot: WorkerNode, output: Mapping[str, Any] | None) -> None:
        """Report the data that one child handed over, as if the child were a worker."""
        if not output:
            return
        if slot.node is not None:
            slot.node.workeroutput = dict(output)
            self._call("pytest_testnodedown", node=slot.node, error=None)
            slot.node.reported = True
        elif not self.slots:
            self._only_child_ended(output)

    def _only_child_ended(self, output: Mapping[str, Any]) -> None:
        """Report the data of a child of a run with one slot.

        No node was announced before; a plugin that needs the announcement would lose its data in any case.
        """
        node = Node(self.config, "gw0", 1, self.run_id)
        node.workeroutput = dict(output)
        try:
            self._call("pytest_testnodedown", node=node, error=None)
        except Exception as error:
            console.notice(self.config, console.hook_failed("a plugin", "pytest_testnodedown", error))

    def any_workerinput(self) -> dict[str, Any]:
        """Return the ``workerinput`` of the first worker."""
        if self.slots:
            return dict(self.slots[0].node.workerinput)
        return dict(Node(self.config, "gw0", 1, self.run_id).workerinput)

    def crashed(self, item: pytest.Item, report: pytest.TestReport) -> bool:
        """Call ``pytest_handlecrashitem``; return whether a plugin requests another run of the item."""
        if not self.slots:
            return False
        scheduling = Scheduling(self.config)
        self._call("pytest_handlecrashitem", crashitem=item.nodeid, report=report, sched=scheduling)
        return item.nodeid in scheduling.pending

    def down(self) -> None:
        """Call ``pytest_testnodedown`` for each slot that has not been reported yet."""
        for slot in self.slots:
            if slot.node is not None and not getattr(slot.node, "reported", False):
                self._call("pytest_testnodedown", node=slot.node, error=None)
            slot.node = None

    def workerinput(self, slot: WorkerNode) -> dict[str, Any] | None:
        return None if slot.node is None else slot.node.workerinput

    def environ(self, slot: WorkerNode) -> dict[str, str]:
        """Return the environment variables that xdist sets in a worker."""
        if slot.node is None:
            return {}
        return {
            "PYTEST_XDIST_WORKER": slot.worker_id,
            "PYTEST_XDIST_WORKER_COUNT": str(len(self.slots)),
            "PYTEST_XDIST_TESTRUNUID": self.run_id,
        }

    def _call(self, hook: str, **arguments: Any) -> None:
        if hasattr(self.config.hook, hook):
            own_way = [self.config.pluginmanager.get_plugin(name) for name in _OWN_WAY]
            caller = self.config.pluginmanager.subset_hook_caller(hook, [each for each in own_way if each])
            caller(**arguments)


#: The names of xdist's plugin: by its entry point or ``-p xdist``; by its module (``-p xdist.plugin``,
#: ``pytest_plugins``).
_XDIST = ("xdist", "xdist.plugin")


def join_convention(config: pytest.Config, *, several: bool) -> None:
    """Register xdist's fixtures and, with several slots, a plugin named ``xdist``, unless xdist is installed."""
    if any(config.pluginmanager.hasplugin(name) for name in _XDIST):
        return
    config.pluginmanager.register(xdist_fixtures, "hotreload-workers")
    if several:
        _keep_modules_of_rerunfailures()
        config.pluginmanager.register(StandIn(), "xdist")


def _keep_modules_of_rerunfailures() -> None:
    """Give pytest-rerunfailures copies of the modules that it uses only because it takes two slots for xdist.

    Its server and clients for the counts of reruns would otherwise use sockets and threads as a conftest left
    them. Checked on pytest-rerunfailures 16.7.
    """
    plugin = sys.modules.get("pytest_rerunfailures")
    for name in ("socket", "secrets"):
        module = getattr(plugin, name, None)
        if type(module) is ModuleType:
            copy = ModuleType(name, module.__doc__)
            copy.__dict__.update(vars(module))
            if name == "socket":
                _bind_methods(copy)
            setattr(plugin, name, copy)
    if type(getattr(plugin, "threading", None)) is ModuleType:
        # A thread looks up functions of its module while it begins: if one of them fails, its starter waits for ever.
        plugin.threading = own_copy("threading")  # type: ignore[union-attr]


def _bind_methods(module: Any) -> None:
    """Give the copy of ``socket`` a class whose methods look names up in the copy: ``accept`` makes a socket.

    Loading the module once more is no way: its constants would become those of the module that tests use.
    """
    plain = module.socket
    methods = {
        name: _bound_to(module, method)
        for name, method in vars(plain).items()
        if type(method) is FunctionType
    }
    module.socket = type("socket", (plain,), {"__slots__": (), **methods})


def _bound_to(module: Any, function: FunctionType) -> FunctionType:
    names = vars(module)
    bound = FunctionType(
        function.__code__, names, function.__name__, function.__defaults__, function.__closure__
    )
    bound.__kwdefaults__ = function.__kwdefaults__
    return bound


class StandIn:
    """A plugin named ``xdist`` for runs without xdist."""

    @staticmethod
    def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
        from pytest_hotreload.compat import xdist_hookspecs

        pluginmanager.add_hookspecs(xdist_hookspecs)
