"""A plugin with xdist's two fixtures, for runs without xdist."""

from __future__ import annotations

import uuid

import pytest


@pytest.fixture(scope="session")
def worker_id(request: pytest.FixtureRequest) -> str:
    """The slot's id (``gw0``), or ``master`` with one slot."""
    return str(getattr(request.config, "workerinput", {}).get("workerid", "master"))


@pytest.fixture(scope="session")
def testrun_uid(request: pytest.FixtureRequest) -> str:
    """An id that is equal in all children of a run."""
    return str(getattr(request.config, "workerinput", {}).get("testrunuid") or uuid.uuid4().hex)
