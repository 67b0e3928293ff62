"""Who may read what."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class Document(models.Model):
    """A file at the distribution, and the users that it is shared with."""

    name = models.CharField(max_length=200, unique=True)
    readers = models.ManyToManyField(settings.AUTH_USER_MODEL)
