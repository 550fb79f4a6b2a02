import pytest
from fastapi.testclient import TestClient

LAMP = {"sku": "LMP-009", "name": "Red lamp", "category": "living", "price": "12.50", "weight_grams": 900}


@pytest.mark.parametrize(
    ("query", "count"),
    [("", 8), ("q=mug", 2), ("category=office", 4), ("up_to=8.50", 3), ("q=pen&up_to=5", 1), ("q=sofa", 0)],
)
def test_search(client: TestClient, query: str, count: int) -> None:
    assert len(client.get(f"/products?{query}").json()) == count


def test_read(client: TestClient) -> None:
    product = client.get("/products/PAN-001").json()
    assert (product["name"], product["price"], product["stock"]) == ("Iron pan", "39.00", 12)


def test_read_what_is_not_there(client: TestClient) -> None:
    response = client.get("/products/CAR-001")
    assert (response.status_code, response.json()) == (404, {"detail": "no product has the SKU 'CAR-001'"})


class TestAdd:
    def test_can_be_found_afterwards(self, client: TestClient) -> None:
        assert client.post("/products", json=LAMP).status_code == 201
        assert client.get("/products/LMP-009").json()["price"] == "12.50"

    def test_a_sku_can_be_used_once(self, client: TestClient) -> None:
        response = client.post("/products", json={**LAMP, "sku": "MUG-001"})
        assert (response.status_code, response.json()["detail"]) == (409, "the SKU MUG-001 is taken")

    @pytest.mark.parametrize("field", sorted(LAMP))
    def test_every_field_is_needed(self, client: TestClient, field: str) -> None:
        response = client.post(
            "/products", json={name: value for name, value in LAMP.items() if name != field}
        )
        assert response.status_code == 422
        assert response.json()["detail"][0]["loc"] == ["body", field]
