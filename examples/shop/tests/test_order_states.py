from datetime import datetime
from itertools import product as pairs

import pytest
from sqlalchemy.orm import Session

from shop.models import Customer, Order, OrderState, Product
from shop.orders import NEXT_STATES, WrongStateError, advance, place


@pytest.fixture
def order(session: Session, customer: Customer, shelves: dict[str, Product], noon: datetime) -> Order:
    return place(session, customer, {"MUG-001": 5, "PEN-001": 20}, noon)


@pytest.mark.parametrize(
    ("before", "after"), list(pairs(OrderState, OrderState)), ids=lambda state: state.value
)
def test_every_step(session: Session, order: Order, before: OrderState, after: OrderState) -> None:
    order.state = before
    if after in NEXT_STATES[before]:
        advance(session, order, after)
        assert order.state is after
    else:
        with pytest.raises(WrongStateError, match=f"is {before.value} and cannot become {after.value}"):
            advance(session, order, after)


class TestCancelling:
    def test_brings_the_stock_back(self, session: Session, order: Order, shelves: dict[str, Product]) -> None:
        assert shelves["MUG-001"].stock == 35
        advance(session, order, OrderState.CANCELLED)
        assert (shelves["MUG-001"].stock, shelves["PEN-001"].stock) == (40, 500)

    def test_is_too_late_after_shipping(self, session: Session, order: Order) -> None:
        advance(session, order, OrderState.PAID)
        advance(session, order, OrderState.SHIPPED)
        with pytest.raises(WrongStateError):
            advance(session, order, OrderState.CANCELLED)
