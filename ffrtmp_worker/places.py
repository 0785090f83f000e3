"""Which files and URLs a job may reach.

Paths are handed to ffmpeg absolute, resolved and behind ``file:``, so that no name can pass for an option, a
protocol or a pattern.
"""

import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import SplitResult, urlsplit

from ffrtmp_worker.reach import Hosts, literal
from ffrtmpd.wire.places import BadPlace, check_output_file, is_url, split_url
from ffrtmpd.wire.vocabulary import NAME, FailureClass, OutputMode

# What staging adds to a name: job id, attempt, part of the token, suffix, and dots between them.
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

# ffmpeg opens a URL through these and no others, whatever a playlist or a redirect names.
_HTTP: Final = "http,https,httpproxy,tcp,tls,crypto"
_PROTOCOLS: Final = {
    "http": _HTTP,
    "https": _HTTP,
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


T = TypeVar("T")


class PlaceError(Exception):
    """A place that a job may not reach or that is not there. Always permanent: trying again does not help.

    ``code`` is one of ``bad_name``, ``outside``, ``missing``, ``unreadable``, ``empty``, ``not_a_file``, ``scheme`` and
    ``host``.
    """

    failure_class = FailureClass.PERMANENT

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The folders, URL schemes and hosts that jobs may use on this node.

    A relative input is looked for under each of ``input_roots`` in order; a relative output goes under the first of
    ``output_roots``. ``hosts`` are listed as ``Hosts`` takes them.
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
        if _asked(is_url, text):
            self._checked_url(text, tuple(_PROTOCOLS), public=True)
            return text
        roots = _resolved(self.input_roots)
        named = Path(text)
        candidates = [_lead(path) for path in ([named] if named.is_absolute() else [root / named for root in roots])]
        inside = [path for path in candidates if path is not None and _under(path, roots)]
        # Said of all that lies outside, there or not: a job learns nothing of what it may not read.
        if not inside and (any(candidates) or not roots):
            raise PlaceError("outside", f"{text} is not in a folder that jobs may read (media.input_roots)")
        for path in inside:
            if _is_there(path, text):
                return FILE_PREFIX + str(path)
        where = "" if named.is_absolute() else "; a relative path is looked for in media.input_roots"
        raise PlaceError("missing", f"no such file: {text}{where}")

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
        _asked(check_output_file, text)
        return self._output_path(text)

    def _output_path(self, text: str) -> Path:
        name = Path(text).name
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
            raise PlaceError("outside", f"{text} is not in a folder that jobs may write (media.output_root)")
        return folder

    def _output_url(self, text: str | None, mode: OutputMode) -> str:
        if text is None:
            raise PlaceError("scheme", f"output mode {mode} needs a URL to push to")
        if not _asked(is_url, text):
            raise PlaceError("scheme", f"output mode {mode} pushes to a URL, and {text} is none")
        # What speaks HTTP would be heard by any service inside; the rest pushes to ingests, which stand there.
        self._checked_url(text, _MODE_SCHEMES[mode], public=text.lower().startswith("http"))
        return text

    def _checked_url(self, text: str, known: Iterable[str], *, public: bool) -> None:
        parts = _asked(split_url, text)
        if parts.scheme not in known or parts.scheme not in self.schemes:
            allowed = ", ".join(scheme for scheme in known if scheme in self.schemes) or "none"
            raise PlaceError("scheme", f"{parts.scheme}: URLs are not taken here; allowed: {allowed}")
        hosts, host = Hosts(self.hosts), parts.hostname or ""
        refusal = hosts.refuse_name(host)
        address = literal(host)
        if refusal is None and public and address is not None:
            refusal = hosts.refuse_address(host, address)
        if refusal is not None:
            raise PlaceError("host", refusal)


def protocols_for(source: str) -> str:
    """Return what ``-protocol_whitelist`` must say for an input that ``resolve_input`` returned."""
    return "file" if source.startswith(FILE_PREFIX) else _PROTOCOLS[scheme_of(source)]


def formats_for(source: str) -> str:
    """Return what ``-format_whitelist`` must say for an input that ``resolve_input`` returned."""
    return FILE_FORMATS if source.startswith(FILE_PREFIX) else URL_FORMATS


def host_of(url: str) -> str:
    """Return the host that a URL names, in lower case."""
    return urlsplit(url).hostname or ""


def scheme_of(url: str) -> str:
    """Return the scheme of a URL in lower case, such as ``rtmp``."""
    parts: SplitResult = urlsplit(url)
    return parts.scheme


def _asked(rule: Callable[[str], T], text: str) -> T:
    try:
        return rule(text)
    except BadPlace as error:
        raise PlaceError(error.code, str(error)) from None


def _is_there(path: Path, text: str) -> bool:
    """Tell whether there is anything at ``path``; refuse what is there and is no file that can be read."""
    try:
        told = path.stat()
        if path.is_symlink():
            # It leads in a circle, or it appeared just now.
            return False
    except PermissionError:
        raise _unreadable(text) from None
    except OSError:
        return False
    if not stat.S_ISREG(told.st_mode):
        kind = "a folder" if stat.S_ISDIR(told.st_mode) else "a device, pipe or socket"
        raise PlaceError("not_a_file", f"{text} is {kind}, not a file: name one file")
    if not os.access(path, os.R_OK, effective_ids=True):
        raise _unreadable(text)
    if told.st_size == 0:
        raise PlaceError("empty", f"{text} is empty (0 bytes): was it copied whole?")
    return True


def _unreadable(text: str) -> PlaceError:
    return PlaceError("unreadable", f"{text} may not be read by the worker's user: change its owner or mode")


def _resolved(roots: Iterable[Path]) -> tuple[Path, ...]:
    return tuple(root.resolve() for root in roots)


def _under(path: Path, roots: Iterable[Path]) -> bool:
    return any(path.is_relative_to(root) for root in roots)


def _lead(path: Path) -> Path | None:
    """Return where a path leads, there or not; None if nowhere."""
    try:
        return path.resolve()
    # RuntimeError is what Python before 3.13 says of links that lead in a circle.
    except (OSError, RuntimeError):
        return None
