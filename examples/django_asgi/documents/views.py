"""A page, and the documents under their permanent links."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from cfgate_middleware import allow
from documents.models import Document


@login_required
@require_safe
async def private(request: HttpRequest, name: str) -> HttpResponse:
    """Say yes to users with whom a document is shared; the gate redirects them to it."""
    user = await request.auser()
    if not await Document.objects.filter(name=name, readers=user).aexists():
        raise PermissionDenied
    return HttpResponse(status=204, headers=allow(request.scope))


async def home(request: HttpRequest) -> HttpResponse:
    """Show users what they may read."""
    user = await request.auser()
    shared = Document.objects.filter(readers=user) if user.is_authenticated else Document.objects.none()
    documents = [document async for document in shared]
    return render(request, "home.html", {"user": user, "documents": documents})
