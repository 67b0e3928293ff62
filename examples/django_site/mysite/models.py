"""What the site knows of the files at the distribution."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class Backup(models.Model):
    """One user's file."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    file = models.FileField()
