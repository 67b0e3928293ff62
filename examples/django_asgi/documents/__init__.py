"""A Django site with documents that are shared, served over ASGI."""
