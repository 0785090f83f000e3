"""One command under way: what was asked for, whom to ask, where to write."""

import time
from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

from ffrtmp_tui.forms import CUSTOM, wanted_form
from ffrtmp_tui.terminal import Terminal
from ffrtmpd.wire.messages.common import Reply, Request

if TYPE_CHECKING:
    from pathlib import Path

    from ffrtmp_tui.fit import Column
    from ffrtmp_tui.link import Link

R = TypeVar("R", bound=Reply)


class Run:
    """What a verb is given.

    ``clock`` is monotonic, ``wall`` Unix, both in seconds. ``given_link`` is used, and left open, where another link
    than that of the context is meant.
    """

    def __init__(
        self,
        *,
        args: Namespace,
        terminal: Terminal,
        environ: Mapping[str, str],
        stdin: TextIO,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        system_file: "Path | None" = None,
        given_link: "Link | None" = None,
    ) -> None:
        self.args = args
        self.terminal = terminal
        self.environ = environ
        self.stdin = stdin
        self.clock = clock
        self.wall = wall
        self.system_file = system_file
        self.given_link = given_link
        self._own_link: Link | None = None
        self._form: str | None = None

    @property
    def form(self) -> str:
        """The form of the output: flag, then environment, then context, then a table.

        Raises:
            Failure: environment or context name no form.
        """
        if self._form is None:
            self._form = wanted_form(self.args, self.environ, self.system_file)
        return self._form

    @property
    def link(self) -> "Link":
        """The link to the master, made at its first use."""
        if self.given_link is not None:
            return self.given_link
        if self._own_link is None:
            from ffrtmp_tui import contexts
            from ffrtmp_tui.link import Link

            context = contexts.resolve(
                self.environ,
                context=self.args.context,
                master=self.args.master,
                system=self.system_file or contexts.SYSTEM_FILE,
            )
            self._own_link = Link(context.master, context.server_key, context.key_pair())
        return self._own_link

    @property
    def context_name(self) -> str:
        """The name of the context in use, for questions to a person."""
        from ffrtmp_tui import contexts

        return contexts.resolve(
            self.environ,
            context=self.args.context,
            master=self.args.master,
            system=self.system_file or contexts.SYSTEM_FILE,
        ).name

    def ask(self, request: Request, *expected: type[R], wait_s: float = 0.0, patient: bool = False) -> R:
        """Ask the master; see `Link.ask`."""
        return self.link.ask(request, *expected, wait_s=wait_s, patient=patient)

    def close(self) -> None:
        """Give back the link."""
        if self._own_link is not None:
            self._own_link.close()

    def show_list(
        self,
        kind: str,
        rows: Sequence[Any],
        columns: "Sequence[Column]",
        *,
        name_of: Callable[[Any], str],
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        """Write rows in the form asked for; ``extra`` stands beside them in JSON."""
        from ffrtmp_tui import render

        form, terminal = self.form, self.terminal
        if form == "json":
            terminal.write(render.json_text({kind: [render.plain(row) for row in rows], **(extra or {})}))
        elif form == "csv":
            terminal.write(render.csv_text(columns, rows))
        elif form.startswith(CUSTOM):
            terminal.write(self._custom(columns, rows))
        elif form in ("jsonl", "name"):
            text = render.jsonl_text(rows) if form == "jsonl" else names(map(name_of, rows))
            if text:
                terminal.write(text)
        else:
            # Who asks for every column gets every one, whatever the terminal makes of it.
            wide = form == "wide"
            room = None if wide else terminal.room
            text = render.table(columns, rows, wide=wide, room=room, unicode=terminal.unicode, paint=terminal.paint)
            terminal.show(text)

    def listed(self, rows: Sequence[Any], columns: "Sequence[Column]") -> str:
        """Return rows as CSV or in the user's own columns, titles in the first line."""
        from ffrtmp_tui import render

        return render.csv_text(columns, rows) if self.form == "csv" else self._custom(columns, rows)

    def _custom(self, columns: "Sequence[Column]", rows: Sequence[Any]) -> str:
        from ffrtmp_tui import custom, render

        return render.table(custom.chosen(self.form.removeprefix(CUSTOM), columns, rows), rows, wide=True)

    def show_one(
        self,
        payload: Mapping[str, Any],
        *,
        name: str,
        people: Callable[[], str],
        columns: "Sequence[Column]",
        row: Any,
    ) -> None:
        """Write one thing in the form asked for; ``people`` writes it for people."""
        from ffrtmp_tui import render

        form, terminal = self.form, self.terminal
        if form == "json":
            terminal.write(render.json_text({key: render.plain(value) for key, value in payload.items()}))
        elif form == "jsonl":
            terminal.write(render.jsonl_text([{key: render.plain(value) for key, value in payload.items()}]))
        elif form == "csv":
            terminal.write(render.csv_text(columns, [row]))
        elif form.startswith(CUSTOM):
            terminal.write(self._custom(columns, [row]))
        elif form == "name":
            terminal.write(names([name]))
        else:
            terminal.write(people())


def names(words: Iterable[str]) -> str:
    """Return one word a line."""
    return "".join(f"{word}\n" for word in words)
