"""A page, private files under their permanent links, and downloads by their number."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe
from django_sendfile import sendfile

from cfgate_middleware import allow
from mysite.models import Backup


@login_required
@require_safe
def private(request: HttpRequest, folder: str, name: str) -> HttpResponse:
    """Say yes to users who ask for a file in their own folder; the gate redirects them to it."""
    if folder != str(request.user.pk):
        raise PermissionDenied
    return HttpResponse(status=204, headers=allow(request.META))


@login_required
def download(request: HttpRequest, number: int) -> HttpResponse:
    """Send users a backup of their own, as a view does that was written for nginx: not a word of CloudFront."""
    backup = get_object_or_404(Backup, pk=number, owner=request.user)
    return sendfile(request, backup.file.path, attachment=True)


def home(request: HttpRequest) -> HttpResponse:
    """Show users what they may read."""
    backups = Backup.objects.filter(owner=request.user) if request.user.is_authenticated else []
    return render(request, "home.html", {"backups": backups})
