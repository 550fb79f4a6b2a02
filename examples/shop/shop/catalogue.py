"""What the shop sells, and how it is found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shop.models import Product


class UnknownProductError(LookupError):
    def __init__(self, sku: str) -> None:
        super().__init__(f"no product has the SKU {sku!r}")
        self.sku = sku


def add_products(session: Session, products: Iterable[Product]) -> None:
    session.add_all(products)
    session.commit()


def by_sku(session: Session, sku: str) -> Product:
    product = session.scalar(select(Product).where(Product.sku == sku))
    if product is None:
        raise UnknownProductError(sku)
    return product


def search(
    session: Session,
    text: str = "",
    *,
    category: str | None = None,
    up_to: Decimal | None = None,
    in_stock: bool = False,
) -> Sequence[Product]:
    """Products whose name has every word of the text, cheapest first."""
    query = select(Product).order_by(Product.price, Product.sku)
    for word in text.split():
        query = query.where(Product.name.icontains(word, autoescape=True))
    if category is not None:
        query = query.where(Product.category == category)
    if up_to is not None:
        query = query.where(Product.price <= up_to)
    if in_stock:
        query = query.where(Product.stock > 0)
    return session.scalars(query).all()


def categories(session: Session) -> dict[str, int]:
    """How many products each category has, by name."""
    query = select(Product.category, func.count()).group_by(Product.category).order_by(Product.category)
    return {name: int(count) for name, count in session.execute(query)}
