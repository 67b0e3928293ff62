"""What an application says that redirects the way it would for nginx, which serves such files itself.

https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_ignore_headers (X-Accel-Redirect)
"""

from __future__ import annotations

import re
from email.message import Message
from urllib.parse import unquote_to_bytes


def parse_target(value: str) -> str:
    """Return the path that a field names as PATH_INFO would hold it: percent-decoded once, bytes as latin-1 text.

    Applications write it escaped or not, so a raw space and raw UTF-8 are taken; ValueError for what is ambiguous.
    """
    if re.search(r"%(?![0-9A-Fa-f]{2})", value):
        raise ValueError("a % in it begins no escape; write %25")
    if "?" in value:
        raise ValueError("it has a query; write a ? of the name as %3F")
    try:
        data = unquote_to_bytes(value.encode("latin-1"))
        data.decode("utf-8")
    except UnicodeError:
        raise ValueError("its bytes are not UTF-8") from None
    return data.decode("latin-1")


def kept_disposition(values: list[str], path: str) -> str | None:
    """Return a Content-Disposition that says more than the object itself: a download, or another name."""
    if len(values) != 1:
        return None
    message = Message()
    message["Content-Disposition"] = values[0]
    own = path.rpartition("/")[2]
    is_download = message.get_content_disposition() == "attachment"
    return values[0] if is_download or message.get_filename(own) != own else None
