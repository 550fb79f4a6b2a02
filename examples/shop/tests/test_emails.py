from collections.abc import Mapping
from datetime import datetime

import pytest
from jinja2 import UndefinedError
from sqlalchemy.orm import Session

from shop.emails import _environment, confirmation, shipped
from shop.models import Customer, Order, Product
from shop.orders import place
from shop.settings import Settings


@pytest.fixture
def order(session: Session, customer: Customer, shelves: dict[str, Product], noon: datetime) -> Order:
    return place(session, customer, {"MUG-001": 2, "PEN-001": 12}, noon)


class TestConfirmation:
    def test_headers(self, order: Order, settings: Settings) -> None:
        message = confirmation(order, settings)
        assert (message["From"], message["To"]) == ("orders@shop.example", "ada@example.org")
        assert message["Subject"] == "Your order 1"

    def test_body(self, order: Order, settings: Settings) -> None:
        assert confirmation(order, settings).get_content().splitlines() == [
            "Dear Ada,",
            "",
            "thank you for your order of 14 March 2025:",
            "",
            "    2 x Blue mug: €17.00",
            "   12 x Blue pen: €14.40",
            "",
            "Total: €31.40",
        ]

    @pytest.mark.parametrize(
        ("basket", "parcels"),
        [
            ({"MUG-001": 1, "PEN-001": 1, "INK-001": 1}, False),
            ({"MUG-001": 1, "PEN-001": 1, "INK-001": 1, "RUG-001": 1}, True),
        ],
    )
    @pytest.mark.usefixtures("shelves")
    def test_many_lines_may_come_in_parcels(
        self,
        session: Session,
        customer: Customer,
        noon: datetime,
        settings: Settings,
        basket: Mapping[str, int],
        parcels: bool,
    ) -> None:
        order = place(session, customer, basket, noon)
        assert ("more than one parcel" in confirmation(order, settings).get_content()) is parcels


def test_shipped_names_the_way_to_follow(order: Order, settings: Settings) -> None:
    body = shipped(order, settings, "https://carrier.example/42").get_content()
    assert "Follow it under https://carrier.example/42." in body


def test_a_template_must_not_guess(order: Order) -> None:
    with pytest.raises(UndefinedError, match="tracking"):
        _environment.get_template("shipped.txt").render(order=order)
