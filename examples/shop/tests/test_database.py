from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from shop.database import open_database, session_factory
from shop.models import Customer


def test_sessions_in_memory_share_their_data() -> None:
    engine = open_database()
    sessions = session_factory(engine)
    with sessions.begin() as first:
        first.add(Customer(email="ada@example.org", name="Ada"))
    with sessions() as second:
        assert second.get_one(Customer, 1).name == "Ada"
    engine.dispose()


def test_a_file_outlives_its_engine(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/shop.db"
    for attempt in range(2):
        engine = open_database(url)
        with session_factory(engine).begin() as session:
            assert session.query(Customer).count() == attempt
            session.add(Customer(email=f"{attempt}@example.org", name="Ada"))
        engine.dispose()


def test_two_databases_in_memory_are_apart() -> None:
    full, empty = open_database(), open_database()
    with session_factory(full).begin() as session:
        session.add(Customer(email="ada@example.org", name="Ada"))
    with session_factory(empty)() as session:
        assert session.query(Customer).count() == 0
    full.dispose()
    empty.dispose()


def test_a_folder_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OperationalError, match="unable to open"):
        open_database(f"sqlite:///{tmp_path}/missing/shop.db")
