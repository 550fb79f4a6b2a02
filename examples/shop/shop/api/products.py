"""/products"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from fastapi import APIRouter, HTTPException
from sqlalchemy.exc import IntegrityError

from shop import catalogue
from shop.api.dependencies import DatabaseSession
from shop.models import Product
from shop.schemas import ProductIn, ProductOut

router = APIRouter(prefix="/products", tags=["products"])


@router.get("", response_model=list[ProductOut])
def search(
    session: DatabaseSession, q: str = "", category: str | None = None, up_to: Decimal | None = None
) -> Sequence[Product]:
    return catalogue.search(session, q, category=category, up_to=up_to)


@router.get("/{sku}", response_model=ProductOut)
def read(session: DatabaseSession, sku: str) -> Product:
    return catalogue.by_sku(session, sku)


@router.post("", response_model=ProductOut, status_code=201)
def add(session: DatabaseSession, new: ProductIn) -> Product:
    product = Product(**new.model_dump())
    try:
        catalogue.add_products(session, [product])
    except IntegrityError:
        session.rollback()
        raise HTTPException(409, f"the SKU {new.sku} is taken") from None
    return product
