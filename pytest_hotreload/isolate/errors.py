"""Errors of `isolate_imports`: how a call can end, besides its result and the function's own exceptions."""

# ruff: noqa: N818 - named by what happened, as KeyboardInterrupt is

from __future__ import annotations

from pytest_hotreload.errors import HotreloadError


class IsolationError(HotreloadError):
    """Base class of the errors of ``isolate_imports``; raised itself if the environment cannot fulfil a request."""


class EnvironmentClosed(IsolationError):
    """The environment is closed, or belongs to the process from which this process was forked."""


class CarryError(IsolationError):
    """A function, an argument, a result or an exception can't be sent from one process to the other."""

    #: The traceback of the exception that could not be sent, as text; "" for anything else.
    remote_traceback: str

    def __init__(self, message: str, *, hint: str, remote_traceback: str = "") -> None:
        """Create the error.

        Args:
            message: What happened, without a full stop.
            hint: What the user can do.
            remote_traceback: The traceback of the exception that could not be sent, as text.
        """
        super().__init__(message, hint=hint)
        self.remote_traceback = remote_traceback


class IsolatedEnd(IsolationError):
    """The process ended without a result."""

    #: The end of what the process wrote to standard output, as text.
    stdout: str
    #: The end of what the process wrote to standard error, as text.
    stderr: str

    def __init__(self, message: str, *, hint: str, stdout: str = "", stderr: str = "") -> None:
        """Create the error.

        Args:
            message: What happened, without a full stop.
            hint: What the user can do.
            stdout: The end of the standard output, as text.
            stderr: The end of the standard error, as text.
        """
        super().__init__(message, hint=hint)
        self.stdout, self.stderr = stdout, stderr


class IsolatedExit(IsolatedEnd):
    """The function called ``sys.exit``."""

    #: The argument of ``sys.exit``: None, a number or a text.
    code: int | str | None = None


class IsolatedDeath(IsolatedEnd):
    """A signal or ``os._exit`` ended the process."""

    #: The exit status, or the negative number of the signal, as in ``subprocess``.
    returncode: int = 0


class IsolatedTimeout(IsolatedEnd, TimeoutError):
    """The call took longer than its ``timeout``, and its process was ended."""


class IsolatedStopped(IsolatedEnd):
    """The process was stopped: by ``stop_isolated``, the end of the environment, or Ctrl-C during the wait."""


class RemoteTraceback(Exception):
    """The cause of an exception from another process; shows where the exception was raised there."""

    #: The traceback, as text.
    text: str

    def __init__(self, text: str) -> None:
        """Create the cause from a traceback, as text."""
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        """Return the traceback in quotes, as ``concurrent.futures`` shows it."""
        return f'\n"""\n{self.text}"""'
