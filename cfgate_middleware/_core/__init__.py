"""The pure core: facts in, decisions out. No webob, no WSGI or ASGI, no IO, no clock and no log."""

from __future__ import annotations
