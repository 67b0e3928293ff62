"""The site's settings. What differs in production comes from the environment."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

DATA = Path(os.environ["MYSITE_DATA"])  # the folder of the database and of the collected static files
# In production every process needs the same one, or users who log in at one are strangers to the next.
SECRET_KEY = os.environ.get("MYSITE_SECRET_KEY") or secrets.token_urlsafe()
ALLOWED_HOSTS = ["localhost", os.environ.get("MYSITE_HOST", "127.0.0.1")]
# In production, behind https: SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True

# django-sendfile2, as for nginx. Its URL is the prefix of the gate, its root stands for the root of the distribution.
SENDFILE_BACKEND = "django_sendfile.backends.nginx"
SENDFILE_URL = "/private"
SENDFILE_ROOT = MEDIA_ROOT = "/private"
SENDFILE_CHECK_FILE_EXISTS = False  # they are at the distribution, not here

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "mysite",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": ["django.contrib.auth.context_processors.auth"]},
    }
]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": DATA / "db.sqlite3"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

ROOT_URLCONF = "mysite.urls"
STATIC_URL = "static/"
STATIC_ROOT = DATA / "static"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = LOGOUT_REDIRECT_URL = "home"
