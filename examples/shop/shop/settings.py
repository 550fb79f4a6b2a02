"""What differs between a laptop and the shop in production, read from the environment once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal


class SettingsError(ValueError):
    """A variable of the environment does not make sense."""


@dataclass(frozen=True)
class Settings:
    database_url: str = "sqlite://"
    vat_percent: Decimal = Decimal(20)
    free_shipping_from: Decimal = Decimal(50)
    sender: str = "orders@shop.example"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        default = cls()
        return cls(
            database_url=environment.get("SHOP_DATABASE_URL", default.database_url),
            vat_percent=_percent(environment, "SHOP_VAT_PERCENT", default.vat_percent),
            free_shipping_from=_number(environment, "SHOP_FREE_SHIPPING_FROM", default.free_shipping_from),
            sender=environment.get("SHOP_SENDER", default.sender),
        )


def _number(environment: Mapping[str, str], name: str, default: Decimal) -> Decimal:
    text = environment.get(name)
    if text is None:
        return default
    try:
        number = Decimal(text)
    except ArithmeticError:
        raise SettingsError(f"{name} is not a number: {text!r}") from None
    if number < 0:
        raise SettingsError(f"{name} is negative: {text}")
    return number


def _percent(environment: Mapping[str, str], name: str, default: Decimal) -> Decimal:
    number = _number(environment, name, default)
    if number > 100:
        raise SettingsError(f"{name} is over 100: {number}")
    return number
