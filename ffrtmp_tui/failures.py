"""How a command can end: its exit codes, and the one exception that carries them."""

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, Final

from ffrtmpd.wire.vocabulary import ErrorCode


class Exit(IntEnum):
    """Exit codes; scripts may rely on them."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    NOT_ALLOWED = 4
    CONFLICT = 5
    UNREACHABLE = 6
    WAIT_TIMED_OUT = 7
    PARTLY_FAILED = 8
    JOB_FAILED = 10
    JOB_CANCELED = 11
    # What a shell reports for a program ended by SIGINT and by SIGPIPE.
    INTERRUPTED = 130
    BROKEN_PIPE = 141


_EXITS: Final[dict[ErrorCode, Exit]] = {
    ErrorCode.INVALID_ARGUMENT: Exit.USAGE,
    ErrorCode.UNKNOWN_SCENARIO: Exit.USAGE,
    ErrorCode.NOT_FOUND: Exit.NOT_FOUND,
    ErrorCode.NOT_ALLOWED: Exit.NOT_ALLOWED,
    ErrorCode.CONFLICT: Exit.CONFLICT,
    ErrorCode.STALE: Exit.CONFLICT,
}


def exit_for(code: ErrorCode) -> Exit:
    """Return the exit code for an error that the master answered."""
    return _EXITS.get(code, Exit.FAILED)


class Failure(Exception):
    """A command cannot go on.

    ``code`` is stable for scripts, ``message`` one line, ``hint`` what to do about it, ``retryable`` whether the same
    command may succeed later.
    """

    def __init__(
        self, exit_code: Exit, message: str, *, code: str, hint: str | None = None, retryable: bool = False
    ) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.code = code
        self.message = message
        self.hint = hint
        self.retryable = retryable

    def as_plain(self) -> dict[str, Any]:
        """Return what ``-o json`` prints."""
        return {"code": self.code, "message": self.message, "hint": self.hint, "retryable": self.retryable}


def usage(message: str, hint: str | None = None) -> Failure:
    """Return a failure for a command that was written wrongly."""
    return Failure(Exit.USAGE, message, code="usage", hint=hint)


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """Return ``, did you mean …?`` with the nearest of ``known``, or nothing."""
    import difflib

    near = difflib.get_close_matches(word, known, n=1)
    return f", did you mean {near[0]!r}?" if near else ""
