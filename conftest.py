"""Shared by all tests of the project."""

from __future__ import annotations

import signal

pytest_plugins = ["pytester"]

# A shell starts background jobs (and some runners their commands) with Ctrl-C ignored, and every process
# that a test starts would inherit that. A handler of our own becomes the default action at their exec.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
