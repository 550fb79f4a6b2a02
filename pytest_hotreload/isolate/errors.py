"""What can become of a function that runs in a process of its own, besides its result and its own exceptions."""

# ruff: noqa: N818 - named by what happened, as KeyboardInterrupt is

from __future__ import annotations

from pytest_hotreload.errors import HotreloadError


class IsolationError(HotreloadError):
    """Base of the errors of ``isolate_imports``. Itself: the environment can't do what was asked."""


class EnvironmentClosed(IsolationError):
    """The environment was closed, or belongs to the process that this one was forked from."""


class CarryError(IsolationError):
    """A function, an argument, a result or an exception can't go from one process to the other.

    ``remote_traceback``: that of the exception that could not be carried, as text; "" for anything else.
    """

    def __init__(self, message: str, *, hint: str, remote_traceback: str = "") -> None:
        super().__init__(message, hint=hint)
        self.remote_traceback = remote_traceback


class IsolatedEnd(IsolationError):
    """The process ended without a result. ``stdout``, ``stderr``: the end of what it wrote, as text."""

    def __init__(self, message: str, *, hint: str, stdout: str = "", stderr: str = "") -> None:
        super().__init__(message, hint=hint)
        self.stdout, self.stderr = stdout, stderr


class IsolatedExit(IsolatedEnd):
    """The function called ``sys.exit``. ``code``: what with; None, a number or a text."""

    code: int | str | None = None


class IsolatedDeath(IsolatedEnd):
    """A signal or ``os._exit`` ended the process.

    ``returncode``: as of a subprocess: the exit status, or the negative number of the signal.
    """

    returncode: int = 0


class IsolatedTimeout(IsolatedEnd, TimeoutError):
    """It ran longer than its ``timeout``, and was ended."""


class IsolatedStopped(IsolatedEnd):
    """It was ended on request: ``stop_isolated``, the end of the environment, Ctrl-C while it was waited for."""


class RemoteTraceback(Exception):
    """The cause of an exception from another process: shows where it was raised there."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'
