"""The same application, from an event loop."""

import anyio
import httpx
import pytest
from fastapi import FastAPI

pytestmark = pytest.mark.anyio


async def test_one_request(async_client: httpx.AsyncClient) -> None:
    response = await async_client.get("/products/MUG-001")
    assert response.json()["name"] == "Blue mug"


@pytest.mark.parametrize("path", ["/products/CAR-001", "/customers/1", "/orders/1", "/nothing"])
async def test_what_is_not_there(async_client: httpx.AsyncClient, path: str) -> None:
    assert (await async_client.get(path)).status_code == 404


async def test_many_pages_after_each_other(async_client: httpx.AsyncClient) -> None:
    names = [
        (await async_client.get("/products", params={"q": word})).json() for word in ("mug", "pen", "lamp")
    ]
    assert [len(found) for found in names] == [2, 2, 1]


async def test_a_dependency_can_fail(app: FastAPI, async_client: httpx.AsyncClient) -> None:
    from shop.api.dependencies import open_session

    def closed() -> None:
        raise RuntimeError("the shop is closed")

    app.dependency_overrides[open_session] = closed
    with pytest.raises(RuntimeError, match="closed"):
        await async_client.get("/products")


async def test_a_client_that_goes_away(async_client: httpx.AsyncClient) -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        await async_client.get("/products")
    assert scope.cancelled_caught
    assert (await async_client.get("/products")).status_code == 200
