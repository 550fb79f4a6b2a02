import pytest
from fastapi.testclient import TestClient


def test_register_and_read(client: TestClient) -> None:
    created = client.post("/customers", json={"email": "Bob@Example.org", "name": "Bob"})
    assert created.status_code == 201
    assert client.get(f"/customers/{created.json()['id']}").json() == {
        "id": created.json()["id"],
        "email": "Bob@example.org",
        "name": "Bob",
    }


@pytest.mark.usefixtures("customer")
def test_an_address_can_be_used_once(client: TestClient) -> None:
    response = client.post("/customers", json={"email": "ada@example.org", "name": "Another Ada"})
    assert (response.status_code, response.json()["detail"]) == (409, "ada@example.org is registered")


@pytest.mark.parametrize(
    "body", [{}, {"email": "bob", "name": "Bob"}, {"email": "b@example.org", "name": ""}]
)
def test_what_is_refused(client: TestClient, body: dict[str, str]) -> None:
    assert client.post("/customers", json=body).status_code == 422


def test_read_who_is_not_there(client: TestClient) -> None:
    assert client.get("/customers/99").status_code == 404
