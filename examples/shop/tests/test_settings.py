from decimal import Decimal

import pytest

from shop.settings import Settings, SettingsError


def test_an_empty_environment_gives_the_defaults() -> None:
    assert Settings() == Settings.from_environment({})


def test_variables_win_over_defaults() -> None:
    settings = Settings.from_environment({"SHOP_VAT_PERCENT": "7", "SHOP_DATABASE_URL": "sqlite:///shop.db"})
    assert settings.vat_percent == Decimal(7)
    assert settings.database_url == "sqlite:///shop.db"


def test_other_variables_are_ignored() -> None:
    assert Settings.from_environment({"HOME": "/home/ada", "VAT_PERCENT": "99"}) == Settings()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("SHOP_VAT_PERCENT", "twenty", "not a number"),
        ("SHOP_VAT_PERCENT", "-1", "negative"),
        ("SHOP_VAT_PERCENT", "101", "over 100"),
        ("SHOP_FREE_SHIPPING_FROM", "", "not a number"),
    ],
)
def test_nonsense_is_named(name: str, value: str, message: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} is {message}"):
        Settings.from_environment({name: value})
