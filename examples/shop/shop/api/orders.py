"""/orders"""

from __future__ import annotations

from fastapi import APIRouter, HTTPException

from shop import orders
from shop.api.dependencies import DatabaseSession, Now
from shop.models import Customer, Order, OrderState
from shop.schemas import LineOut, OrderIn, OrderOut

router = APIRouter(prefix="/orders", tags=["orders"])


@router.post("", status_code=201)
def place(session: DatabaseSession, now: Now, new: OrderIn) -> OrderOut:
    customer = session.get(Customer, new.customer_id)
    if customer is None:
        raise HTTPException(404, f"there is no customer {new.customer_id}")
    return _show(orders.place(session, customer, new.basket, now))


@router.get("/{order_id}")
def read(session: DatabaseSession, order_id: int) -> OrderOut:
    return _show(orders.by_id(session, order_id))


@router.post("/{order_id}/{state}")
def advance(session: DatabaseSession, order_id: int, state: OrderState) -> OrderOut:
    order = orders.by_id(session, order_id)
    orders.advance(session, order, state)
    return _show(order)


def _show(order: Order) -> OrderOut:
    lines = [
        LineOut(sku=line.product.sku, quantity=line.quantity, unit_price=line.unit_price)
        for line in order.lines
    ]
    return OrderOut(
        id=order.id,
        customer_id=order.customer_id,
        state=order.state,
        placed_at=order.placed_at,
        total=order.total,
        lines=lines,
    )
