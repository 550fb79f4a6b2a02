"""What the owner wants to know, as data frames."""

from __future__ import annotations

import pandas as pd
from sqlalchemy import select
from sqlalchemy.orm import Session

from shop.models import Customer, Order, OrderLine, OrderState, Product

COLUMNS = ["order", "customer", "placed_at", "state", "sku", "category", "quantity", "unit_price"]


def sales(session: Session) -> pd.DataFrame:
    """One row for each line of each order that was not cancelled, with its turnover."""
    query = (
        select(
            Order.id,
            Customer.email,
            Order.placed_at,
            Order.state,
            Product.sku,
            Product.category,
            OrderLine.quantity,
            OrderLine.unit_price,
        )
        .select_from(OrderLine)
        .join(OrderLine.order)
        .join(Order.customer)
        .join(OrderLine.product)
        .where(Order.state != OrderState.CANCELLED)
        .order_by(OrderLine.id)
    )
    frame = pd.DataFrame([tuple(row) for row in session.execute(query)], columns=COLUMNS)
    frame["placed_at"] = pd.to_datetime(frame["placed_at"])
    frame["state"] = [state.value for state in frame["state"]]
    frame["turnover"] = frame["unit_price"].astype(float) * frame["quantity"].astype(int)
    return frame


def monthly_turnover(frame: pd.DataFrame) -> pd.Series[float]:
    months = frame["placed_at"].dt.to_period("M").astype(str)
    return frame.groupby(months)["turnover"].sum().rename_axis("month")


def best_sellers(frame: pd.DataFrame, count: int = 5) -> pd.DataFrame:
    table = frame.groupby("sku").agg(pieces=("quantity", "sum"), turnover=("turnover", "sum")).reset_index()
    ordered = table.sort_values(["turnover", "sku"], ascending=[False, True])
    return ordered.head(count).reset_index(drop=True)


def by_category(frame: pd.DataFrame) -> pd.DataFrame:
    """Turnover of each category in each month; a month without sales is zero."""
    months = frame["placed_at"].dt.to_period("M").astype(str).rename("month")
    return frame.pivot_table(
        index="category", columns=months, values="turnover", aggfunc="sum", fill_value=0.0, observed=True
    )


def cohorts(frame: pd.DataFrame) -> pd.DataFrame:
    """How many customers of each first month came back 0, 1, 2, … months later."""
    month = frame["placed_at"].dt.year * 12 + frame["placed_at"].dt.month
    first = month.groupby(frame["customer"]).transform("min")
    table = pd.DataFrame({"first": first, "later": month - first, "customer": frame["customer"]})
    counts = table.groupby(["first", "later"])["customer"].nunique().unstack(fill_value=0)
    counts.index = pd.Index([f"{(m - 1) // 12}-{(m - 1) % 12 + 1:02d}" for m in counts.index], name="first")
    return counts


def to_csv(frame: pd.DataFrame) -> str:
    text: str = frame.to_csv(index=False, float_format="%.2f", date_format="%Y-%m-%d", lineterminator="\n")
    return text
