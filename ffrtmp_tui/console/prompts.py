"""What is typed at the bottom of the screen, and what is meant to happen when it is confirmed. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from ffrtmp_tui.console.keymap import WORDS
from ffrtmp_tui.console.text import fold_words


class Asks(StrEnum):
    """What the prompt is for."""

    FILTER = "filter"
    COMMAND = "command"
    SEARCH = "search"
    # An action on one target is confirmed with a key, one on many by typing how many they are.
    YES = "yes"
    COUNT = "count"


MARKS: Final[dict[Asks, str]] = {
    Asks.FILTER: "/",
    Asks.COMMAND: ":",
    Asks.SEARCH: "find ",
    Asks.YES: "",
    Asks.COUNT: "type ",
}


@dataclass(slots=True)
class Prompt:
    """A line that is being typed; the cursor stands at its end. ``before`` is what Esc goes back to."""

    asks: Asks
    text: str = ""
    before: str = ""
    problem: str = ""

    def key(self, name: str) -> bool:
        """Take a key that edits; tell whether it was one."""
        if len(name) == 1 and name.isprintable():
            self.insert(name)
        elif name == "backspace":
            self.text = self.text[:-1]
        elif name == "ctrl u":
            self.text = ""
        elif name == "ctrl w":
            self.text = self.text.rstrip().rpartition(" ")[0]
        else:
            return False
        self.problem = ""
        return True

    def insert(self, text: str) -> None:
        """Put text at the end."""
        self.text += text
        self.problem = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """An action that waits for its confirmation: which verb, on what, on which cluster.

    ``request`` makes a request of a request id and some of the targets; ``command`` is the one-shot command that does
    the same.
    """

    verb: str
    noun: str
    targets: tuple[str, ...]
    cluster: str
    request: Callable[[str, Sequence[str]], Any]
    command: str

    @property
    def asks(self) -> Asks:
        """How it is confirmed."""
        return Asks.YES if len(self.targets) == 1 else Asks.COUNT

    @property
    def count(self) -> str:
        """What has to be typed."""
        return str(len(self.targets))

    @property
    def what(self) -> str:
        """Such as ``cancel 2 jobs``."""
        if len(self.targets) == 1:
            return f"{self.verb} {self.targets[0]}"
        return f"{self.verb} {len(self.targets)} {self.noun}s"

    @property
    def question(self) -> str:
        """What stands beside the prompt."""
        how = "y confirms" if self.asks is Asks.YES else f"type {self.count} to confirm"
        return f"! {self.what} on {self.cluster}; {how}, Esc aborts"

    def fits(self, columns: int, rows: int) -> bool:
        """Tell whether all of the question can be read on a screen."""
        return len(fold_words(self.question, columns)) <= rows


def number_of(job_id: str) -> int:
    """Return the number in a job id: the later a job was submitted, the greater it is."""
    return int(job_id.rpartition("-")[2])


def numbers(ids: Sequence[str]) -> str:
    """Return job ids as the commands take them, short: ``123,125-131``; one id stays as it is."""
    if len(ids) == 1:
        return ids[0]
    found = sorted(map(number_of, ids))
    parts: list[str] = []
    first = last = found[0]
    for number in [*found[1:], -1]:
        if number == last + 1:
            last = number
            continue
        parts.append(str(first) if first == last else f"{first}-{last}")
        first = last = number
    return ",".join(parts)


def complete(text: str, arguments: dict[str, Sequence[str]]) -> str:
    """Return ``text`` with its last word completed as far as that is certain."""
    head, space, word = text.rpartition(" ")
    known = arguments.get(head.strip(), ()) if space else tuple(word.name for word in WORDS)
    common, sure = _common(known, word)
    whole = f"{head}{space}{common}"
    takes = next((entry.takes for entry in WORDS if entry.name == common), "")
    return whole + " " if sure and not space and takes else whole


def complete_filter(text: str, fields: Sequence[str], values: Mapping[str, Sequence[str]]) -> str:
    """Return a filter with its last word completed as far as that is certain: a field, or one of its values."""
    head, space, word = text.rpartition(" ")
    name, mark, value = word.partition(":")
    if not mark:
        common, sure = _common(fields, name)
        return f"{head}{space}{common}{':' if sure else ''}"
    before, comma, part = value.rpartition(",")
    common, _ = _common(values.get(name, ()), part)
    return f"{head}{space}{name}:{before}{comma}{common}"


def _common(known: Sequence[str], word: str) -> tuple[str, bool]:
    """Return what all of ``known`` that begin with ``word`` begin with, and whether only one does."""
    near = [name for name in known if name.startswith(word)]
    if not near:
        return word, False
    common = near[0]
    for name in near[1:]:
        while not name.startswith(common):
            common = common[:-1]
    return common, len(near) == 1
