"""The template of a watch or of ``serve``: starts it, lets it warm modules, reads its messages and ends it.

No function here waits for a message: the loop waits for the channels, and :meth:`TemplateProcesses.hear` reads one and
returns its messages. Only :meth:`TemplateProcesses.discard` waits, for the end of a template.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_hotreload.process.fork_messages import Gone, Refused, Started, Warm, Warmed
from pytest_hotreload.watch import asked_files
from pytest_hotreload.watch.process import Process
from pytest_hotreload.watch.protocol import Consulted, FileQuestion, Ready, Unfit
from pytest_hotreload.watch.standby.template import start_template
from pytest_hotreload.watch.terminal_modes import found


class TemplateProcesses:
    """Starts and ends a template, and those before it that attached runs still use.

    ``register`` and ``unregister`` add a process to the loop's selector and remove it.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        folder: Path,
        register: Callable[[Process], object],
        unregister: Callable[[Process], object],
        environment: Mapping[str, str],
    ) -> None:
        self.arguments, self.folder = list(arguments), folder
        self.register, self.unregister = register, unregister
        self.lifeline = os.pipe()
        self.template: Process | None = None
        self.warmed: Warmed | None = None
        #: The environment variables of the template at its start.
        self.environment = dict(environment)
        #: The environment variables that modules have read during their import in the template.
        self.asked: frozenset[str] = frozenset()
        #: Whether ``asked`` is complete, because the template has finished warming.
        self.surveyed = False
        #: Whether attached runs are forks of this template. If so, the template ends with the last of them.
        self.in_use: Callable[[Process], bool] = lambda _: False
        self.former: list[Process] = []  # earlier templates that attached runs still use
        #: Modules that templates must not import: those from the user's ini, and those that turned out to be unfit.
        self.barred: list[str] = []
        #: The reason for which a new template is needed, in words, if a module turned out to be unfit.
        self._unfit = ""
        #: The installed files that the template has imported.
        self._sources: frozenset[FileQuestion] = frozenset()
        self._to_warm: list[str] = []
        self._modes = found(0)

    # -- starting ----------------------------------------------------------------------------------

    def start_template(self) -> None:
        """End all earlier processes and start a template in a fresh interpreter. Raises OSError."""
        self.close_template()
        self.surveyed, self._unfit, self._sources = False, "", frozenset()
        self._to_warm.clear()
        pid, channel = start_template(
            self.arguments, self.folder, self.lifeline[0], self.environment, self._modes
        )
        self.template = Process("template", None, channel, pid=pid)
        self.register(self.template)

    def warm(self, modules: Sequence[str]) -> None:
        """Ask the template to import these modules; the answer is ``Warmed``.

        The order waits until attached runs have ended. Warming continues in a fork, which is not the parent of
        earlier runs and so cannot collect their exit statuses.
        """
        self._to_warm += modules
        if self.template is None or self.in_use(self.template):
            return
        self.surveyed = False
        self.template.tell(Warm(tuple(self._to_warm), tuple(self.barred)))
        self._to_warm.clear()

    def keep_out(self, unfit: Unfit) -> None:
        """Keep the module of this message out of the next template."""
        if unfit.module not in self.barred:
            self.barred.append(unfit.module)
            self._unfit = (
                f"{unfit.module} is kept out, because it was imported under other conditions ({unfit.why})"
            )

    @property
    def unfit(self) -> str:
        """The reason for which a new template is needed, in words, or "": also an installed file that was edited."""
        return self._unfit or next((f"{path} changed" for path in asked_files.changed(self._sources)), "")

    def release(self) -> None:
        """Discard earlier templates that are no longer in use, and warm what waited, after an attached run ended."""
        for template in [each for each in self.former if not self.in_use(each)]:
            self.former.remove(template)
            self.discard(template)
        if self._to_warm:
            self.warm(())

    # -- listening ---------------------------------------------------------------------------------

    def hear(self, process: Process) -> list[tuple[Process, Any]]:
        """Read a process's channel. Returns the messages, each with its sender, and ``None`` for a process's end.

        Messages about the forks of a fork server are handled here, except those about attached runs, which are
        returned.
        """
        frames, closed = process.channel.drain()
        heard: list[tuple[Process, Any]] = []
        for _, message in frames:
            if isinstance(message, Started | Gone | Refused) and message.token > 0:
                heard += self._of_child(message)
            else:
                self._note(process, message)
                heard.append((process, message))
        if closed and process.state != "gone":
            heard += self._lost(process)
        return heard

    def _of_child(self, message: Started | Gone | Refused) -> list[tuple[Process, Any]]:  # noqa: ARG002 - see below
        """Handle a message about a fork that is no attached run; a template alone has none."""
        return []

    def _note(self, process: Process, message: Any) -> None:
        if isinstance(message, Consulted):
            if process is self.template:
                self.asked, self._sources = message.variables, message.sources
        elif isinstance(message, Unfit):
            self.keep_out(message)
        elif isinstance(message, Warmed):
            self.warmed, self.surveyed = message, process is self.template
        elif isinstance(message, Ready):
            process.state, process.inputs = "ready", message.inputs

    def _lost(self, process: Process) -> list[tuple[Process, Any]]:
        self.end(process)
        return [(process, None)]

    # -- ending ------------------------------------------------------------------------------------

    def end(self, process: Process) -> None:
        """End a process and, with it, its children."""
        if process.state == "gone":
            return
        process.state = "gone"
        self.unregister(process)
        if process.pid:
            self._kill(process)
        process.channel.close()

    def _kill(self, process: Process) -> None:
        with contextlib.suppress(OSError):
            os.kill(process.pid, signal.SIGKILL)

    def close_template(self) -> None:
        """End the template. A template with attached runs ends only with the last of them."""
        if self.template is not None:
            template, self.template = self.template, None
            if self.in_use(template):
                self.former.append(template)
            else:
                self.discard(template)

    def discard(self, template: Process) -> None:
        """End a template, and wait until it is gone."""
        self.end(template)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(template.pid, 0)

    def close(self) -> None:
        self.in_use = lambda _: False
        self.close_template()
        self.release()
        for descriptor in self.lifeline:
            os.close(descriptor)
