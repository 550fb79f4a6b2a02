"""Reports from the database on: what the queries leave out, and what a spreadsheet gets to see."""

from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy.orm import Session

from shop.models import Customer, OrderState, Product
from shop.orders import advance, place
from shop.reports import COLUMNS, monthly_turnover, sales, to_csv


@pytest.fixture
def spring(session: Session, customer: Customer, shelves: dict[str, Product], noon: datetime) -> pd.DataFrame:
    """Ten orders, one a week, every fifth of them cancelled."""
    for week in range(10):
        order = place(session, customer, {"PEN-001": week + 1, "INK-001": 1}, noon + timedelta(weeks=week))
        if week % 5 == 0:
            advance(session, order, OrderState.CANCELLED)
    return sales(session)


def test_cancelled_orders_are_left_out(spring: pd.DataFrame) -> None:
    assert len(spring) == 16
    assert "cancelled" not in set(spring["state"])


def test_turnover_is_price_times_quantity(spring: pd.DataFrame) -> None:
    assert spring["turnover"].sum() == pytest.approx(8 * 6.40 + (55 - 1 - 6) * 1.20)


def test_months(spring: pd.DataFrame) -> None:
    assert monthly_turnover(spring).round(2).to_dict() == {"2025-03": 18.8, "2025-04": 38.4, "2025-05": 51.6}


def test_a_shop_without_orders(session: Session) -> None:
    frame = sales(session)
    assert frame.empty
    assert frame.columns.tolist() == [*COLUMNS, "turnover"]


class TestCsv:
    def test_starts_with_the_columns(self, spring: pd.DataFrame) -> None:
        assert to_csv(spring).splitlines()[0] == ",".join([*COLUMNS, "turnover"])

    def test_shows_days_and_cents(self, spring: pd.DataFrame) -> None:
        line = to_csv(spring).splitlines()[1]
        assert line == "2,ada@example.org,2025-03-21,placed,PEN-001,office,2,1.20,2.40"

    def test_can_be_read_back(self, spring: pd.DataFrame, tmp_path: Path) -> None:
        file = tmp_path / "sales.csv"
        file.write_text(to_csv(spring), encoding="utf-8")
        back = pd.read_csv(file)
        assert back["turnover"].sum() == pytest.approx(spring["turnover"].sum())
