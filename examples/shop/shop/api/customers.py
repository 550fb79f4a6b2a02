"""/customers"""

from __future__ import annotations

from fastapi import APIRouter, HTTPException
from sqlalchemy.exc import IntegrityError

from shop.api.dependencies import DatabaseSession
from shop.models import Customer
from shop.schemas import CustomerIn, CustomerOut

router = APIRouter(prefix="/customers", tags=["customers"])


@router.post("", response_model=CustomerOut, status_code=201)
def register(session: DatabaseSession, new: CustomerIn) -> Customer:
    customer = Customer(**new.model_dump())
    session.add(customer)
    try:
        session.commit()
    except IntegrityError:
        session.rollback()
        raise HTTPException(409, f"{new.email} is registered") from None
    return customer


@router.get("/{customer_id}", response_model=CustomerOut)
def read(session: DatabaseSession, customer_id: int) -> Customer:
    customer = session.get(Customer, customer_id)
    if customer is None:
        raise HTTPException(404, f"there is no customer {customer_id}")
    return customer
