"""Print a token that is valid for an hour, IN PLACE OF YOUR LOG-IN SERVER: ``python …/issue_token.py``."""

from __future__ import annotations

import os
import time

import jwt

claims = {"sub": "nightly build", "aud": "https://docs.example.com", "exp": int(time.time()) + 3600}
print(jwt.encode(claims, os.environ["TOKEN_PRIVATE_KEY"], algorithm="ES256"))
