import pytest
from sqlalchemy.orm import Session

from shop.catalogue import UnknownProductError
from shop.models import Product
from shop.stock import OutOfStockError, reserve, restock, running_low


class TestReserve:
    def test_takes_from_the_shelves(self, session: Session, shelves: dict[str, Product]) -> None:
        reserve(session, {"MUG-001": 4, "PEN-001": 100})
        assert (shelves["MUG-001"].stock, shelves["PEN-001"].stock) == (36, 400)

    def test_the_last_piece_can_be_had(self, session: Session, shelves: dict[str, Product]) -> None:
        reserve(session, {"RUG-001": 2})
        assert shelves["RUG-001"].stock == 0

    def test_all_or_nothing(self, session: Session, shelves: dict[str, Product]) -> None:
        with pytest.raises(OutOfStockError, match="MUG-002: 4 wanted, 3 in stock"):
            reserve(session, {"MUG-001": 1, "MUG-002": 4})
        assert shelves["MUG-001"].stock == 40

    @pytest.mark.usefixtures("shelves")
    def test_the_error_says_what_there_is(self, session: Session) -> None:
        with pytest.raises(OutOfStockError) as caught:
            reserve(session, {"LMP-001": 1})
        assert (caught.value.sku, caught.value.wanted, caught.value.available) == ("LMP-001", 1, 0)

    @pytest.mark.usefixtures("shelves")
    def test_unknown_products_are_not_out_of_stock(self, session: Session) -> None:
        with pytest.raises(UnknownProductError):
            reserve(session, {"CAR-001": 1})


class TestRestock:
    def test_adds_to_the_shelves(self, session: Session, shelves: dict[str, Product]) -> None:
        restock(session, {"LMP-001": 5, "RUG-001": 1})
        assert (shelves["LMP-001"].stock, shelves["RUG-001"].stock) == (5, 3)

    @pytest.mark.usefixtures("shelves")
    def test_cannot_take_away(self, session: Session) -> None:
        with pytest.raises(ValueError, match="cannot take away"):
            restock(session, {"MUG-001": -1})


@pytest.mark.parametrize(("threshold", "expected"), [(1, 1), (3, 2), (4, 3), (10, 4)])
@pytest.mark.usefixtures("shelves")
def test_running_low(session: Session, threshold: int, expected: int) -> None:
    low = running_low(session, threshold)
    assert len(low) == expected
    assert low[0].sku == "LMP-001"
