"""Amounts of money: decimals with two places, rounded as the tax office rounds."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal

CENT = Decimal("0.01")


def amount(value: Decimal | float | str) -> Decimal:
    """The value in whole cents, half a cent rounded away from zero."""
    return Decimal(str(value)).quantize(CENT, rounding=ROUND_HALF_UP)


def gross(net: Decimal, vat_percent: Decimal) -> Decimal:
    return amount(net * (100 + vat_percent) / 100)


def split(total: Decimal, weights: Sequence[int]) -> list[Decimal]:
    """Share a total by weights so that the parts add up to it: odd cents go to the largest remainders."""
    if not weights or sum(weights) <= 0 or min(weights) < 0:
        raise ValueError(f"weights must be positive: {list(weights)}")
    cents = int(total / CENT)
    shares = [divmod(cents * weight, sum(weights)) for weight in weights]
    missing = cents - sum(whole for whole, _ in shares)
    by_remainder = sorted(range(len(weights)), key=lambda place: -shares[place][1])
    extra = set(by_remainder[:missing])
    return [(whole + (place in extra)) * CENT for place, (whole, _) in enumerate(shares)]


def show(value: Decimal, currency: str = "€") -> str:
    return f"{currency}{value:,.2f}"
