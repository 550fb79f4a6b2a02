"""A database of its own for each test, and what stands on the shelves."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from shop.catalogue import add_products
from shop.database import open_database, session_factory
from shop.models import Customer, Product
from shop.settings import Settings

SHELVES = [
    ("MUG-001", "Blue mug", "kitchen", "8.50", 350, 40),
    ("MUG-002", "Red mug", "kitchen", "8.90", 350, 3),
    ("PAN-001", "Iron pan", "kitchen", "39.00", 2400, 12),
    ("PEN-001", "Blue pen", "office", "1.20", 12, 500),
    ("PEN-002", "Fountain pen", "office", "24.00", 30, 8),
    ("INK-001", "Blue ink", "office", "6.40", 120, 60),
    ("LMP-001", "Desk lamp", "office", "54.00", 1800, 0),
    ("RUG-001", "Wool rug 100% natural", "living", "149.00", 5200, 2),
]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def settings() -> Settings:
    return Settings()


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = open_database()
    yield engine
    engine.dispose()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with session_factory(engine)() as session:
        yield session


@pytest.fixture
def shelves(session: Session) -> dict[str, Product]:
    products = [
        Product(sku=sku, name=name, category=category, price=Decimal(price), weight_grams=grams, stock=stock)
        for sku, name, category, price, grams, stock in SHELVES
    ]
    add_products(session, products)
    return {product.sku: product for product in products}


@pytest.fixture
def customer(session: Session) -> Customer:
    customer = Customer(email="ada@example.org", name="Ada")
    session.add(customer)
    session.commit()
    return customer


@pytest.fixture
def noon() -> datetime:
    return datetime(2025, 3, 14, 12, 0)
