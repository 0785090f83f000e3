"""How a job may name its input and output, as far as the text alone tells. Pure.

The master refuses a name by these rules before there is a job; the worker asks them again and then looks at the disk
and the network, which the master cannot see.
"""

import posixpath
import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

PARTIAL_SUFFIX: Final = ".partial"
# All that any node can be set to take.
SCHEMES: Final = ("http", "https", "rtmp", "rtmps", "srt", "udp", "tcp")

_WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*(?:,,[^:]*)?:")
# RFC 3986 without the backslash, quotes and spaces that parsers read in different ways.
_URL: Final = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+\Z")
# The halves of a surrogate pair too, but those that stand for the bytes of a file name that is no UTF-8.
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udc7f\udd00-\udfff]")


class BadPlace(ValueError):
    """A name that no node may open. ``code`` is ``bad_name``, ``scheme``, ``host`` or ``outside``."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def is_url(text: str) -> bool:
    """Tell a URL from a path.

    Raises:
        BadPlace: it could be taken for an option or another protocol, or holds control characters.
    """
    if has_control(text):
        raise BadPlace("bad_name", "the name holds control characters, such as a line break: rename the file")
    if not text or text.startswith("-"):
        raise BadPlace("bad_name", "a name must not be empty nor begin with a dash; write ./ before it")
    word = _WORD.match(text)
    if word is None:
        return False
    if not text[word.end() :].startswith("//"):
        raise BadPlace("scheme", f"{word[0]} is not taken here; write ./ before a file name with a colon")
    return True


def split_url(text: str) -> SplitResult:
    """Return the parts of a URL of a known scheme that names a host.

    Raises:
        BadPlace: it does not, or holds characters that programs read in different ways.
    """
    if not _URL.match(text):
        raise BadPlace("bad_name", "the URL holds characters that must be percent-encoded")
    try:
        parts = urlsplit(text)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        raise BadPlace("bad_name", "the URL cannot be read") from None
    if parts.scheme not in SCHEMES:
        raise BadPlace("scheme", f"{parts.scheme}: URLs are not taken here; known: {', '.join(SCHEMES)}")
    if not host or parts.netloc.count("@") > 1:
        raise BadPlace("host", "the URL names no host")
    return parts


def check_input(text: str) -> None:
    """Refuse an input that no node may read.

    Raises:
        BadPlace: why.
    """
    if is_url(text):
        split_url(text)
    else:
        _stay_inside(text)


def check_output_file(text: str) -> None:
    """Refuse an output file that no node may write.

    Raises:
        BadPlace: why.
    """
    if is_url(text):
        raise BadPlace("scheme", f"a file is asked for and {text} is a URL: choose output mode rtmp, srt or stream")
    name = posixpath.basename(text)
    if name in ("", ".", ".."):
        raise BadPlace("bad_name", f"{text} names a folder, not a file")
    if name.lower().endswith(PARTIAL_SUFFIX):
        raise BadPlace("bad_name", f"names ending in {PARTIAL_SUFFIX} are kept for unfinished outputs")
    _stay_inside(text)


def same_file(one: str | None, other: str | None) -> bool:
    """Tell whether two names are the same file on any node."""
    return one is not None and other is not None and posixpath.normpath(one) == posixpath.normpath(other)


def has_control(text: str) -> bool:
    """Tell whether a text holds characters that break lines, move cursors or end strings, or is no Unicode."""
    return _CONTROL.search(text) is not None


def _stay_inside(text: str) -> None:
    """Refuse a relative path that leaves the folder it is looked for in."""
    if posixpath.normpath(text).split("/")[0] == "..":
        raise BadPlace("outside", f"{text} leads out of the folders that jobs may use: leave .. out of it")
