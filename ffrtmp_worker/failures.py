"""Why an encoder failed, and whether trying again may help. Pure.

ffmpeg 5.1 ends with 1 for every error; since 6.1 it ends with the low byte of minus errno. So the log is read first,
and the exit code only where the log tells nothing.
"""

import errno
import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ffrtmp_worker.recipe import Cause
from ffrtmpd.wire.vocabulary import FailureClass

REASON_MAX: Final = 500
EXIT_SIGNALED: Final = 255
EXIT_MANY_SIGNALS: Final = 123
EXIT_DECODE_ERRORS: Final = 69

_LEVEL: Final = re.compile(r"\[(quiet|panic|fatal|error|warning|info|verbose|debug|trace)\] ?")
_CONTEXT: Final = re.compile(r"\[[^\]]* @ 0x[0-9a-f]+\] ?")
_CREDENTIALS: Final = re.compile(r"(?<=://)[^/@\s]+@")

# Refused by a rule of ours, whatever else went wrong after it.
_REFUSED: Final = (r"media\.url_hosts", r"Picture size \d+x\d+ (is invalid|exceeds)")

# The hardware works, and others hold all its sessions: old drivers of NVIDIA say that memory is out, later ones that
# the key does not fit. VAAPI names the state itself.
_BUSY: Final = (
    r"OpenEncodeSessionEx failed: (out of memory|incompatible client key|encoder busy)",
    r"HW busy now",
)

# What depends on this moment or this node. Looked for first: damaged packets fill the log of a run that in the end
# lost its connection, and a run too many does less harm than one too few.
_TRANSIENT: Final = (
    r"OpenEncodeSessionEx failed",
    r"No capable devices found",
    r"Cannot load (libcuda|nvcuda|libnvidia)",
    r"CUDA_ERROR_",
    r"Driver does not support the required nvenc API",
    r"No VA display found|Failed to initialise VAAPI|Device creation failed|MFX session",
    r"No space left on device|Disk quota exceeded",
    r"Cannot allocate memory|Resource temporarily unavailable|Too many open files",
    r"malloc of size \d+ failed|get_buffer\(\) failed",
    r"Stale file handle",
)

# The peer, or the way to it: a push connects again.
_CONNECTION: Final = (
    r"Already publishing|NetStream\.Publish\.BadName",
    r"Connection refused|Connection reset|Connection aborted|Connection timed out|Operation timed out",
    r"Broken pipe|Network is (unreachable|down)|No route to host|Host is (down|unreachable)",
    r"Failed to resolve hostname|Name or service not known|Temporary failure in name resolution",
    r"Server returned 5\d\d|Server returned 5XX|HTTP error (408|429|5\d\d)",
    r"Cannot open connection|Connection to srt://\S* failed",
    r"received signal \d+",
    r"Transport endpoint is not connected",
)

# What the input, the output's name or the job itself brings with it.
_PERMANENT: Final = (
    r"not on whitelist",
    r"moov atom not found",
    r"Unknown encoder|Unknown decoder|Encoder not found|Decoder not found",
    r"Unrecognized option|Option not found|Unable to parse option|Error setting option",
    r"Protocol not found",
    r"certificate verify failed",
    r"matches no streams|does not contain any stream",
    r"No such file or directory|Is a directory|Not a directory|Permission denied|Read-only file system",
    r"NetStream\.(Authenticate|Publish\.(Denied|Unauthorized))|authmod=",
    r"Server returned 4\d\d|HTTP error 4\d\d|Server returned 4XX",
    r"Could not find tag for codec|not currently supported in container|Could not write header",
    r"Too many (packet|decode) errors|Decode error rate .* exceeds maximum",
    r"Error while opening encoder|Error initializing output stream|Could not open encoder",
    r"Skipped opening external track",
    r"Cannot determine format of input",
    r"Invalid argument",
    r"Invalid data found when processing input",
)

# What to do about it, where the line itself does not tell.
_HINTS: Final = (
    (
        r"Cannot allocate memory|Resource temporarily unavailable|malloc of size|get_buffer\(\) failed",
        "the job needs more than limits.memory_bytes, limits.tasks or this node have",
    ),
    (r"moov atom not found", "the file is cut short, still being written, or no MP4: copy it again"),
    (
        r"[Ff]ormat not on whitelist",
        "no video file, or one that names other files: see docs/security.md",
    ),
    (r"not on whitelist", "the input leads to a place that jobs may not reach: docs/security.md"),
    (
        r"certificate verify failed",
        "the server's certificate is not trusted here: add it to SSL_CERT_FILE of the worker",
    ),
    (r"Picture size", "the picture is larger than any that is decoded here, or the file is damaged"),
    (
        r"Skipped opening external track",
        "its picture or sound lies in another file, which is not opened: copy both into one",
    ),
    (r"Cannot determine format of input", "no picture of the input can be decoded: is it cut short or damaged?"),
    (r"Error while decoding|[Dd]ecode error rate|[Ee]rror submitting", "the input is cut short or damaged"),
    (r"Invalid data found when processing input", "the input is no video file that is read here, or it is damaged"),
    (r"Permission denied", "the worker's user may not read it: change its owner or mode"),
)

# The list itself tells nobody anything.
_LISTED: Final = re.compile(r" '[a-z0-9_,]*,[a-z0-9_,]*'!?")

# Of no use as a reason: they say only that something went wrong.
_EMPTY: Final = re.compile(
    r"Conversion failed!|Error opening (input|output) files|Task finished with error|Terminating thread|"
    r"Nothing was written into output|Error while processing the decoded data"
)
_NOT_OPENED: Final = re.compile(r"Error (while opening|initializing)|Could not open encoder")
# Said where a live server turned a path down or a name was not found alike.
_IO_ERROR: Final = r"Input/output error|I/O error"

_PERMANENT_ERRNO: Final = frozenset((errno.ENOENT, errno.EINVAL, errno.EACCES, errno.EISDIR, errno.ENOTDIR))
_CONNECTION_ERRNO: Final = frozenset(
    (errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE, errno.ETIMEDOUT, errno.EHOSTUNREACH)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Whether trying again may help, the line that tells why it failed, and what a push may do about it.

    ``unreadable``: the engine does not read the input, and another one may.
    """

    failure_class: FailureClass
    reason: str
    cause: Cause = Cause.OTHER
    unreadable: bool = False


def classify(exit_code: int, log_tail: str, *, live: bool) -> Failure:
    """Return why a program of FFmpeg that ended with ``exit_code`` failed.

    Args:
        exit_code: minus the signal when killed.
        log_tail: the end of its standard error, with levels.
        live: it pushed to a URL, where a name that is taken is most often a connection of our own that died.
    """
    if exit_code < 0:
        return _transient(_killed(-exit_code), Cause.CONNECTION)
    lines = _telling(log_tail)
    refused = _first(lines, _REFUSED)
    if refused is not None:
        return _permanent(_advised(refused))
    matched = _first(lines, _BUSY)
    if matched is not None:
        return Failure(failure_class=FailureClass.BUSY, reason=matched[:REASON_MAX])
    matched = _first(lines, _TRANSIENT)
    if matched is not None:
        return _transient(_advised(matched))
    matched = _first(lines, _CONNECTION)
    if matched is not None:
        return _transient(_advised(matched), Cause.CONNECTION)
    matched = _first(lines, _PERMANENT)
    input_output = _first(lines, (_IO_ERROR,))
    # A server that turns a push down is seen as an I/O error followed by general complaints.
    if input_output is not None and (live or matched is None):
        return _transient(input_output, Cause.UNCLEAR)
    if matched is not None:
        return _permanent(_advised(_cause(matched, lines)))
    return _by_code(exit_code, next((line for line in lines if not _EMPTY.search(line)), None))


def first_line(log_tail: str) -> str | None:
    """Return the first line that tells a cause, None if nothing was said."""
    return next(iter(_telling(log_tail)), "")[:REASON_MAX] or None


def classify_problems(problems: Sequence[str], log_tail: str) -> Failure:
    """Return why an output did not pass verification although its encoder ended well.

    Lost disk space or connections are worth another try; all else lies in the input.
    """
    cause = _first(_telling(log_tail), (*_TRANSIENT, *_CONNECTION, _IO_ERROR))
    said = "; ".join(problems)
    return _transient(f"{said}: {_advised(cause)}") if cause is not None else _permanent(said)


def io_trouble(log_tail: str) -> str | None:
    """Return the line of a log that tells of a lost connection or another I/O error, None if there is none."""
    return _first(_telling(log_tail), (*_CONNECTION, _IO_ERROR))


def _transient(reason: str, cause: Cause = Cause.OTHER) -> Failure:
    return Failure(failure_class=FailureClass.TRANSIENT, reason=reason[:REASON_MAX], cause=cause)


def _permanent(reason: str) -> Failure:
    return Failure(failure_class=FailureClass.PERMANENT, reason=reason[:REASON_MAX])


def _killed(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return f"killed by {name}" + (" (out of memory?)" if number == signal.SIGKILL else "")


def _telling(log_tail: str) -> list[str]:
    """Return the lines that may tell a cause: errors, else warnings, else whatever was printed."""
    found: dict[str, list[str]] = {"error": [], "warning": [], "bare": []}
    for line in log_tail.splitlines():
        level = _LEVEL.search(line)
        text = _CREDENTIALS.sub("***@", _CONTEXT.sub("", _LEVEL.sub("", line, count=1))).strip()
        if not text:
            continue
        if level is None:
            found["bare"].append(text)
        elif level[1] in ("panic", "fatal", "error"):
            found["error"].append(text)
        elif level[1] == "warning" or "received signal" in text:
            found["warning"].append(text)
    # Programs that ffmpeg loads print without a level, such as x265 and SVT-AV1.
    return found["error"] + found["warning"] + found["bare"]


def _first(lines: Sequence[str], patterns: Sequence[str]) -> str | None:
    """Return the first line that matches the first pattern that matches any."""
    for pattern in patterns:
        for line in lines:
            if re.search(pattern, line):
                return line
    return None


def _cause(matched: str, lines: Sequence[str]) -> str:
    """Return the line before one that only says that an encoder did not open: there stands why."""
    place = lines.index(matched)
    return lines[place - 1] if place and _NOT_OPENED.search(matched) else matched


def _advised(line: str) -> str:
    hint = next((hint for pattern, hint in _HINTS if re.search(pattern, line)), None)
    return line if hint is None else f"{_LISTED.sub('', line)} ({hint})"


def _by_code(exit_code: int, line: str | None) -> Failure:
    if exit_code == EXIT_DECODE_ERRORS:
        return _permanent(line or "too many packets of the input could not be decoded")
    if exit_code in (EXIT_SIGNALED, EXIT_MANY_SIGNALS):
        return _transient(line or "stopped by a signal", Cause.CONNECTION)
    number = (-exit_code) & 0xFF if exit_code > 1 else 0
    said = line or (errno.errorcode.get(number) if number else None) or f"ended with exit code {exit_code}"
    if number in _PERMANENT_ERRNO:
        return _permanent(said)
    # What nobody knows counts as this moment's trouble: a bounded number of tries costs little.
    if number == errno.EIO:
        return _transient(said, Cause.UNCLEAR)
    return _transient(said, Cause.CONNECTION if number in _CONNECTION_ERRNO else Cause.OTHER)
