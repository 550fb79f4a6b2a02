import numpy as np
import pandas as pd
import pytest

from shop.reports import best_sellers, by_category, cohorts, monthly_turnover


@pytest.fixture(scope="module")
def two_years() -> pd.DataFrame:
    """Sales as the database would give them: 20,000 lines in two years."""
    random = np.random.default_rng(3)
    size = 20_000
    skus = np.array([f"SKU-{number:03}" for number in range(40)])
    chosen = random.integers(40, size=size)
    frame = pd.DataFrame(
        {
            "order": np.arange(size) // 3,
            "customer": [f"{number}@example.org" for number in random.integers(900, size=size)],
            "placed_at": pd.Timestamp("2024-01-01")
            + pd.to_timedelta(random.integers(0, 730, size=size), unit="D"),
            "state": "paid",
            "sku": skus[chosen],
            "category": np.array(["kitchen", "office", "living", "garden"])[chosen % 4],
            "quantity": random.integers(1, 9, size=size),
            "unit_price": 5.0 + chosen,
        }
    )
    frame["turnover"] = frame["quantity"] * frame["unit_price"]
    return frame


class TestMonthlyTurnover:
    def test_has_every_month_once(self, two_years: pd.DataFrame) -> None:
        months = monthly_turnover(two_years)
        assert len(months) == 24
        assert (months.index[0], months.index[-1]) == ("2024-01", "2025-12")

    def test_loses_nothing(self, two_years: pd.DataFrame) -> None:
        assert monthly_turnover(two_years).sum() == pytest.approx(two_years["turnover"].sum())


class TestBestSellers:
    @pytest.mark.parametrize("count", [1, 5, 40, 100])
    def test_are_as_many_as_asked_for(self, two_years: pd.DataFrame, count: int) -> None:
        assert len(best_sellers(two_years, count)) == min(count, 40)

    def test_are_ordered(self, two_years: pd.DataFrame) -> None:
        assert best_sellers(two_years, 40)["turnover"].is_monotonic_decreasing

    def test_equal_turnovers_are_ordered_by_sku(self) -> None:
        frame = pd.DataFrame({"sku": ["B", "A"], "quantity": [1, 2], "turnover": [4.0, 4.0]})
        assert best_sellers(frame)["sku"].tolist() == ["A", "B"]


class TestByCategory:
    def test_has_a_cell_for_each_month(self, two_years: pd.DataFrame) -> None:
        assert by_category(two_years).shape == (4, 24)

    def test_a_month_without_sales_is_zero(self, two_years: pd.DataFrame) -> None:
        winter = two_years["placed_at"].dt.month.isin([12, 1, 2])
        table = by_category(two_years[~(winter & (two_years["category"] == "garden"))])
        assert table.loc["garden", "2024-01"] == 0.0
        assert table.loc["garden", "2024-06"] > 0.0


class TestCohorts:
    def test_nobody_comes_back_before_coming(self, two_years: pd.DataFrame) -> None:
        table = cohorts(two_years)
        assert table[0].sum() == two_years["customer"].nunique()

    def test_a_cohort_never_grows(self, two_years: pd.DataFrame) -> None:
        table = cohorts(two_years)
        assert (table.sub(table[0], axis=0) <= 0).all().all()

    def test_over_the_turn_of_a_year(self) -> None:
        when = pd.to_datetime(["2024-12-30", "2025-01-02"])
        table = cohorts(pd.DataFrame({"customer": ["ada", "ada"], "placed_at": when}))
        assert table.index.tolist() == ["2024-12"]
        assert table.loc["2024-12"].to_dict() == {0: 1, 1: 1}
