"""The form that submits a job: its fields as a table, completion, and validation before anything is sent. Pure."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from ffrtmp_tui import manifest
from ffrtmpd.wire.messages.jobs import JobSpec
from ffrtmpd.wire.vocabulary import Priority, Queue, VmafMode


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A line of the form; ``choices`` are walked through with left, right and space."""

    name: str
    flag: str
    help: str
    choices: tuple[str, ...] = ()
    start: str = ""


FIELDS: Final = (
    Field(name="scenario", flag="", help="such as 720p30-h264; tab completes"),
    Field(name="input", flag="--input", help="path or URL; empty: a generated source"),
    Field(name="output", flag="--output", help="path or URL; empty: JOB-ID.mp4 in the node's folder"),
    Field(name="queue", flag="--queue", help="", choices=tuple(map(str, Queue)), start=str(Queue.DEFAULT)),
    Field(name="priority", flag="--priority", help="", choices=tuple(map(str, Priority)), start=str(Priority.MEDIUM)),
    Field(name="duration", flag="--duration", help="90, 2m, 00:01:30; empty: all of the input"),
    Field(name="bitrate", flag="--bitrate", help="5M, 800k; empty: the scenario's"),
    Field(name="vmaf", flag="--vmaf", help="", choices=tuple(map(str, VmafMode)), start=str(VmafMode.OFF)),
)


@dataclass(slots=True)
class Form:
    """A form that is being filled. ``key`` makes a second try of the same submit harmless."""

    key: str
    values: dict[str, str] = field(default_factory=lambda: {entry.name: entry.start for entry in FIELDS})
    at: int = 0
    problem: str = ""
    sent: bool = False

    @property
    def current(self) -> Field:
        """The field that is being filled."""
        return FIELDS[self.at]

    def edit(self, name: str, scenarios: Sequence[str]) -> bool:
        """Take a key; tell whether it meant something here."""
        entry, text = self.current, self.values[self.current.name]
        if name in ("down", "up"):
            self.at = (self.at + (1 if name == "down" else -1)) % len(FIELDS)
            return True
        if name == "tab":
            if entry.name == "scenario" and text and (near := [one for one in scenarios if one.startswith(text)]):
                following = near[(near.index(text) + 1) % len(near)] if text in near else near[0]
                self.values["scenario"] = following
            else:
                self.at = (self.at + 1) % len(FIELDS)
        elif entry.choices and name in (" ", "left", "right"):
            step = -1 if name == "left" else 1
            self.values[entry.name] = entry.choices[(entry.choices.index(text) + step) % len(entry.choices)]
        elif entry.choices:
            return False
        elif name == "backspace":
            self.values[entry.name] = text[:-1]
        elif name == "ctrl u":
            self.values[entry.name] = ""
        elif len(name) == 1 and name.isprintable():
            self.insert(name)
        else:
            return False
        self.problem = ""
        return True

    def insert(self, text: str) -> None:
        """Put text at the end of a field in which text is typed."""
        if not self.current.choices:
            self.values[self.current.name] += text
            self.problem = ""

    def spec(self, now_s: float) -> JobSpec:
        """Return the job that it describes.

        Raises:
            ValueError: a value does not fit; the message names the field.
        """
        return manifest.spec({name: value for name, value in self.values.items() if value}, {}, now_s=now_s)

    def command(self) -> str:
        """Return the one-shot command that does the same."""
        words = ["ffrtmp", "jobs", "submit"]
        for entry in FIELDS:
            value = self.values[entry.name]
            if value and value != entry.start:
                words += [entry.flag, value] if entry.flag else [value]
        return shlex.join(words)
