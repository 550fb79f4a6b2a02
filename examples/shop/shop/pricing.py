"""What a basket costs: every rule works on the whole basket as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from shop.money import amount

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

# From this many pieces of one product on, this share of its price is taken off.
BULK_STEPS = np.array([1, 5, 10, 50])
BULK_SHARES = np.array([0.0, 0.05, 0.10, 0.20])


@dataclass(frozen=True)
class Voucher:
    code: str
    percent: float = 0.0
    minimum: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.percent <= 100:
            raise ValueError(f"voucher {self.code}: {self.percent} % is no discount")


def bulk_shares(quantities: Integers) -> Floats:
    """The share taken off for each line of a basket."""
    if np.any(quantities < 1):
        raise ValueError(f"quantities must be positive: {quantities.tolist()}")
    return BULK_SHARES[np.searchsorted(BULK_STEPS, quantities, side="right") - 1]


def line_totals(prices: Floats, quantities: Integers) -> Floats:
    return prices * quantities * (1 - bulk_shares(quantities))


def basket_total(prices: Floats, quantities: Integers, voucher: Voucher | None = None) -> Decimal:
    total = float(line_totals(prices, quantities).sum())
    if voucher is not None and total >= voucher.minimum:
        total *= 1 - voucher.percent / 100
    return amount(total)


def price_curve(price: float, longest: int = 100) -> Floats:
    """The price of one piece when 1, 2, … of it are bought."""
    quantities = np.arange(1, longest + 1)
    return line_totals(np.full(longest, price), quantities) / quantities


def best_quantity(price: float, wanted: int, longest: int = 100) -> int:
    """The quantity, at least the one wanted, that costs least as a whole: the next step may be cheaper."""
    totals = price_curve(price, longest) * np.arange(1, longest + 1)
    return wanted + int(np.argmin(totals[wanted - 1 :]))
