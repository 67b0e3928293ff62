"""The site's settings. What differs in production comes from the environment."""

from __future__ import annotations

import os
import secrets

# In production every process needs the same one, or users who log in at one are strangers to the next.
SECRET_KEY = os.environ.get("DOCUMENTS_SECRET_KEY") or secrets.token_urlsafe()
ALLOWED_HOSTS = ["localhost", os.environ.get("DOCUMENTS_HOST", "127.0.0.1")]
# In production, behind https: SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "documents",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["DOCUMENTS_DATABASE"]}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

ROOT_URLCONF = "documents.urls"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = LOGOUT_REDIRECT_URL = "home"
