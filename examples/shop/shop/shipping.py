"""Carriers are asked for quotes at the same time; one that does not answer is left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

import anyio
import httpx

from shop.money import amount


class NoCarrierError(Exception):
    """No carrier would take the parcel."""


@dataclass(frozen=True)
class Quote:
    carrier: str
    price: Decimal
    days: int


class Carriers:
    """The carriers' quote services, by name and address."""

    def __init__(self, client: httpx.AsyncClient, addresses: Mapping[str, str]) -> None:
        self._client = client
        self._addresses = addresses

    async def quotes(self, weight_grams: int, country: str) -> list[Quote]:
        """All quotes that came, cheapest first."""
        found: list[Quote] = []

        async def ask(carrier: str) -> None:
            quote = await self._ask(carrier, weight_grams, country)
            if quote is not None:
                found.append(quote)

        async with anyio.create_task_group() as group:
            for carrier in self._addresses:
                group.start_soon(ask, carrier)
        return sorted(found, key=lambda quote: (quote.price, quote.days, quote.carrier))

    async def cheapest(self, weight_grams: int, country: str, within_days: int | None = None) -> Quote:
        for quote in await self.quotes(weight_grams, country):
            if within_days is None or quote.days <= within_days:
                return quote
        raise NoCarrierError(f"no carrier brings {weight_grams} g to {country}")

    async def _ask(self, carrier: str, weight_grams: int, country: str) -> Quote | None:
        try:
            response = await self._client.get(
                self._addresses[carrier], params={"weight": weight_grams, "country": country}
            )
            response.raise_for_status()
            answer = response.json()
            return Quote(carrier, amount(answer["price"]), int(answer["days"]))
        except (httpx.HTTPError, ValueError, KeyError):
            return None
