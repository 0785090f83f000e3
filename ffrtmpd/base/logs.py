"""One line an event: logfmt for people, JSON for collectors."""

import json
import math
import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
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
        self._to_journal = is_journal(self._stream)
        self._render = _json if form == "json" else _logfmt
        self._least = LEVELS[LogLevel(level)]
        self._wall = wall

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

    def log(self, level: str, event: str, fields: dict[str, Any]) -> None:
        """Log ``event`` at ``level``; fields that are None are left out."""
        if LEVELS[level] < self._least:
            return
        present = {key: value for key, value in fields.items() if value is not None}
        line = self._render({"at": stamp(self._wall()), "level": level, "event": event, **present})
        begin = f"<{_PRIORITIES[level]}>" if self._to_journal else ""
        try:
            self._stream.write(f"{begin}{line}\n")
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
    return f"{_second(math.floor(wall_s))}.{int(wall_s * 1000) % 1000:03d}Z"


@lru_cache(maxsize=8)
def _second(wall_s: int) -> str:
    # Many lines come in the same second.
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(wall_s))


def _json(fields: dict[str, Any]) -> str:
    return json.dumps(fields, ensure_ascii=False, default=str)


def _logfmt(fields: dict[str, Any]) -> str:
    # Nearly every value is a word, which needs no more than this look.
    return " ".join(
        [f"{key}={value if type(value) is str and _is_bare(value) else _value(value)}" for key, value in fields.items()]
    )


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    return text if _is_bare(text) else json.dumps(text)
