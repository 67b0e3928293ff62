"""What the server serves: the Django site, wrapped in the gate."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

from cfgate_middleware import CloudFrontGate, Distribution, ask_app

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")

distribution = Distribution(
    os.environ.get("CFGATE_DOMAIN", "https://d111111abcdef8.cloudfront.net"),
    key_pair_id="K2JCJMDEHXQW5F",
    private_key="env:CFGATE_PRIVATE_KEY",
)

application = CloudFrontGate(
    get_wsgi_application(),
    ask_app,  # below the prefix a view decides: views.private
    prefix="/private",
    distribution=distribution,
    app_redirect_header="X-Accel-Redirect",  # anywhere else, what django-sendfile2 says to nginx: views.download
)
