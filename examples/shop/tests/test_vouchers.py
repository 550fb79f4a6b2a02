from decimal import Decimal

import numpy as np
import pytest

from shop.pricing import Voucher, basket_total

PRICES = np.array([8.5, 24.0])
QUANTITIES = np.array([2, 1])


def test_without_a_voucher() -> None:
    assert basket_total(PRICES, QUANTITIES) == Decimal("41.00")


@pytest.mark.parametrize(("percent", "expected"), [(0, "41.00"), (10, "36.90"), (33, "27.47"), (100, "0.00")])
def test_a_percentage_is_taken_off(percent: float, expected: str) -> None:
    assert basket_total(PRICES, QUANTITIES, Voucher("SPRING", percent)) == Decimal(expected)


@pytest.mark.parametrize(("minimum", "expected"), [(40.0, "20.50"), (41.0, "20.50"), (41.01, "41.00")])
def test_a_minimum_must_be_reached(minimum: float, expected: str) -> None:
    assert basket_total(PRICES, QUANTITIES, Voucher("HALF", 50, minimum)) == Decimal(expected)


def test_bulk_discounts_come_first() -> None:
    assert basket_total(np.array([10.0]), np.array([10]), Voucher("TEN", 10)) == Decimal("81.00")


@pytest.mark.parametrize("percent", [-1, 100.5])
def test_a_discount_must_make_sense(percent: float) -> None:
    with pytest.raises(ValueError, match="voucher ODD"):
        Voucher("ODD", percent)


def test_an_empty_basket_costs_nothing() -> None:
    assert basket_total(np.array([]), np.array([], dtype=int)) == 0
