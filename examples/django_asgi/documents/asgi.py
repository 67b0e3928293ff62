"""What the server serves: the Django site, wrapped in the gate."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

from cfgate_middleware import ask_app
from cfgate_middleware.asgi import CloudFrontGate

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "documents.settings")

application = CloudFrontGate(
    get_asgi_application(),
    ask_app,  # below the prefix a view decides: views.private
    prefix="/private",
    domain=os.environ.get("CFGATE_DOMAIN", "https://d111111abcdef8.cloudfront.net"),
    key_pair_id="K2JCJMDEHXQW5F",
    private_key="env:CFGATE_PRIVATE_KEY",
)
