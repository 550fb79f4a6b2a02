import json

import pytest
from pydantic import ValidationError

from shop.models import Product
from shop.schemas import CustomerIn, OrderIn, ProductIn, ProductOut

MUG = {"sku": "MUG-001", "name": "Blue mug", "category": "kitchen", "price": "8.50", "weight_grams": 350}


def test_a_product_as_it_comes() -> None:
    assert ProductIn.model_validate(MUG).stock == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sku", "mug-001"),
        ("sku", "MUG-1"),
        ("name", ""),
        ("name", "x" * 81),
        ("price", 0),
        ("price", "-1"),
        ("price", "1.234"),
        ("weight_grams", 0),
        ("stock", -1),
        ("colour", "blue"),
    ],
)
def test_a_product_that_makes_no_sense(field: str, value: object) -> None:
    with pytest.raises(ValidationError) as caught:
        ProductIn.model_validate({**MUG, field: value})
    assert caught.value.errors()[0]["loc"] == (field,)


def test_a_product_from_the_database() -> None:
    out = ProductOut.model_validate(Product(id=7, stock=2, **MUG))
    assert json.loads(out.model_dump_json())["price"] == "8.50"


@pytest.mark.parametrize(
    ("email", "expected"), [("ada@example.org", "ada@example.org"), (" Ada@Example.ORG ", "Ada@example.org")]
)
def test_domains_are_lower_case(email: str, expected: str) -> None:
    assert CustomerIn(email=email, name="Ada").email == expected


@pytest.mark.parametrize("email", ["", "ada", "@example.org", "ada@example", "ada@"])
def test_what_is_no_address(email: str) -> None:
    with pytest.raises(ValidationError, match="not an e-mail address"):
        CustomerIn(email=email, name="Ada")


@pytest.mark.parametrize("basket", [{}, {"MUG-001": 0}, {"MUG-001": 1000}, {"mug": 1}])
def test_baskets_that_are_refused(basket: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        OrderIn(customer_id=1, basket=basket)


def test_the_schema_is_published() -> None:
    properties = ProductOut.model_json_schema()["properties"]
    assert set(properties) == {*MUG, "id", "stock"}
