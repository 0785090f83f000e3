"""What people write for durations, rates and moments, and how we write them back."""

import re
import time
from collections.abc import Iterable
from typing import Final

# Compiled only where they are used.
_PARTS: Final = r"(\d+(?:\.\d+)?)(ms|s|m|h|d)"
_CLOCK: Final = r"(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:\.\d+)?)\Z"
_RATE: Final = r"(\d+(?:\.\d+)?)\s*([kKMG]?)(?:bps|bit/s|b/s)?\Z"
_NUMBER: Final = r"\d+(?:\.\d+)?\Z"
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_FACTORS: Final = {"": 1, "k": 1_000, "K": 1_000, "M": 1_000_000, "G": 1_000_000_000}


def utf8(text: str) -> str:
    """Return ``text``.

    Raises:
        ValueError: it holds what UTF-8 cannot say, such as the bytes of a name in another encoding.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{text!r} is not text in UTF-8") from None
    return text


def duration(text: str) -> float:
    """Return seconds from ``90``, ``90s``, ``2m``, ``1h30m``, ``500ms`` or ``00:01:30``.

    Raises:
        ValueError: none of these.
    """
    word = text.strip()
    if re.match(_NUMBER, word):
        return float(word)
    if clock := re.match(_CLOCK, word):
        hours, minutes, seconds = clock.groups()
        if int(minutes) < 60 and float(seconds) < 60:
            return int(hours or 0) * 3_600 + int(minutes) * 60 + float(seconds)
    parts = re.findall(_PARTS, word)
    if parts and "".join(number + unit for number, unit in parts) == word:
        return sum(float(number) * _SECONDS[unit] for number, unit in parts)
    raise ValueError(f"{text!r} is no duration: write 90, 90s, 2m, 1h30m or 00:01:30")


def bitrate(text: str) -> int:
    """Return bits per second from ``5M``, ``800k``, ``2.5Mbps`` or plain bits.

    Raises:
        ValueError: none of these.
    """
    if found := re.match(_RATE, text.strip()):
        return round(float(found[1]) * _FACTORS[found[2]])
    raise ValueError(f"{text!r} is no bit rate: write 5M, 800k or plain bits per second")


def moment(text: str, now_s: float) -> float:
    """Return Unix seconds from ISO 8601 (local time unless it names an offset), ``+10m`` or Unix seconds.

    Raises:
        ValueError: none of these.
    """
    from datetime import datetime

    word = text.strip()
    if word.startswith("+"):
        return now_s + duration(word[1:])
    if re.match(_NUMBER, word):
        return float(word)
    try:
        return datetime.fromisoformat(word).timestamp()
    except ValueError:
        raise ValueError(f"{text!r} is no time: write 2026-05-01T22:00, +10m or Unix seconds") from None


def number(text: str) -> float:
    """Return a number.

    Raises:
        ValueError: it is none.
    """
    if re.match(_NUMBER, text.strip()):
        return float(text)
    raise ValueError(f"{text!r} is no number")


def label(text: str) -> tuple[str, str]:
    """Return name and value from ``name=value``.

    Raises:
        ValueError: no name or no equals sign.
    """
    name, sign, value = text.partition("=")
    if not sign or not name.strip():
        raise ValueError(f"{text!r} is no label: write name=value")
    return name.strip(), value


def labels(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return labels by name.

    Raises:
        ValueError: one name has two values.
    """
    found: dict[str, str] = {}
    for name, value in pairs:
        if found.setdefault(name, value) != value:
            raise ValueError(f"{name!r} is said twice: {found[name]!r} and {value!r}")
    return found


def duration_text(seconds: float) -> str:
    """Return ``0.52 s``, ``12.3 s``, ``2m09s`` or ``1h02m``."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3_600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3_600}h{whole % 3_600 // 60:02d}m"


def clock_text(seconds: float) -> str:
    """Return ``02:31`` or ``1:02:31``."""
    whole = round(seconds)
    if whole < 3_600:
        return f"{whole // 60:02d}:{whole % 60:02d}"
    return f"{whole // 3_600}:{whole % 3_600 // 60:02d}:{whole % 60:02d}"


def bitrate_text(bits_per_s: float) -> str:
    """Return ``5.00 Mb/s``; 1 Mb is 10^6 bits."""
    for factor, unit in ((1e9, "Gb/s"), (1e6, "Mb/s"), (1e3, "kb/s")):
        if bits_per_s >= factor:
            return f"{bits_per_s / factor:.2f} {unit}"
    return f"{bits_per_s:.0f} b/s"


def size_text(size_bytes: float) -> str:
    """Return ``1.27 MB``; 1 MB is 10^6 bytes."""
    for factor, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size_bytes >= factor:
            return f"{size_bytes / factor:.2f} {unit}"
    return f"{size_bytes:.0f} B"


def memory_text(size_bytes: float) -> str:
    """Return ``62.8 GiB``; memory is counted in powers of two."""
    return f"{size_bytes / 2**30:.1f} GiB"


def joules_text(joules: float) -> str:
    """Return ``41.2 kJ``."""
    for factor, unit in ((1e6, "MJ"), (1e3, "kJ")):
        if joules >= factor:
            return f"{joules / factor:.1f} {unit}"
    return f"{joules:.1f} J"


def time_text(wall_s: float) -> str:
    """Return Unix seconds as local time, ``2026-11-23 14:02:11``."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(wall_s))


def time_brief(wall_s: float) -> str:
    """Return Unix seconds as local time without year and seconds, ``11-23 14:02``."""
    return time.strftime("%m-%d %H:%M", time.localtime(wall_s))


def moment_brief(wall_s: float) -> str:
    """Return Unix seconds as local time without the year, ``11-23 14:02:11``."""
    return time.strftime("%m-%d %H:%M:%S", time.localtime(wall_s))


def number_text(value: float) -> str:
    """Return a number without digits that say nothing: ``30``, ``29.97``."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
