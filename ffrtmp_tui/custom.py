"""Columns of a user's own: ``-o custom-columns=ID:job_id,progress.percent``. Pure."""

from collections.abc import Callable, Sequence
from typing import Any

from ffrtmp_tui.failures import did_you_mean, usage
from ffrtmp_tui.fit import Column
from ffrtmp_tui.render import plain


def chosen(text: str, columns: Sequence[Column], rows: Sequence[Any]) -> list[Column]:
    """Return the columns that ``text`` names: ``[TITLE:]FIELD`` with commas between them.

    A field is a path into what ``-o json`` shows, such as ``progress.percent``, or a column of ``-o csv``. Without a
    title it is its own.

    Raises:
        Failure: there is no such field.
    """
    known = {column.name: column for column in columns if column.name}
    first = plain(rows[0]) if rows else None
    found = []
    for part in text.split(","):
        title, sign, path = part.rpartition(":")
        path = path.strip().removeprefix(".")
        if not path or (sign and not title.strip()):
            raise usage("a column is missing its name", "write custom-columns=ID:job_id,progress.percent")
        head = path.partition(".")[0]
        fields = tuple(first or ())
        if first is not None and head not in first and path not in known:
            names = sorted({*fields, *known})
            raise usage(f"there is no field {path!r}{did_you_mean(path, names)}", f"there are {', '.join(names)}")
        by_path = first is None or head in first
        get = _getter(path) if by_path or path not in known else known[path].get
        found.append(Column(title=title.strip() or path.upper(), name=path, get=get, show=_text))
    return found


def _getter(path: str) -> Callable[[Any], Any]:
    steps = path.split(".")

    def get(row: Any) -> Any:
        value = plain(row)
        for step in steps:
            value = value.get(step) if isinstance(value, dict) else None
        return value

    return get


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ",".join(_text(entry) for entry in value) or "-"
    if isinstance(value, dict):
        return ",".join(f"{name}={_text(entry)}" for name, entry in value.items()) or "-"
    return str(value)
