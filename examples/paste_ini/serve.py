"""Serve what ``site.ini`` describes: ``python examples/paste_ini/serve.py``."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from paste.deploy import loadapp, loadserver

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    ini = f"config:{Path(__file__).with_name('site.ini').resolve()}"
    serve = loadserver(ini, global_conf={"port": os.environ.get("PORT", "8080")})
    serve(loadapp(ini))
