"""Where a command writes: data to one stream, everything else to the other."""

import codecs
import os
import sys
from collections.abc import Mapping
from typing import Final, TextIO

from ffrtmpd.wire.record import record

_ESCAPES: Final = "ffrtmp.escapes"
_COLOURS: Final[dict[str, str]] = {
    "completed": "32",
    "processing": "36",
    "assigned": "36",
    "active": "32",
    "busy": "33",
    "paused": "33",
    "pending": "33",
    "draining": "33",
    "failed": "31",
    "offline": "31",
    "canceled": "35",
}


@record
class Terminal:
    """Two streams and what they can show.

    ``out_shows`` and ``err_shows`` tell whether a person looks at them; ``unicode`` whether box lines can be written.
    ``pager`` is the command that shows what is longer than the screen, None to write it all.
    """

    out: TextIO
    err: TextIO
    out_shows: bool = False
    err_shows: bool = False
    colour: bool = False
    unicode: bool = True
    pager: str | None = None

    @property
    def tick(self) -> str:
        """The sign of success."""
        return "✓" if self.unicode else "OK:"

    @property
    def room(self) -> int | None:
        """The cells of a line of data; None where no person looks: what a program reads is never cut."""
        return columns() if self.out_shows else None

    def write(self, text: str) -> None:
        """Write data."""
        self.out.write(text if text.endswith("\n") else text + "\n")

    def show(self, text: str) -> None:
        """Write data that may be long: through the pager if a person looks and it is longer than the screen."""
        if self.pager and self.out_shows and text.count("\n") >= self.size()[1]:
            from ffrtmp_tui.pager import page

            self.out.flush()
            if page(self.pager, text):
                return
        self.write(text)

    def say(self, text: str) -> None:
        """Write what is not data: notes, progress, errors."""
        self.out.flush()
        self.err.write(text + "\n")
        self.err.flush()

    def size(self) -> tuple[int, int]:
        """Return columns and lines."""
        # It brings every compressor of the library along.
        import shutil

        size = shutil.get_terminal_size()
        return size.columns, size.lines

    def paint(self, word: str, text: str) -> str:
        """Return ``text`` in the colour of ``word``, where the word has one and colours are wanted."""
        colour = _COLOURS.get(word) if self.colour else None
        return f"\x1b[{colour}m{text}\x1b[0m" if colour else text


def real_terminal(environ: Mapping[str, str], *, no_colour: bool = False) -> Terminal:
    """Return this process's own streams."""
    out_shows = sys.stdout.isatty()
    encoding = (sys.stdout.encoding or "ascii").lower().replace("-", "")
    return Terminal(
        out=sys.stdout,
        err=sys.stderr,
        out_shows=out_shows,
        err_shows=sys.stderr.isatty() and environ.get("TERM") != "dumb",
        colour=out_shows and not no_colour and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb",
        unicode=encoding in ("utf8", "utf16", "utf32"),
        pager=pager_of(environ) if out_shows and sys.stdin.isatty() else None,
    )


def pager_of(environ: Mapping[str, str]) -> str | None:
    """Return the pager that the user wants: `FFRTMP_PAGER`, then `PAGER`, then less; None if it is empty or `cat`."""
    if environ.get("TERM") == "dumb":
        return None
    wanted = environ.get("FFRTMP_PAGER", environ.get("PAGER", "less")).strip()
    return None if wanted in ("", "cat") else wanted


def columns() -> int:
    """Return the width of this process's terminal, 80 where there is none, without what `shutil` brings along."""
    told = os.environ.get("COLUMNS", "")
    if told.isdecimal() and int(told) > 0:
        return int(told)
    try:
        return os.get_terminal_size().columns or 80
    except OSError:
        return 80


def mend_streams() -> None:
    """Make this process's own streams usable: closed ones lead nowhere, and what an encoding lacks is escaped."""
    codecs.register_error(_ESCAPES, _escaped)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            # `pathlib` is not imported for this.
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123
        elif mode == "w":
            stream.reconfigure(errors=_ESCAPES)


def _escaped(error: UnicodeError) -> tuple[str, int]:
    """Return what cannot be encoded as JSON escapes it, so that JSON is still JSON."""
    import json

    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


def silence_output() -> None:
    """Send nowhere what is still buffered and cannot be written: the interpreter would complain at its exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def clean(text: str) -> str:
    """Return ``text`` without characters that could move the cursor or change the terminal."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else " " if letter in "\t\n" else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def clean_lines(text: str) -> str:
    """Return ``text`` as `clean` does, its lines kept; a lone carriage return ends a line, as encoders mean it."""
    return "\n".join(clean(line) for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"))
