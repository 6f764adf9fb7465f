"""Stop the C library from returning freed memory to the system after every call."""

import ctypes

# glibc, malloc/malloc.h: parameter -> value.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_SETTINGS = {
    _MMAP_THRESHOLD: 1 << 30,
    _TRIM_THRESHOLD: 2**31 - 1,
    _TOP_PAD: 256 << 20,
}


def keep_freed_memory() -> bool:
    """Keep freed memory in this process; return whether the system can do so.

    On CPU, XLA takes its temporaries from malloc at every call. By default glibc maps
    large blocks afresh and returns them afterwards, so that each call waits for the
    system to clear tens of thousands of pages. Calling this once, before the first
    prediction, stops that.

    The price: it affects the whole process, cannot be undone, and the process stays at
    its largest size, up to about 190 MB more for a ViT-S at 518 pixels. So it is off
    unless a program asks for it; only the command line, which owns its process, turns
    it on by default.

    Returns:
        True if the C library is glibc and took every setting. False elsewhere (macOS,
        Windows, musl) or under another allocator that ignores them; nothing is
        changed then.

    Source: mallopt(3).
    """
    try:
        libc = ctypes.CDLL(None)
        libc.gnu_get_libc_version  # noqa: B018  musl has a mallopt that does nothing
        mallopt = libc.mallopt
    except (AttributeError, OSError, TypeError):  # TypeError: CDLL(None) on Windows
        return False
    return all([mallopt(name, value) == 1 for name, value in _SETTINGS.items()])
