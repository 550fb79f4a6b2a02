"""A WSGI application, and how it is served on a socket that is already there."""

from __future__ import annotations

import decimal  # stands for what takes long to import  # noqa: F401
import email.message  # noqa: F401
import sqlite3
import xml.dom.minidom  # noqa: F401
from collections.abc import Callable, Iterable
from signal import SIGTERM, signal
from socket import AF_UNIX, recv_fds, socket
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from . import pages


def application(_: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    book = sqlite3.connect(":memory:")
    book.execute("create table entries (text)")
    book.execute("insert into entries values (?)", ("somebody was here",))
    entries = [text for (text,) in book.execute("select text from entries")]
    start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
    return [pages.page(entries).encode()]


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def serve(handover: str) -> None:
    """Take the listening socket over, at the path of a Unix socket, and serve until SIGTERM; requests are finished."""
    with socket(AF_UNIX) as line:
        line.connect(handover)
        _, (descriptor,), _, _ = recv_fds(line, 1, 1)
    server = WSGIServer(("", 0), Quiet, bind_and_activate=False)
    server.socket.close()
    server.socket = socket(fileno=descriptor)
    server.server_name, server.server_port = "localhost", server.socket.getsockname()[1]
    server.setup_environ()
    server.set_app(application)
    server.socket.setblocking(False)  # two servers listen for a moment: the other may have been quicker
    server.timeout = 0.02
    told: list[int] = []
    signal(SIGTERM, lambda number, _: told.append(number))
    while not told:
        server.handle_request()
