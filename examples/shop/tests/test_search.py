from decimal import Decimal

import pytest
from sqlalchemy.orm import Session

from shop.catalogue import search

pytestmark = pytest.mark.usefixtures("shelves")


def skus(session: Session, text: str = "", **filters: object) -> list[str]:
    return [product.sku for product in search(session, text, **filters)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mug", ["MUG-001", "MUG-002"]),
        ("MUG", ["MUG-001", "MUG-002"]),
        ("blue", ["PEN-001", "INK-001", "MUG-001"]),
        ("pen blue", ["PEN-001"]),
        ("  lamp  ", ["LMP-001"]),
        ("100%", ["RUG-001"]),
        ("%", ["RUG-001"]),
        ("_", []),
        ("sofa", []),
    ],
)
def test_every_word_must_be_in_the_name(session: Session, text: str, expected: list[str]) -> None:
    assert skus(session, text) == expected


def test_no_text_finds_everything_cheapest_first(session: Session) -> None:
    prices = [product.price for product in search(session)]
    assert len(prices) == 8
    assert prices == sorted(prices)


@pytest.mark.parametrize(("category", "count"), [("kitchen", 3), ("office", 4), ("living", 1), ("garden", 0)])
def test_a_category_narrows(session: Session, category: str, count: int) -> None:
    assert len(skus(session, category=category)) == count


@pytest.mark.parametrize(("limit", "count"), [("1.19", 0), ("1.20", 1), ("8.90", 4), ("1000", 8)])
def test_a_limit_includes_itself(session: Session, limit: str, count: int) -> None:
    assert len(skus(session, up_to=Decimal(limit))) == count


def test_what_is_sold_out_can_be_left_out(session: Session) -> None:
    assert skus(session, "lamp", in_stock=True) == []
    assert len(skus(session, in_stock=True)) == 7


def test_filters_add_up(session: Session) -> None:
    assert skus(session, "pen", category="office", up_to=Decimal(10), in_stock=True) == ["PEN-001"]
