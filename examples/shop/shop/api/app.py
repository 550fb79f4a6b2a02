"""The application, and which error becomes which status."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from sqlalchemy import Engine

from shop.api import customers, orders, products
from shop.catalogue import UnknownProductError
from shop.database import session_factory
from shop.orders import UnknownOrderError, WrongStateError
from shop.stock import OutOfStockError

STATUS: dict[type[Exception], int] = {
    UnknownProductError: 404,
    UnknownOrderError: 404,
    OutOfStockError: 409,
    WrongStateError: 409,
}


def create_app(engine: Engine) -> FastAPI:
    app = FastAPI(title="shop")
    app.state.sessions = session_factory(engine)
    for module in (products, customers, orders):
        app.include_router(module.router)
    for error in STATUS:
        app.add_exception_handler(error, _answer)
    return app


def _answer(_request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, status_code=STATUS[type(error)])
