"""What is on the shelves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from shop.catalogue import by_sku
from shop.models import Product


class OutOfStockError(Exception):
    def __init__(self, sku: str, wanted: int, available: int) -> None:
        super().__init__(f"{sku}: {wanted} wanted, {available} in stock")
        self.sku = sku
        self.wanted = wanted
        self.available = available


def reserve(session: Session, basket: Mapping[str, int]) -> list[Product]:
    """Take a whole basket from the shelves, or nothing of it."""
    products = [by_sku(session, sku) for sku in basket]
    for product in products:
        if product.stock < basket[product.sku]:
            raise OutOfStockError(product.sku, basket[product.sku], product.stock)
    for product in products:
        product.stock -= basket[product.sku]
    return products


def restock(session: Session, delivery: Mapping[str, int]) -> None:
    for sku, quantity in delivery.items():
        if quantity < 0:
            raise ValueError(f"{sku}: a delivery cannot take away ({quantity})")
        by_sku(session, sku).stock += quantity
    session.commit()


def running_low(session: Session, threshold: int = 5) -> Sequence[Product]:
    query = select(Product).where(Product.stock < threshold).order_by(Product.stock, Product.sku)
    return session.scalars(query).all()
