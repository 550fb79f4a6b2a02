"""What goes over the wire."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from shop.models import OrderState

Sku = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}-\d{3}$")]
Price = Annotated[Decimal, Field(gt=0, decimal_places=2, max_digits=10)]


class Schema(BaseModel):
    model_config = ConfigDict(from_attributes=True, extra="forbid")


class ProductIn(Schema):
    sku: Sku
    name: str = Field(min_length=1, max_length=80)
    category: str = Field(min_length=1, max_length=40)
    price: Price
    weight_grams: int = Field(gt=0)
    stock: int = Field(default=0, ge=0)


class ProductOut(ProductIn):
    id: int


class CustomerIn(Schema):
    email: str = Field(max_length=120)
    name: str = Field(min_length=1, max_length=80)

    @field_validator("email")
    @classmethod
    def has_a_domain(cls, value: str) -> str:
        user, _, domain = value.strip().partition("@")
        if not user or "." not in domain:
            raise ValueError("not an e-mail address")
        return f"{user}@{domain.lower()}"


class CustomerOut(CustomerIn):
    id: int


class OrderIn(Schema):
    customer_id: int
    basket: dict[Sku, Annotated[int, Field(gt=0, le=999)]] = Field(min_length=1)


class LineOut(Schema):
    sku: Sku
    quantity: int
    unit_price: Price


class OrderOut(Schema):
    id: int
    customer_id: int
    state: OrderState
    placed_at: datetime
    total: Decimal
    lines: list[LineOut]
