import pytest
from fastapi import FastAPI


@pytest.fixture
def document(app: FastAPI) -> dict[str, dict[str, object]]:
    return app.openapi()


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/products", {"get", "post"}),
        ("/products/{sku}", {"get"}),
        ("/customers", {"post"}),
        ("/customers/{customer_id}", {"get"}),
        ("/orders", {"post"}),
        ("/orders/{order_id}", {"get"}),
        ("/orders/{order_id}/{state}", {"post"}),
    ],
)
def test_every_route_is_documented(
    document: dict[str, dict[str, set[str]]], path: str, methods: set[str]
) -> None:
    assert set(document["paths"][path]) == methods


def test_nothing_else_is(document: dict[str, dict[str, object]]) -> None:
    assert len(document["paths"]) == 7
