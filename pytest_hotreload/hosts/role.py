"""The plugin of a host's pytest, and its connection to the user's controller."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from pytest_hotreload.compat import console, junit, plugins
from pytest_hotreload.host_options import HOST_ENVIRONMENT
from pytest_hotreload.hosts import messages as hosts_messages
from pytest_hotreload.hosts.protocol import Batch, Begin, Noticed
from pytest_hotreload.hosts.start import inherited
from pytest_hotreload.options import Options
from pytest_hotreload.process.channel import Channel
from pytest_hotreload.process.lifeline import end_with
from pytest_hotreload.run.child import self_collecting
from pytest_hotreload.world import BUILTINS, os, replaced, sockets

__builtins__ = BUILTINS


class HostRole:
    """The plugin of a host's pytest, and its connection to the user's controller. Active before the first conftest."""

    def __init__(self, lifeline: int, end: int) -> None:
        for descriptor in (lifeline, end):
            os.set_inheritable(descriptor, False)
        end_with(lifeline)
        self.channel = Channel(sockets.socket(fileno=end))
        _, begin = self.channel.receive()
        self.begin: Begin = begin
        #: (node id, error text) of collectors that failed.
        self.errors: list[tuple[str, str]] = []
        self._out: list[Any] = []
        self.xmlpath: str | None = None

    @classmethod
    def started(cls) -> HostRole | None:
        """The role if an agent started this process; else None."""
        found = inherited()
        if found is None:
            return None
        del os.environ[HOST_ENVIRONMENT]
        return cls(*found)

    def send(self, message: Any) -> None:
        """Queue a message to the user's controller for the next :meth:`flush`."""
        self._out.append(message)

    def flush(self) -> None:
        """Send the queued messages as one batch.

        Messages that a child sent together have to arrive together, because the user's controller may stop after any
        of them.
        """
        if self._out:
            self.channel.send(-1, Batch(tuple(self._out)))
            self._out.clear()

    def options(self, chosen: Options) -> Options:
        """The user's options without those that apply only to the user's controller."""
        return replaced(
            chosen,
            slots=len(self.begin.workers),
            hosts=(),
            direct=False,
            records=False,
            affected=False,
            affected_since=None,
            reuse="off",
            watch=False,
            json=None,
            shard=None,
            shard_plan=None,
            shard_from=None,
        )

    @property
    def workerinput(self) -> dict[str, Any]:
        """The value for plugins that test whether this process is a worker: that of the first slot."""
        return dict(self.begin.workers[0].workerinput)

    def join(self, config: pytest.Config) -> None:
        """Register this plugin before the first conftest."""
        config.workeroutput = {}  # type: ignore[attr-defined]
        plugins.keep_coverage_files(config)
        config.pluginmanager.register(self, "hotreload-host")

    def worker_for_good(self, config: pytest.Config) -> None:
        """Set ``config.workerinput`` for all readers until the end of the session.

        Before this call, ``workerinput`` was only watched for early readers.
        """
        config.workerinput = self.workerinput  # type: ignore[attr-defined]

    # -- hooks -----------------------------------------------------------------------------------

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> Generator[None, object, object]:
        self.xmlpath = config.option.xmlpath
        self_collecting.disable_session_plugins(config)
        if config.option.basetemp:
            config.option.basetemp = f"{config.option.basetemp}-host{self.begin.number}"
        return (yield)

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        if self.xmlpath:
            junit.stand_in(config, self.xmlpath)
        config.stash[console.TOLD] = lambda text: self.send(Noticed(text, summary=False))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.errors.append((report.nodeid, str(report.longrepr)))

    def why_missing(self, nodeid: str) -> str:
        """The reason for which this item was not collected, in words."""
        above = (text for collector, text in self.errors if nodeid.startswith(collector))
        return "\n\n".join(above) or hosts_messages.not_found()
