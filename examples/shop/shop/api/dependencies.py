"""What every route may ask for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.orm import Session


def open_session(request: Request) -> Iterator[Session]:
    with request.app.state.sessions() as session:
        yield session


def read_clock() -> datetime:
    return datetime.now(timezone.utc).replace(tzinfo=None)


DatabaseSession = Annotated[Session, Depends(open_session)]
Now = Annotated[datetime, Depends(read_clock)]
