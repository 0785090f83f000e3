"""Running `ffrtmp` inside the test, its streams kept."""

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ffrtmp_tui.dispatch import run_command
from ffrtmp_tui.terminal import Terminal
from ffrtmpd.wire.curve import KeyPair, write_key_file


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The output, read."""
        return json.loads(self.out)


def piped(data: str | bytes) -> io.TextIOWrapper:
    """Return a standard input that ``data`` comes from."""
    return io.TextIOWrapper(io.BytesIO(data.encode() if isinstance(data, str) else data))


class Shell:
    """A user's surroundings: a folder of contexts and an environment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = {"FFRTMP_CONFIG_DIR": str(folder), "HOME": str(folder)}

    def add(self, name: str, *, master: str, server_key: str, pair: KeyPair) -> None:
        """Write a context; the last one added is the current one."""
        write_key_file(self.folder / "keys" / f"{name}.key", pair)
        path = self.folder / "config.toml"
        old = path.read_text() if path.exists() else ""
        path.write_text(
            f'{old}[contexts.{name}]\nmaster = "{master}"\nserver_key = "{server_key}"\nkey = "keys/{name}.key"\n'
        )
        self.environ["FFRTMP_CONTEXT"] = name

    def __call__(self, *words: str, stdin: str = "", screen: bool = False, unicode: bool = True) -> Ended:
        """Run one command; ``screen`` says that a person looks at both streams."""
        out, err = io.StringIO(), io.StringIO()
        terminal = Terminal(out=out, err=err, out_shows=screen, err_shows=screen, colour=False, unicode=unicode)
        code = run_command(
            words,
            terminal=terminal,
            environ=self.environ,
            stdin=piped(stdin),
            system_file=self.folder / "no-such-file.toml",
        )
        return Ended(int(code), out.getvalue(), err.getvalue())
