from decimal import Decimal

import pytest

from shop.money import amount, gross, show, split


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1.005", "1.01"),
        ("1.004", "1.00"),
        ("-1.005", "-1.01"),
        (0.1, "0.10"),
        (3, "3.00"),
        ("2.675", "2.68"),
    ],
)
def test_half_a_cent_is_rounded_away_from_zero(value: float | str, expected: str) -> None:
    assert amount(value) == Decimal(expected)


@pytest.mark.parametrize(("percent", "expected"), [(0, "9.99"), (7, "10.69"), (20, "11.99"), (100, "19.98")])
def test_vat_is_added(percent: int, expected: str) -> None:
    assert gross(Decimal("9.99"), Decimal(percent)) == Decimal(expected)


class TestSplit:
    def test_odd_cents_are_not_lost(self) -> None:
        assert split(Decimal("10.00"), [1, 1, 1]) == [Decimal("3.34"), Decimal("3.33"), Decimal("3.33")]

    def test_the_largest_remainder_gets_the_cent(self) -> None:
        assert split(Decimal("0.10"), [1, 2]) == [Decimal("0.03"), Decimal("0.07")]

    def test_a_weight_of_zero_pays_nothing(self) -> None:
        assert split(Decimal("5.00"), [0, 5]) == [Decimal("0.00"), Decimal("5.00")]

    @pytest.mark.parametrize("cents", range(1, 8))
    def test_parts_add_up(self, cents: int) -> None:
        total = Decimal(cents) / 100
        assert sum(split(total, [3, 5, 7, 11])) == total

    @pytest.mark.parametrize("weights", [[], [0, 0], [2, -1]])
    def test_weights_must_make_sense(self, weights: list[int]) -> None:
        with pytest.raises(ValueError, match="weights must be positive"):
            split(Decimal(1), weights)


def test_amounts_are_shown_with_thousands() -> None:
    assert show(Decimal("1234567.5")) == "€1,234,567.50"
    assert show(Decimal(3), "£") == "£3.00"
