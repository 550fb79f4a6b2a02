"""Loaded by ``-p`` where tests hang: what a watch takes for a hang after 3 to 10 s in earnest, it does after 1 to 2 s.

Where a busy machine makes it end a test that does not hang, that test runs again, with twice the time.
"""

from __future__ import annotations

from pytest_hotreload.process import heartbeat
from pytest_hotreload.watch import stopping

heartbeat.QUIET_SECONDS = stopping.GRACE_SECONDS = 1.0
heartbeat.COLLECTING_SECONDS = 2.0
heartbeat.LOOK_SECONDS = 0.1
