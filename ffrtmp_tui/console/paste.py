"""What is pasted: the terminal tells where it begins and ends, and it is text and never keys. Pure."""

from typing import Final

_BEGINS: Final = "begin paste"
_ENDS: Final = "end paste"
# What they are on the line: one that came in two pieces, the first taken for Esc, is not known by its name.
_SENT: Final = {"\x1b[200~": _BEGINS, "\x1b[201~": _ENDS}
_LENGTH: Final = 6


class Paste:
    """Gathers what is pasted from key to key."""

    def __init__(self) -> None:
        self._text: str | None = None
        self._sent = ""

    def take(self, name: str) -> str | None:
        """Take a key; return the pasted text at its end, nothing before that, None for a key that was typed.

        Lines become one, with a blank between them.
        """
        sent = name.replace("meta ", "\x1b").replace("esc", "\x1b")
        self._sent = (self._sent + sent)[-_LENGTH:]
        broken = _SENT.get(self._sent)
        if _BEGINS in (name, broken):
            self._text = ""
            return ""
        if self._text is None or name == "ctrl c":
            # No terminal puts that into what is pasted: it leads out if the end was lost.
            self._text = None
            return None
        if _ENDS in (name, broken):
            text, self._text = self._text.removesuffix("[201" if broken else ""), None
            return " ".join(line for line in text.split("\n") if line)
        letter = {"enter": "\n", "tab": " "}.get(name, sent.removeprefix("\x1b"))
        if letter == "\n" or (len(letter) == 1 and letter.isprintable()):
            self._text += letter
        return ""
