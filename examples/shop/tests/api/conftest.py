"""The application under a clock that stands still, and clients for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from shop.api import create_app
from shop.api.dependencies import read_clock
from shop.models import Customer, Product


@pytest.fixture
def app(engine: Engine, noon: datetime) -> FastAPI:
    app = create_app(engine)
    app.dependency_overrides[read_clock] = lambda: noon
    return app


@pytest.fixture
def client(app: FastAPI, shelves: dict[str, Product]) -> Iterator[TestClient]:
    with TestClient(app) as client:
        yield client


@pytest.fixture
async def async_client(app: FastAPI, shelves: dict[str, Product]) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as client:
        yield client


@pytest.fixture
def order(client: TestClient, customer: Customer) -> Callable[..., int]:
    """Places an order over HTTP, and gives its number."""

    def place(**basket: int) -> int:
        skus = {sku.replace("_", "-"): quantity for sku, quantity in basket.items()}
        response = client.post("/orders", json={"customer_id": customer.id, "basket": skus})
        assert response.status_code == 201, response.text
        number: int = response.json()["id"]
        return number

    return place
