"""The application behind the gate in ``site.ini``."""

from __future__ import annotations

from collections.abc import Mapping
from wsgiref.types import WSGIApplication

from webob import Response


def make_app(global_conf: Mapping[str, str], greeting: str) -> WSGIApplication:
    """``paste.app_factory``: an application that replies with a greeting."""
    return Response(greeting, content_type="text/plain", charset="utf-8")
