"""Which files and URLs a job may reach.

Paths are handed to ffmpeg absolute, resolved and behind ``file:``, so that no name can pass for an option, a
protocol or a pattern.
"""

import fnmatch
import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

from ffrtmpd.wire.vocabulary import NAME, FailureClass, OutputMode

PARTIAL_SUFFIX: Final = ".partial"
# What staging adds to a name: dot, job id, dot, attempt, suffix.
PARTIAL_ROOM: Final = 64
NAME_MAX: Final = 255
FILE_PREFIX: Final = "file:"

# Which demuxers read an input. Left out on purpose: those that name further files or devices (concat, image2,
# lavfi, sdp, dash's webm manifest, imf) and those for text.
FILE_FORMATS: Final = (
    "mov,matroska,mpegts,mpeg,mpegvideo,avi,flv,live_flv,ogg,asf,mxf,gxf,nut,ivf,obu,h264,hevc,av1,m4v,vc1,dv,"
    "yuv4mpegpipe,wav,mp3,aac,flac"
)
URL_FORMATS: Final = FILE_FORMATS + ",hls,dash"

_WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")
# RFC 3986 without the backslash, quotes and spaces that parsers read in different ways.
_URL: Final = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+\Z")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")

# ffmpeg opens a URL through these and no others, whatever a playlist or a redirect names.
_PROTOCOLS: Final = {
    "http": "http,https,tcp,tls,crypto",
    "https": "http,https,tcp,tls,crypto",
    "rtmp": "rtmp,tcp",
    "rtmps": "rtmps,rtmp,tcp,tls",
    "srt": "srt",
    "udp": "udp",
    "tcp": "tcp",
}
_MODE_SCHEMES: Final = {
    OutputMode.RTMP: ("rtmp", "rtmps"),
    OutputMode.SRT: ("srt",),
    OutputMode.STREAM: ("http", "https", "rtmp", "rtmps", "srt", "udp", "tcp"),
}


class PlaceError(Exception):
    """A place that a job may not reach or that is not there. Always permanent: trying again does not help.

    ``code`` is one of ``bad_name``, ``outside``, ``missing``, ``not_a_file``, ``scheme`` and ``host``.
    """

    failure_class = FailureClass.PERMANENT

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The folders, URL schemes and hosts that jobs may use on this node.

    A relative input is looked for under each of ``input_roots`` in order; a relative output goes under the first of
    ``output_roots``. ``hosts`` are patterns as of a shell (``*.example.net``).
    """

    input_roots: tuple[Path, ...]
    output_roots: tuple[Path, ...]
    schemes: tuple[str, ...] = ("http", "https", "rtmp", "rtmps", "srt")
    hosts: tuple[str, ...] = ("*",)

    def resolve_input(self, text: str) -> str:
        """Return ``text`` as ffmpeg may open it: ``file:`` and an absolute path, or a URL.

        Raises:
            PlaceError: it is not there, is no regular file, or may not be reached.
        """
        _refuse_control(text)
        if _is_url(text):
            self._checked_url(text, tuple(_PROTOCOLS))
            return text
        roots = _resolved(self.input_roots)
        named = Path(text)
        candidates = [named] if named.is_absolute() else [root / named for root in roots]
        found = _first_existing(candidates)
        if found is None:
            raise PlaceError("missing", f"no such file: {text}")
        if not _under(found, roots):
            raise PlaceError("outside", f"{text} is not in a folder that jobs may read (input_roots)")
        if not stat.S_ISREG(found.stat().st_mode):
            raise PlaceError("not_a_file", f"{text} is not a file")
        return FILE_PREFIX + str(found)

    def resolve_output(
        self, text: str | None, *, job_id: str, mode: OutputMode = OutputMode.FILE, suffix: str = ".mp4"
    ) -> Path | str:
        """Return where the output goes: a path for a file, whose folder is made; a URL for every other mode.

        Without ``text`` a file is named after the job, ending in ``suffix``.

        Raises:
            PlaceError: it may not be written, or does not fit the mode.
            OSError: the folder cannot be made.
        """
        if mode is not OutputMode.FILE:
            return self._output_url(text, mode)
        if not NAME.fullmatch(job_id):
            raise PlaceError("bad_name", "the job id cannot be part of a file name")
        if text is None:
            text = job_id + suffix
        _refuse_control(text)
        if _is_url(text):
            raise PlaceError(
                "scheme", f"a file is asked for and {text} is a URL: choose output mode rtmp, srt or stream"
            )
        return self._output_path(text)

    def _output_path(self, text: str) -> Path:
        name = Path(text).name
        if text.endswith("/") or name in ("", ".", ".."):
            raise PlaceError("bad_name", f"{text} names a folder, not a file")
        if name.endswith(PARTIAL_SUFFIX):
            raise PlaceError("bad_name", f"names ending in {PARTIAL_SUFFIX} are kept for unfinished outputs")
        if len(os.fsencode(name)) > NAME_MAX - PARTIAL_ROOM:
            raise PlaceError("bad_name", f"the name is longer than {NAME_MAX - PARTIAL_ROOM} bytes")
        first = self.output_roots[0]
        first.mkdir(parents=True, exist_ok=True)
        roots = _resolved(self.output_roots)
        folder = self._folder(roots[0] / text, roots, text)
        folder.mkdir(parents=True, exist_ok=True)
        # Once more: what was made may have gone through a link that appeared meanwhile.
        path = self._folder(folder / name, roots, text) / name
        if path.is_dir():
            raise PlaceError("not_a_file", f"{text} is a folder")
        if path.exists() and not path.is_file():
            raise PlaceError("not_a_file", f"{text} exists and is not a file")
        return path

    @staticmethod
    def _folder(path: Path, roots: tuple[Path, ...], text: str) -> Path:
        try:
            folder = path.parent.resolve()
        except (OSError, RuntimeError):
            raise PlaceError("bad_name", f"{text} leads nowhere") from None
        if not _under(folder, roots):
            raise PlaceError("outside", f"{text} is not in a folder that jobs may write (output_roots)")
        return folder

    def _output_url(self, text: str | None, mode: OutputMode) -> str:
        if text is None:
            raise PlaceError("scheme", f"output mode {mode} needs a URL to push to")
        _refuse_control(text)
        if not _is_url(text):
            raise PlaceError("scheme", f"output mode {mode} pushes to a URL, and {text} is none")
        self._checked_url(text, _MODE_SCHEMES[mode])
        return text

    def _checked_url(self, text: str, known: Iterable[str]) -> None:
        if not _URL.match(text):
            raise PlaceError("bad_name", "the URL holds characters that must be percent-encoded")
        try:
            parts = urlsplit(text)
            host = parts.hostname
            _ = parts.port
        except ValueError:
            raise PlaceError("bad_name", "the URL cannot be read") from None
        if parts.scheme not in known or parts.scheme not in self.schemes:
            allowed = ", ".join(scheme for scheme in known if scheme in self.schemes) or "none"
            raise PlaceError("scheme", f"{parts.scheme}: URLs are not taken here; allowed: {allowed}")
        if not host or parts.netloc.count("@") > 1:
            raise PlaceError("host", "the URL names no host")
        if not any(fnmatch.fnmatchcase(host, pattern.lower()) for pattern in self.hosts):
            raise PlaceError("host", f"the host {host} is not among those that jobs may reach (url_hosts)")


def protocols_for(source: str) -> str:
    """Return what ``-protocol_whitelist`` must say for an input that ``resolve_input`` returned."""
    return "file" if source.startswith(FILE_PREFIX) else _PROTOCOLS[scheme_of(source)]


def formats_for(source: str) -> str:
    """Return what ``-format_whitelist`` must say for an input that ``resolve_input`` returned."""
    return FILE_FORMATS if source.startswith(FILE_PREFIX) else URL_FORMATS


def scheme_of(url: str) -> str:
    """Return the scheme of a URL in lower case, such as ``rtmp``."""
    parts: SplitResult = urlsplit(url)
    return parts.scheme


def _is_url(text: str) -> bool:
    """Tell a URL from a path; what is neither for certain is refused."""
    if not text or text.startswith("-"):
        raise PlaceError("bad_name", "a name must not be empty nor begin with a dash; write ./ before it")
    word = _WORD.match(text)
    if word is None:
        return False
    if not text[word.end() :].startswith("//"):
        raise PlaceError("scheme", f"{word[0]} is not taken here; write ./ before a file name with a colon")
    return True


def _refuse_control(text: str) -> None:
    if _CONTROL.search(text) or not _encodable(text):
        raise PlaceError("bad_name", "the name holds control characters")


def _encodable(text: str) -> bool:
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True


def _resolved(roots: Iterable[Path]) -> tuple[Path, ...]:
    return tuple(root.resolve() for root in roots)


def _under(path: Path, roots: Iterable[Path]) -> bool:
    return any(path.is_relative_to(root) for root in roots)


def _first_existing(candidates: Iterable[Path]) -> Path | None:
    for candidate in candidates:
        try:
            return candidate.resolve(strict=True)
        # RuntimeError is what Python before 3.13 says of links that lead in a circle.
        except (OSError, RuntimeError):
            continue
    return None
