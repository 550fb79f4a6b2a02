import numpy as np
import pytest

from shop.pricing import best_quantity, bulk_shares, line_totals, price_curve


@pytest.mark.parametrize(
    ("quantity", "share"),
    [(1, 0.0), (4, 0.0), (5, 0.05), (9, 0.05), (10, 0.1), (49, 0.1), (50, 0.2), (9999, 0.2)],
)
def test_each_step_starts_at_its_quantity(quantity: int, share: float) -> None:
    assert bulk_shares(np.array([quantity])) == pytest.approx([share])


def test_lines_are_discounted_apart() -> None:
    totals = line_totals(np.array([10.0, 10.0, 1.0]), np.array([1, 5, 50]))
    np.testing.assert_allclose(totals, [10.0, 47.5, 40.0])


@pytest.mark.parametrize("quantities", [[0], [1, -1], [3, 0, 2]])
def test_quantities_must_be_positive(quantities: list[int]) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        bulk_shares(np.array(quantities))


class TestPriceCurve:
    def test_never_rises(self) -> None:
        curve = price_curve(19.99, 500)
        assert np.all(np.diff(curve) <= 1e-9)

    def test_starts_at_the_price(self) -> None:
        assert price_curve(19.99)[0] == pytest.approx(19.99)

    def test_ends_at_the_largest_discount(self) -> None:
        assert price_curve(10.0, 60)[-1] == pytest.approx(8.0)


@pytest.mark.parametrize(("wanted", "best"), [(1, 1), (4, 4), (9, 9), (10, 10), (44, 44), (45, 50), (49, 50)])
def test_more_may_cost_less(wanted: int, best: int) -> None:
    assert best_quantity(2.0, wanted) == best


def test_a_whole_catalogue_at_once() -> None:
    random = np.random.default_rng(7)
    prices = random.uniform(1, 500, size=200_000)
    quantities = random.integers(1, 100, size=200_000)
    totals = line_totals(prices, quantities)
    full = prices * quantities
    assert np.all(totals <= full)
    assert np.all(totals >= 0.8 * full - 1e-6)
    assert totals.sum() / full.sum() == pytest.approx(0.8253, abs=1e-3)
