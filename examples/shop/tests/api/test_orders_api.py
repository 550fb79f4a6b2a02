from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

from shop.models import Customer

Place = Callable[..., int]


def test_an_order_from_basket_to_parcel(client: TestClient, order: Place) -> None:
    number = order(MUG_001=2, INK_001=1)
    for state in ("paid", "shipped"):
        assert client.post(f"/orders/{number}/{state}").json()["state"] == state
    assert client.get(f"/orders/{number}").json()["state"] == "shipped"


def test_what_an_order_shows(client: TestClient, customer: Customer, order: Place) -> None:
    assert client.get(f"/orders/{order(PEN_001=10)}").json() == {
        "id": 1,
        "customer_id": customer.id,
        "state": "placed",
        "placed_at": "2025-03-14T12:00:00",
        "total": "12.00",
        "lines": [{"sku": "PEN-001", "quantity": 10, "unit_price": "1.20"}],
    }


def test_stock_goes_down_and_comes_back(client: TestClient, order: Place) -> None:
    number = order(RUG_001=2)
    assert client.get("/products/RUG-001").json()["stock"] == 0
    client.post(f"/orders/{number}/cancelled")
    assert client.get("/products/RUG-001").json()["stock"] == 2


class TestRefused:
    def test_more_than_there_is(self, client: TestClient, customer: Customer) -> None:
        response = client.post("/orders", json={"customer_id": customer.id, "basket": {"MUG-002": 4}})
        assert (response.status_code, response.json()["detail"]) == (409, "MUG-002: 4 wanted, 3 in stock")

    def test_an_unknown_product(self, client: TestClient, customer: Customer) -> None:
        response = client.post("/orders", json={"customer_id": customer.id, "basket": {"CAR-001": 1}})
        assert response.status_code == 404

    def test_an_unknown_customer(self, client: TestClient) -> None:
        response = client.post("/orders", json={"customer_id": 99, "basket": {"MUG-001": 1}})
        assert (response.status_code, response.json()["detail"]) == (404, "there is no customer 99")

    @pytest.mark.parametrize("basket", [{}, {"MUG-001": 0}, {"mug": 1}, None])
    def test_an_odd_basket(self, client: TestClient, customer: Customer, basket: object) -> None:
        response = client.post("/orders", json={"customer_id": customer.id, "basket": basket})
        assert response.status_code == 422

    @pytest.mark.parametrize("state", ["shipped", "placed"])
    def test_a_step_that_is_not_allowed(self, client: TestClient, order: Place, state: str) -> None:
        response = client.post(f"/orders/{order(MUG_001=1)}/{state}")
        assert (response.status_code, response.json()["detail"]) == (
            409,
            f"order 1 is placed and cannot become {state}",
        )

    def test_a_state_that_does_not_exist(self, client: TestClient, order: Place) -> None:
        assert client.post(f"/orders/{order(MUG_001=1)}/eaten").status_code == 422


def test_an_unknown_order(client: TestClient) -> None:
    assert client.get("/orders/7").json() == {"detail": "there is no order 7"}
