"""Names under which a server may be reached, and paths below its own."""

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.types import Scope


def is_loopback(name: str) -> bool:
    """Whether only programs on this machine reach an address by this name."""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def is_among(name: str, names: Iterable[str]) -> bool:
    """Whether a name is one of some, or below one that is written `*.example.org`."""
    return any(
        name == other or (other.startswith("*.") and name.endswith(other[1:]))
        for other in names
    )


def is_host(name: str) -> bool:
    """Whether this is a name that `is_among` may find, not a whole address."""
    bare = name.removeprefix("*.")
    found = host_name(f"[{bare}]" if ":" in bare else bare)
    return found == bare.lower() and bare != "" and "*" not in bare


def host_name(host: str) -> str:
    """Return the name in a Host header in lower case, without port and brackets."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def local_path(scope: Scope) -> str:
    """Return the path of a request without the prefix that a proxy strips."""
    path = scope["path"]
    root = scope.get("root_path", "")
    return path[len(root) :] if root and path.startswith(f"{root}/") else path
