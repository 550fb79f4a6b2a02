"""What customers read."""

from __future__ import annotations

from email.message import EmailMessage

from jinja2 import Environment, PackageLoader, StrictUndefined

from shop.models import Order
from shop.money import show
from shop.settings import Settings

_environment = Environment(
    loader=PackageLoader("shop"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    autoescape=False,
)
_environment.filters["money"] = show


def confirmation(order: Order, settings: Settings) -> EmailMessage:
    return _message(order, settings, f"Your order {order.id}", "confirmation.txt")


def shipped(order: Order, settings: Settings, tracking: str) -> EmailMessage:
    return _message(order, settings, f"Order {order.id} is on its way", "shipped.txt", tracking=tracking)


def _message(order: Order, settings: Settings, subject: str, template: str, **values: str) -> EmailMessage:
    message = EmailMessage()
    message["From"] = settings.sender
    message["To"] = order.customer.email
    message["Subject"] = subject
    message.set_content(_environment.get_template(template).render(order=order, **values))
    return message
