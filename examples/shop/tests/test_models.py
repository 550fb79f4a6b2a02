from datetime import datetime
from decimal import Decimal

import pytest
from sqlalchemy import func, inspect, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from shop.models import Base, Customer, Order, OrderLine, OrderState, Product


def order_of(customer: Customer, shelves: dict[str, Product], when: datetime) -> Order:
    pan, pen = shelves["PAN-001"], shelves["PEN-001"]
    lines = [
        OrderLine(product=pan, quantity=1, unit_price=pan.price),
        OrderLine(product=pen, quantity=10, unit_price=pen.price),
    ]
    return Order(customer=customer, placed_at=when, lines=lines)


def test_every_table_exists(session: Session) -> None:
    assert set(inspect(session.get_bind()).get_table_names()) == set(Base.metadata.tables)


def test_an_order_knows_its_total(customer: Customer, shelves: dict[str, Product], noon: datetime) -> None:
    assert order_of(customer, shelves, noon).total == Decimal("51.00")


def test_an_order_without_lines_costs_nothing() -> None:
    assert Order(lines=[]).total == 0


def test_a_new_order_is_placed(
    session: Session, customer: Customer, shelves: dict[str, Product], noon: datetime
) -> None:
    order = order_of(customer, shelves, noon)
    session.add(order)
    session.commit()
    assert order.state is OrderState.PLACED
    assert customer.orders == [order]


def test_lines_go_with_their_order(
    session: Session, customer: Customer, shelves: dict[str, Product], noon: datetime
) -> None:
    order = order_of(customer, shelves, noon)
    session.add(order)
    session.commit()
    session.delete(order)
    session.commit()
    assert session.scalar(select(func.count()).select_from(OrderLine)) == 0


def test_a_sku_is_unique(session: Session, shelves: dict[str, Product]) -> None:
    mug = shelves["MUG-001"]
    twin = Product(sku=mug.sku, name="Copy", category="kitchen", price=1, weight_grams=1)
    session.add(twin)
    with pytest.raises(IntegrityError, match="sku"):
        session.commit()


def test_stock_cannot_be_negative(session: Session, shelves: dict[str, Product]) -> None:
    shelves["MUG-001"].stock = -1
    with pytest.raises(IntegrityError, match="stock_is_not_negative"):
        session.commit()
