"""An order's life: placed, paid, shipped, or cancelled on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session

from shop.models import Customer, Order, OrderLine, OrderState
from shop.stock import reserve

NEXT_STATES = {
    OrderState.PLACED: {OrderState.PAID, OrderState.CANCELLED},
    OrderState.PAID: {OrderState.SHIPPED, OrderState.CANCELLED},
    OrderState.SHIPPED: set(),
    OrderState.CANCELLED: set(),
}


class UnknownOrderError(LookupError):
    def __init__(self, order_id: int) -> None:
        super().__init__(f"there is no order {order_id}")


class WrongStateError(Exception):
    def __init__(self, order: Order, wanted: OrderState) -> None:
        super().__init__(f"order {order.id} is {order.state.value} and cannot become {wanted.value}")


def place(session: Session, customer: Customer, basket: Mapping[str, int], when: datetime) -> Order:
    if not basket:
        raise ValueError("an order needs at least one product")
    lines = [
        OrderLine(product=product, quantity=basket[product.sku], unit_price=product.price)
        for product in reserve(session, basket)
    ]
    order = Order(customer=customer, placed_at=when, lines=lines, state=OrderState.PLACED)
    session.add(order)
    session.commit()
    return order


def by_id(session: Session, order_id: int) -> Order:
    order = session.get(Order, order_id)
    if order is None:
        raise UnknownOrderError(order_id)
    return order


def advance(session: Session, order: Order, state: OrderState) -> None:
    if state not in NEXT_STATES[order.state]:
        raise WrongStateError(order, state)
    order.state = state
    if state is OrderState.CANCELLED:
        for line in order.lines:
            line.product.stock += line.quantity
    session.commit()


def of_customer(session: Session, customer: Customer) -> Sequence[Order]:
    return session.scalars(select(Order).where(Order.customer == customer).order_by(Order.placed_at)).all()


def spent(session: Session, customer: Customer) -> Decimal:
    kept = (OrderState.PAID, OrderState.SHIPPED)
    return sum((order.total for order in of_customer(session, customer) if order.state in kept), Decimal(0))
