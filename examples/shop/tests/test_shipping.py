from collections.abc import AsyncIterator
from decimal import Decimal

import anyio
import httpx
import pytest

from shop.shipping import Carriers, NoCarrierError, Quote

pytestmark = pytest.mark.anyio

ADDRESSES = {name: f"https://{name}.example/quote" for name in ("snail", "swift", "broken", "odd", "silent")}


async def answer(request: httpx.Request) -> httpx.Response:
    """The carriers' services: two that work, and three ways not to."""
    grams = int(request.url.params["weight"])
    match request.url.host:
        case "snail.example":
            # Slower than the others, and must not hold them up or come first for it.
            await anyio.sleep(0.01)
            return httpx.Response(200, json={"price": 2 + grams / 1000, "days": 9})
        case "swift.example":
            status = 200 if request.url.params["country"] == "DE" else 404
            return httpx.Response(status, json={"price": "11.955", "days": 1})
        case "broken.example":
            return httpx.Response(500)
        case "odd.example":
            return httpx.Response(200, text="<html>")
        case _:
            raise httpx.ConnectTimeout("silence", request=request)


@pytest.fixture
async def carriers() -> AsyncIterator[Carriers]:
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        yield Carriers(client, ADDRESSES)


async def test_quotes_come_cheapest_first(carriers: Carriers) -> None:
    assert await carriers.quotes(1500, "DE") == [
        Quote("snail", Decimal("3.50"), 9),
        Quote("swift", Decimal("11.96"), 1),
    ]


@pytest.mark.parametrize("grams", [1, 250, 9_000])
async def test_the_weight_is_passed_on(carriers: Carriers, grams: int) -> None:
    quote = await carriers.cheapest(grams, "FR")
    assert quote.price == Decimal(2) + (Decimal(grams) / 1000).quantize(Decimal("0.01"))


@pytest.mark.parametrize(("days", "expected"), [(None, "snail"), (9, "snail"), (8, "swift"), (1, "swift")])
async def test_time_may_matter_more(carriers: Carriers, days: int | None, expected: str) -> None:
    assert (await carriers.cheapest(100, "DE", within_days=days)).carrier == expected


async def test_no_carrier_is_an_error(carriers: Carriers) -> None:
    with pytest.raises(NoCarrierError, match="no carrier brings 100 g to FR"):
        await carriers.cheapest(100, "FR", within_days=1)


async def test_carriers_are_asked_at_the_same_time() -> None:
    waiting = 0
    together = anyio.Event()

    async def meet(_request: httpx.Request) -> httpx.Response:
        nonlocal waiting
        waiting += 1
        if waiting == len(ADDRESSES):
            together.set()
        await together.wait()
        return httpx.Response(200, json={"price": 1, "days": 1})

    async with httpx.AsyncClient(transport=httpx.MockTransport(meet)) as client:
        with anyio.fail_after(10):
            assert len(await Carriers(client, ADDRESSES).quotes(1, "DE")) == len(ADDRESSES)
