from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy.orm import Session

from shop.models import Customer, OrderState, Product
from shop.orders import UnknownOrderError, advance, by_id, of_customer, place, spent
from shop.stock import OutOfStockError


def test_placing_takes_from_stock(
    session: Session, customer: Customer, shelves: dict[str, Product], noon: datetime
) -> None:
    order = place(session, customer, {"MUG-001": 2, "PEN-002": 1}, noon)
    assert order.total == Decimal("41.00")
    assert shelves["MUG-001"].stock == 38


def test_a_price_is_kept_as_it_was(
    session: Session, customer: Customer, shelves: dict[str, Product], noon: datetime
) -> None:
    order = place(session, customer, {"MUG-001": 1}, noon)
    shelves["MUG-001"].price = Decimal(99)
    session.commit()
    assert order.total == Decimal("8.50")


@pytest.mark.usefixtures("shelves")
def test_an_empty_basket_is_no_order(session: Session, customer: Customer, noon: datetime) -> None:
    with pytest.raises(ValueError, match="at least one product"):
        place(session, customer, {}, noon)


@pytest.mark.usefixtures("shelves")
def test_nothing_is_stored_of_an_order_that_cannot_be_served(
    session: Session, customer: Customer, noon: datetime
) -> None:
    with pytest.raises(OutOfStockError):
        place(session, customer, {"LMP-001": 1}, noon)
    assert list(of_customer(session, customer)) == []


@pytest.mark.usefixtures("shelves")
def test_orders_are_listed_oldest_first(session: Session, customer: Customer, noon: datetime) -> None:
    days = [3, 1, 2]
    orders = [place(session, customer, {"PEN-001": 1}, noon + timedelta(days=day)) for day in days]
    assert [order.id for order in of_customer(session, customer)] == [
        orders[1].id,
        orders[2].id,
        orders[0].id,
    ]


def test_an_unknown_order_is_named(session: Session) -> None:
    with pytest.raises(UnknownOrderError, match="no order 42"):
        by_id(session, 42)


@pytest.mark.usefixtures("shelves")
def test_only_paid_orders_are_spent_money(session: Session, customer: Customer, noon: datetime) -> None:
    for state in (None, OrderState.PAID, OrderState.CANCELLED):
        order = place(session, customer, {"INK-001": 1}, noon)
        if state is not None:
            advance(session, order, state)
    assert spent(session, customer) == Decimal("6.40")
