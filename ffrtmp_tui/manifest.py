"""Manifests: many jobs in one file, as JSON, JSON lines, CSV or TOML."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TextIO

from ffrtmp_tui import units
from ffrtmp_tui.failures import did_you_mean, usage
from ffrtmpd.wire.messages.jobs import JobSpec
from ffrtmpd.wire.record import record
from ffrtmpd.wire.schema import SchemaError, fields_of, from_plain

KEY_FIELDS: Final = ("idempotency_key", "key")
FORMATS: Final = ("json", "jsonl", "csv", "toml")
# Names with the unit that the wire has, and the plain ones that people write.
_PLAIN_NAMES: Final = {"duration": "duration_s", "bitrate": "bitrate_bps", "timeout": "timeout_s"}


@record
class Entry:
    """A job of a manifest: where it stands, its fields as written, its own key if it has one."""

    where: str
    fields: Mapping[str, Any]
    key: str | None = None


def read(source: str, *, form: str | None, stdin: TextIO) -> list[Entry]:
    """Return the jobs of the manifest at path ``source``, or on standard input for ``-``.

    Raises:
        Failure: it cannot be read, is not of its form, or says something twice.
    """
    name = "standard input" if source == "-" else source
    text = _text(source, name, stdin)
    form = form or guess_form(source, text)
    try:
        rows = _READERS[form](text)
    except _Bad as error:
        raise usage(f"{name} is no {form} manifest: {error}") from None
    except RecursionError:
        raise usage(f"{name} is no {form} manifest: it is nested too deep") from None
    try:
        entries = [_entry(where, row) for where, row in rows]
    except _Bad as error:
        raise usage(f"{name}, {error}") from None
    if not entries:
        raise usage(f"{name} holds no job")
    return entries


def _text(source: str, name: str, stdin: TextIO) -> str:
    """Return the text, its lines ended by newlines; the same bytes are the same text from a file and from a pipe."""
    try:
        data = stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    except OSError as error:
        raise usage(f"cannot read {name}: {error.strerror}") from None
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError:
        raise usage(f"{name} is not text in UTF-8") from None


def _entry(where: str, row: Any) -> Entry:
    if isinstance(row, _Doubled):
        raise _Bad(f"{where}: {row.name!r} is said twice")
    if not isinstance(row, dict):
        raise _Bad(f"{where}: a job is a table of fields")
    if doubled := next((value for value in row.values() if isinstance(value, _Doubled)), None):
        raise _Bad(f"{where}: {doubled.name!r} is said twice")
    keys = [name for name in KEY_FIELDS if row.get(name) not in (None, "")]
    if len(keys) > 1:
        raise _Bad(f"{where}: {' and '.join(keys)} are the same, and both are given")
    key = row[keys[0]] if keys else None
    if key is not None and not _is_text(key):
        raise _Bad(f"{where}: {keys[0]} is no text")
    fields = {name: value for name, value in row.items() if name not in KEY_FIELDS}
    return Entry(where=where, fields=fields, key=None if key is None else str(key))


def _is_text(value: Any) -> bool:
    """Tell whether ``value`` is text, or a whole number, which has one spelling."""
    return isinstance(value, (str, int)) and not isinstance(value, bool)


def guess_form(source: str, text: str) -> str:
    """Return the form of a manifest by the end of its name, else by how it begins."""
    suffix = Path(source).suffix.removeprefix(".").lower()
    if suffix in FORMATS:
        return suffix
    if suffix == "ndjson":
        return "jsonl"
    start = text.lstrip()
    first_line = start.partition("\n")[0].rstrip()
    if start.startswith("[["):
        return "toml"
    if start.startswith("["):
        return "toml" if re.fullmatch(r"\[[A-Za-z][\w.-]*\]", first_line) else "json"
    if start.startswith("{"):
        # A line that is a whole object and is not the last: JSON lines.
        return "jsonl" if first_line.endswith("}") and start.rstrip() != first_line else "json"
    return "toml" if re.match(r"[\w-]+\s*=", first_line) else "csv"


def spec(fields: Mapping[str, Any], defaults: Mapping[str, Any], *, now_s: float) -> JobSpec:
    """Return the job that ``fields`` describe; ``defaults`` are what they leave out.

    Raises:
        ValueError: an unknown field, or a value that does not fit; the message names the field.
    """
    known = [info.name for info in fields_of(JobSpec)]
    taken: dict[str, Any] = dict(defaults)
    said: dict[str, str] = {}
    for written, value in fields.items():
        name = _PLAIN_NAMES.get(written, written)
        if name not in known:
            raise ValueError(f"unknown field {written!r}{did_you_mean(written, [*known, *_PLAIN_NAMES, *KEY_FIELDS])}")
        if value is None or value == "":
            continue
        if said.setdefault(name, written) != written:
            raise ValueError(f"{said[name]} and {written} are the same, and both are given")
        try:
            taken[name] = _value(name, value, now_s)
        except ValueError as error:
            raise ValueError(f"{written}: {error}") from None
    if taken.get("labels") and defaults.get("labels"):
        taken["labels"] = {**defaults["labels"], **taken["labels"]}
    if "scenario" not in taken:
        raise ValueError("scenario: missing")
    if "output_mode" not in taken and (mode := mode_of(taken.get("output"))):
        taken["output_mode"] = mode
    try:
        return from_plain(JobSpec, taken)
    except SchemaError as error:
        raise ValueError(str(error)) from None


def mode_of(output: Any) -> str | None:
    """Return the output mode that a URL tells, None where it tells none."""
    scheme, mark, _ = str(output or "").partition("://")
    if not mark:
        return None
    return {"rtmp": "rtmp", "rtmps": "rtmp", "srt": "srt", "http": "stream", "https": "stream"}.get(scheme.lower())


def _value(name: str, value: Any, now_s: float) -> Any:
    if not isinstance(value, str):
        if name == "not_before" and hasattr(value, "timestamp"):
            return value.timestamp()
        if name == "labels" and isinstance(value, dict):
            return dict(_label(key, text) for key, text in value.items())
        return value
    units.utf8(value)
    convert = _FROM_TEXT.get(name)
    if name == "not_before":
        return units.moment(value, now_s)
    return value if convert is None else convert(value)


def _label(name: str, value: Any) -> tuple[str, str]:
    if not _is_text(value):
        raise ValueError(f"the value of {name!r} is no text")
    return units.utf8(name), units.utf8(str(value))


def _truth(text: str) -> bool:
    word = text.strip().lower()
    if word in ("true", "yes", "1", "on"):
        return True
    if word in ("false", "no", "0", "off"):
        return False
    raise ValueError(f"{text!r} is neither true nor false")


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{text!r} is no whole number") from None


def _labels(text: str) -> dict[str, str]:
    return units.labels(units.label(part) for part in re.split(r"[;,]", text) if part.strip())


_FROM_TEXT: Final[dict[str, Callable[[str], Any]]] = {
    "duration_s": units.duration,
    "timeout_s": units.duration,
    "bitrate_bps": units.bitrate,
    "max_attempts": _whole,
    "require_gpu": _truth,
    "vmaf_floor": units.number,
    "psnr": _truth,
    "ssim": _truth,
    "labels": _labels,
}


class _Bad(Exception):
    """The text is not of its form."""


@record
class _Doubled:
    """A JSON object that has a name twice."""

    name: str


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Doubled:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    names = [name for name, _ in pairs]
    return _Doubled(name=next(name for name in names if names.count(name) > 1))


# One for all lines: to make it takes longer than to read a line.
_DECODER: Final = json.JSONDecoder(object_pairs_hook=_object)


def _json(text: str) -> list[tuple[str, Any]]:
    try:
        document = _DECODER.decode(text)
    except ValueError as error:
        raise _Bad(str(error)) from None
    return _jobs_of(document)


def _jobs_of(document: Any) -> list[tuple[str, Any]]:
    if isinstance(document, _Doubled):
        raise _Bad(f"{document.name!r} is said twice")
    if isinstance(document, dict) and isinstance(document.get("jobs"), list):
        if others := [name for name in document if name != "jobs"]:
            raise _Bad(f"nothing reads {others[0]!r} beside 'jobs': say it of each job, or as an argument")
        document = document["jobs"]
    elif isinstance(document, dict):
        document = [document]
    if not isinstance(document, list):
        raise _Bad("expected a list of jobs")
    return [(f"job {number}", row) for number, row in enumerate(document, 1)]


def _jsonl(text: str) -> list[tuple[str, Any]]:
    rows = []
    # Not `splitlines`: it also ends a line at characters that may stand inside a string of JSON.
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                rows.append((f"line {number}", _DECODER.decode(line)))
            except ValueError as error:
                raise _Bad(f"line {number}: {error}") from None
    return rows


def _csv(text: str) -> list[tuple[str, Any]]:
    import csv
    import io

    reader = csv.reader(io.StringIO(text), strict=True)
    header: list[str] = []
    rows: list[tuple[str, Any]] = []
    try:
        for row in reader:
            if not header:
                header = row if any(cell.strip() for cell in row) else []
                if doubled := next((name for name in header if header.count(name) > 1), None):
                    raise _Bad(f"line {reader.line_num}: the column {doubled!r} is there twice")
            elif len(row) > len(header):
                raise _Bad(f"line {reader.line_num} has more fields than the header")
            elif row:
                rows.append((f"line {reader.line_num}", dict(zip(header, row, strict=False))))
    except csv.Error as error:
        raise _Bad(f"line {reader.line_num}: {error}") from None
    return rows


def _toml(text: str) -> list[tuple[str, Any]]:
    import tomllib

    try:
        return _jobs_of(tomllib.loads(text))
    except ValueError as error:
        raise _Bad(str(error)) from None


_READERS: Final[dict[str, Callable[[str], list[tuple[str, Any]]]]] = {
    "json": _json,
    "jsonl": _jsonl,
    "csv": _csv,
    "toml": _toml,
}
