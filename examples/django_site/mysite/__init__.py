"""A Django site with private files."""
