"""One line an event: logfmt for people, JSON for collectors."""

import json
import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from threading import Lock
from typing import Annotated, Any, Final, TextIO


class LogForm(StrEnum):
    """How a log line looks."""

    LOGFMT = "logfmt"
    JSON = "json"


class LogLevel(StrEnum):
    """The least level that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSection:
    """Log lines, on standard error. A section of the settings of either daemon."""

    form: Annotated[LogForm, "logfmt or json"] = LogForm.LOGFMT
    level: Annotated[LogLevel, "the least level written: debug, info, warning or error"] = LogLevel.INFO


LEVELS: Final = {level.value: number for number, level in enumerate(LogLevel)}
# As syslog(3) numbers them, which the journal takes from the beginning of a line.
_PRIORITIES: Final = {"debug": 7, "info": 6, "warning": 4, "error": 3}
# From here on a line is for an operator to look at.
_GRAVE: Final = LEVELS["warning"]
# Anything else is quoted, so that a hostile file name cannot forge a line.
_is_bare: Final = re.compile(r"[A-Za-z0-9_.:/@%+,\-]+\Z").match


class Logger:
    """Writes events with fields to a stream.

    Args:
        stream: where lines go; standard error by default.
        form: ``logfmt`` or ``json``.
        level: the least level written.
        wall: Unix seconds.
    """

    def __init__(
        self,
        *,
        stream: TextIO | None = None,
        form: str = "logfmt",
        level: str = "info",
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._stream = sys.stderr if stream is None else stream
        to_journal = is_journal(self._stream)
        self._begins = {level: f"<{number}>" if to_journal else "" for level, number in _PRIORITIES.items()}
        self._render = _json if form == "json" else _logfmt
        self._least = LEVELS[LogLevel(level)]
        self._wall = wall
        # Other threads log too.
        self._lock = Lock()
        self._holds = False
        self._held: list[str] = []

    def debug(self, event: str, **fields: Any) -> None:
        """Log what only a developer asks about."""
        self.log("debug", event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """Log what an operator may want to trace."""
        self.log("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Log what an operator should look at."""
        self.log("warning", event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """Log what an operator must mend."""
        self.log("error", event, fields)

    def log(self, level: str, event: str, fields: Mapping[str, Any]) -> None:
        """Log ``event`` at ``level``; fields that are None are left out."""
        rank = LEVELS[level]
        if rank < self._least:
            return
        line = f"{self._begins[level]}{self._render(stamp(self._wall()), level, event, fields)}\n"
        with self._lock:
            self._held.append(line)
            if not self._holds or rank >= _GRAVE:
                self._write()

    def hold(self) -> None:
        """Write nothing before ``release`` but what an operator should look at, with what was held until then.

        A process that is killed meanwhile takes along what it held.
        """
        self._holds = True

    def release(self) -> None:
        """Write what was held, in one piece, and each line at once from now on."""
        with self._lock:
            self._holds = False
            if self._held:
                self._write()

    def _write(self) -> None:
        text = "".join(self._held)
        self._held.clear()
        try:
            self._stream.write(text)
            self._stream.flush()
        except (BrokenPipeError, ValueError, OSError):
            # A log that nobody can read any more must not stop a night's work.
            return


def is_journal(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Tell whether a stream leads to systemd's journal, as systemd.exec(5) says how to."""
    try:
        told = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environment.get("JOURNAL_STREAM") == f"{told.st_dev}:{told.st_ino}"


def stamp(wall_s: float) -> str:
    """Return Unix seconds as UTC in ISO 8601 with milliseconds."""
    second, millisecond = divmod(int(wall_s * 1000), 1000)
    return f"{_second(second)}.{millisecond:03d}Z"


@lru_cache(maxsize=8)
def _second(wall_s: int) -> str:
    # Many lines come in the same second.
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(wall_s))


def _json(at: str, level: str, event: str, fields: Mapping[str, Any]) -> str:
    present = {key: value for key, value in fields.items() if value is not None}
    return json.dumps({"at": at, "level": level, "event": event, **present}, ensure_ascii=False, default=str)


def _logfmt(at: str, level: str, event: str, fields: Mapping[str, Any]) -> str:
    words = [f"at={at} level={level} event={event}"]
    for key, value in fields.items():
        # Nearly every value is a number or a word, which needs no more than this look.
        if type(value) is int or (isinstance(value, str) and _is_bare(value)):
            words.append(f"{key}={value}")
        elif value is not None:
            words.append(f"{key}={_value(value)}")
    return " ".join(words)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    return text if _is_bare(text) else json.dumps(text)
