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
        Failure: it cannot be read, or is not of its form.
    """
    name = source
    if source == "-":
        text, name = stdin.read(), "standard input"
    else:
        try:
            text = Path(source).read_text(encoding="utf-8-sig")
        except OSError as error:
            raise usage(f"cannot read {source}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise usage(f"{source} is not text in UTF-8") from None
    form = form or guess_form(source, text)
    try:
        rows = _READERS[form](text)
    except _Bad as error:
        raise usage(f"{name} is no {form} manifest: {error}") from None
    entries = []
    for where, row in rows:
        if not isinstance(row, dict):
            raise usage(f"{name}, {where}: a job is a table of fields")
        key = next((str(row[name]) for name in KEY_FIELDS if row.get(name)), None)
        entries.append(
            Entry(where=where, fields={name: value for name, value in row.items() if name not in KEY_FIELDS}, key=key)
        )
    if not entries:
        raise usage(f"{name} holds no job")
    return entries


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
    for written, value in fields.items():
        name = _PLAIN_NAMES.get(written, written)
        if name not in known:
            raise ValueError(f"unknown field {written!r}{did_you_mean(written, [*known, *_PLAIN_NAMES, *KEY_FIELDS])}")
        if value is None or value == "":
            continue
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
            return {units.utf8(str(key)): units.utf8(str(text)) for key, text in value.items()}
        return value
    units.utf8(value)
    convert = _FROM_TEXT.get(name)
    if name == "not_before":
        return units.moment(value, now_s)
    return value if convert is None else convert(value)


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
    return dict(units.label(part) for part in re.split(r"[;,]", text) if part.strip())


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


def _json(text: str) -> list[tuple[str, Any]]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise _Bad(str(error)) from None
    return _jobs_of(document)


def _jobs_of(document: Any) -> list[tuple[str, Any]]:
    if isinstance(document, dict):
        document = document["jobs"] if isinstance(document.get("jobs"), list) else [document]
    if not isinstance(document, list):
        raise _Bad("expected a list of jobs")
    return [(f"job {number}", row) for number, row in enumerate(document, 1)]


def _jsonl(text: str) -> list[tuple[str, Any]]:
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                rows.append((f"line {number}", json.loads(line)))
            except ValueError as error:
                raise _Bad(f"line {number}: {error}") from None
    return rows


def _csv(text: str) -> list[tuple[str, Any]]:
    import csv
    import io

    reader = csv.DictReader(io.StringIO(text), strict=True)
    rows: list[tuple[str, Any]] = []
    try:
        for row in reader:
            if None in row:
                raise _Bad(f"line {reader.line_num} has more fields than the header")
            rows.append((f"line {reader.line_num}", dict(row)))
    except csv.Error as error:
        raise _Bad(f"line {reader.line_num}: {error}") from None
    return rows


def _toml(text: str) -> list[tuple[str, Any]]:
    import tomllib

    try:
        return _jobs_of(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise _Bad(str(error)) from None


_READERS: Final[dict[str, Callable[[str], list[tuple[str, Any]]]]] = {
    "json": _json,
    "jsonl": _jsonl,
    "csv": _csv,
    "toml": _toml,
}
