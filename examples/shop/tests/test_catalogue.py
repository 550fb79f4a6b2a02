import pytest
from sqlalchemy.orm import Session

from shop.catalogue import UnknownProductError, add_products, by_sku, categories
from shop.models import Product


def test_products_are_found_by_sku(session: Session, shelves: dict[str, Product]) -> None:
    assert by_sku(session, "PAN-001") is shelves["PAN-001"]


@pytest.mark.parametrize("sku", ["", "PAN", "pan-001", "PAN-002"])
@pytest.mark.usefixtures("shelves")
def test_an_unknown_sku_is_named(session: Session, sku: str) -> None:
    with pytest.raises(UnknownProductError, match=f"'{sku}'") as caught:
        by_sku(session, sku)
    assert caught.value.sku == sku


@pytest.mark.usefixtures("shelves")
def test_categories_are_counted(session: Session) -> None:
    assert categories(session) == {"kitchen": 3, "living": 1, "office": 4}


def test_an_empty_shop_has_no_categories(session: Session) -> None:
    assert categories(session) == {}


def test_a_large_delivery(session: Session) -> None:
    add_products(
        session,
        (
            Product(
                sku=f"NEW-{number:03}",
                name=f"New {number}",
                category=f"c{number % 7}",
                price=1,
                weight_grams=1,
            )
            for number in range(500)
        ),
    )
    assert sum(categories(session).values()) == 500
