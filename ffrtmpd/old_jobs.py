"""What a job of the Go project is here. Pure: rows in, jobs out, and why not where that cannot be."""

import dataclasses
import datetime
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ffrtmpd.broker.cluster import Refusal
from ffrtmpd.broker.submissions import order_of, resolve
from ffrtmpd.scenario import Scenarios
from ffrtmpd.store import NewJob, Past
from ffrtmpd.wire.media import ENCODERS
from ffrtmpd.wire.messages.jobs import JobSpec, Report
from ffrtmpd.wire.messages.session import Encode
from ffrtmpd.wire.places import has_control
from ffrtmpd.wire.schema import SchemaError, from_plain
from ffrtmpd.wire.vocabulary import Codec, FailureClass, JobState, OutputMode, Priority, Queue

WHO: Final = "import-db"
_ID_MAX: Final = 100
_TEXT_MAX: Final = 500
# A report takes 8,192 characters; bytes that are no text become more of them when they are read.
_LOG_MAX: Final = 8_000
_CODECS: Final = {codec.value: codec.value for codec in Codec} | {"hevc": Codec.H265.value}
# Words of the Go project, its earlier ones as well.
_WAITS: Final = frozenset({"pending", "queued", "retrying"})
_RUNS: Final = frozenset({"assigned", "running", "processing"})
_ENDED: Final = {
    "completed": JobState.COMPLETED,
    "failed": JobState.FAILED,
    "timed_out": JobState.FAILED,
    "rejected": JobState.FAILED,
    "canceled": JobState.CANCELED,
    "cancelled": JobState.CANCELED,
}
# Failures that it holds against itself; all others it lays to user, input or network.
_ITS_OWN: Final = frozenset({"platform_error", "resource_error", "timeout"})
_BITRATE: Final = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)\s*([kmg]?)(?:b(?:it)?(?:ps|/s)?)?", re.IGNORECASE | re.ASCII)
# Of a whole number that fits into 64 bits.
_DIGITS_MAX: Final = 19
_UNITS: Final = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000}
# Parameters that have a place here.
_KNOWN: Final = frozenset(
    {
        "input",
        "output",
        "output_mode",
        "rtmp_url",
        "duration",
        "duration_seconds",
        "bitrate",
        "codec",
        "preset",
        "engine",
        "hwaccel",
    }
)
# What Go's clock adds to the text of a time, and a zone by name.
_GO_TAIL: Final = re.compile(r"( [+-]\d{4})?( [A-Z]{2,5})?( m=[+-][\d.]+)?$", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """A job to bring in. ``past`` is None for one that is to be done here; ``held``: its user had paused it."""

    new: NewJob
    past: Past | None
    created_at: float
    held: bool = False
    began: bool = False
    notes: tuple[str, ...] = ()


class CannotBringIn(Exception):
    """The row is no job that could be kept here; the message says why."""


def bring(row: Mapping[str, Any], scenarios: Scenarios, nodes: Mapping[str, str], now: float) -> Brought:
    """Return what a row of the Go project's jobs is here.

    Args:
        row: the row; columns may be missing, NULL or anything.
        scenarios: what names mean here.
        nodes: names of the Go project's nodes by id.
        now: Unix seconds.

    Raises:
        CannotBringIn: no id, an unknown state or scenario, or options that nothing here can follow.
    """
    notes: list[str] = []
    identity = row.get("id")
    if not isinstance(identity, str) or not 1 <= len(identity) <= _ID_MAX or has_control(identity):
        raise CannotBringIn(f"its id is not a text of 1 to {_ID_MAX} characters")
    status = str(row.get("status")).strip().lower()
    if status not in _WAITS | _RUNS | _ENDED.keys() | {"paused"}:
        raise CannotBringIn(f"its state {str(row.get('status'))[:40]!r} is not known")
    created_at = _time(row, "created_at", now, notes)
    node = _node(row, nodes)
    labels = {"imported": "ffmpeg-rtmp", "old-id": identity}
    if created_at is not None:
        labels["created"] = datetime.datetime.fromtimestamp(created_at, datetime.UTC).isoformat(timespec="seconds")
    if node is not None:
        labels["old-node"] = node
    spec, encode = _spec(row, labels, scenarios, notes, is_over=status in _ENDED)
    past = _past(row, _ENDED[status], created_at, now, notes) if status in _ENDED else None
    if past is not None and past.state is JobState.COMPLETED:
        past = dataclasses.replace(past, output=spec.output)
    reason = None
    if status in _RUNS:
        reason = f"was {status}{'' if node is None else f' on {node}'} in the Go project, and begins anew"
    new = NewJob(
        key=f"ffmpeg-rtmp:{identity}",
        order=order_of(spec, encode),
        who=WHO,
        reason=reason,
    )
    if created_at is None:
        created_at = now if past is None else past.started_at or past.finished_at
    return Brought(
        new=new,
        past=past,
        created_at=created_at,
        held=status == "paused",
        began=status in _RUNS,
        notes=tuple(notes),
    )


def time_of(value: Any) -> float | None:
    """Return the Unix seconds that the Go project meant, None for no time. A time without a zone is UTC.

    It writes ``2026-01-02 15:04:05.123456789+01:00``; its zero, the first of January of the year 1, is no time.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        # As its driver reads numbers: seconds, or milliseconds where seconds would be far away.
        seconds = value / 1_000 if abs(value) > 1e12 else float(value)
        return seconds if 0 < seconds < 1e11 else None
    if not isinstance(value, str):
        return None
    text = value.strip()
    tail = _GO_TAIL.search(text)
    if tail is not None and tail[0]:
        text = text[: tail.start()] + (tail[1] or "").strip()
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    try:
        seconds = moment.timestamp()
    except (OverflowError, ValueError):
        return None
    return seconds if seconds > 0 else None


def bitrate_of(value: Any) -> int | None:
    """Return bits per second of ``5M``, ``2500k`` or a number, None for anything else."""
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return round(value)
    found = _BITRATE.fullmatch(value.strip()) if isinstance(value, str) else None
    return None if found is None else round(float(found[1]) * _UNITS[found[2].lower()])


def _time(row: Mapping[str, Any], name: str, now: float, notes: list[str]) -> float | None:
    value = row.get(name)
    found = time_of(value)
    if found is not None and found > now:
        found = None
    if found is None and value not in (None, "") and not str(value).startswith("0001-01-01"):
        notes.append(f"{name} {shown(value, 40)!r} is no time that was")
    return found


def _node(row: Mapping[str, Any], nodes: Mapping[str, str]) -> str | None:
    node_id = row.get("node_id")
    if not isinstance(node_id, str) or not node_id:
        return None
    return shown(nodes.get(node_id, node_id), 128) or None


def shown(value: Any, most: int) -> str:
    """Return a text as one line that can be shown anywhere, of ``most`` characters at most."""
    text = "".join(" " if has_control(letter) else letter for letter in str(value)[: 4 * most])
    return " ".join(text.split())[:most]


# ── what to encode ────────────────────────────────────────────────────────────────────────────────────────────────


def _spec(
    row: Mapping[str, Any], labels: dict[str, str], scenarios: Scenarios, notes: list[str], *, is_over: bool
) -> tuple[JobSpec, Encode]:
    """Return the spec and what it means here; of a job that is over, without options that make none here."""
    plain: dict[str, Any] = {"scenario": row.get("scenario"), "labels": labels}
    plain["queue"] = _word(row, "queue", [queue.value for queue in Queue], Queue.DEFAULT.value, notes)
    plain["priority"] = _word(row, "priority", [one.value for one in Priority], Priority.MEDIUM.value, notes)
    bare = dict(plain)
    retries = row.get("max_retries")
    if isinstance(retries, int) and retries >= 0:
        plain["max_attempts"] = min(retries + 1, 100)
    try:
        plain |= _options(row, notes)
        return _checked(plain, scenarios)
    except (SchemaError, Refusal) as error:
        problem = str(error)
        if not is_over:
            raise CannotBringIn(problem) from None
    try:
        checked = _checked(bare, scenarios)
    except (SchemaError, Refusal) as error:
        raise CannotBringIn(str(error)) from None
    notes.append(f"its options were left out: {problem}")
    return checked


def _checked(plain: dict[str, Any], scenarios: Scenarios) -> tuple[JobSpec, Encode]:
    spec = from_plain(JobSpec, plain)
    return spec, resolve(scenarios, spec)


def _word(row: Mapping[str, Any], name: str, known: list[str], usual: str, notes: list[str]) -> str:
    value = row.get(name)
    word = value.strip().lower() if isinstance(value, str) else ""
    if word in known:
        return word
    if value not in (None, ""):
        notes.append(f"{name} {shown(value, 40)!r} is not known: {usual} is taken")
    return usual


def _options(row: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    """Return what the parameters say, as fields of a spec.

    Raises:
        SchemaError: they cannot be read, or leave out what a push needs.
    """
    given = _parameters(row.get("parameters"))
    left = sorted(name for name, value in given.items() if name not in _KNOWN and value not in (None, ""))
    found: dict[str, Any] = {name: given[name] for name in ("input", "preset") if given.get(name)}
    found |= _where(given)
    engine = row.get("engine") or "auto"
    if engine == "auto":
        engine = given.get("engine") or "auto"
    if engine != "auto":
        found["engine"] = engine
    duration = given.get("duration") or given.get("duration_seconds")
    if duration:
        found["duration_s"] = _number(duration)
    if given.get("bitrate"):
        found["bitrate_bps"] = bitrate_of(given["bitrate"])
        if found["bitrate_bps"] is None:
            raise SchemaError(f"bitrate {shown(given['bitrate'], 40)!r} is none")
    codec = given.get("codec")
    if codec:
        name = str(codec).lower()
        found |= {"codec": _CODECS[name]} if name in _CODECS else {"encoder": name}
    hwaccel = given.get("hwaccel")
    if hwaccel and hwaccel not in ("none", "auto"):
        pinned = ENCODERS.get(str(found.get("encoder")))
        # It only decoded on the GPU then, which a node here decides by itself.
        if pinned is None or pinned.hardware is not None:
            found["require_gpu"] = True
    limits = given.get("resource_limits")
    if isinstance(limits, dict) and limits.get("timeout_sec"):
        found["timeout_s"] = _number(limits["timeout_sec"])
        if len(limits) == 1:
            left.remove("resource_limits")
    if left:
        notes.append(f"not taken over: {shown(', '.join(left), 200)}")
    return found


def _parameters(text: Any) -> dict[str, Any]:
    if text in (None, "", "null"):
        return {}
    try:
        given = _json(text)
    except (ValueError, TypeError, RecursionError):
        raise SchemaError("its parameters are no JSON") from None
    if not isinstance(given, dict):
        raise SchemaError("its parameters are no map")
    return given


def _json(text: Any) -> Any:
    """Return what JSON says. A whole number of any length is a float, so that nothing is too large to be looked at."""
    return json.loads(text, parse_int=lambda digits: int(digits) if len(digits) < _DIGITS_MAX else float(digits))


def _where(given: Mapping[str, Any]) -> dict[str, Any]:
    mode = given.get("output_mode") or "file"
    if mode == "file":
        return {"output": given["output"]} if given.get("output") else {}
    if mode not in ("rtmp", "stream"):
        raise SchemaError(f"its output mode {shown(mode, 40)!r} is not known")
    url = given.get("rtmp_url")
    if not isinstance(url, str) or not url:
        raise SchemaError("it pushes to the old master's own RTMP server, which is not here (no rtmp_url)")
    is_rtmp = url.startswith(("rtmp://", "rtmps://"))
    return {"output": url, "output_mode": (OutputMode.RTMP if is_rtmp else OutputMode.STREAM).value}


def _number(value: Any) -> Any:
    """Return a number that was written as text as well; anything else as it is, to be refused."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return value


# ── what became of it ─────────────────────────────────────────────────────────────────────────────────────────────


def _past(row: Mapping[str, Any], state: JobState, created_at: float | None, now: float, notes: list[str]) -> Past:
    started_at = _time(row, "started_at", now, notes)
    finished_at = _time(row, "completed_at", now, notes)
    if finished_at is None:
        # Not every end was written down; the last that is known of the job is nearest to it.
        last = _last_transition(row.get("state_transitions"), now)
        known = [at for at in (last, time_of(row.get("last_activity_at")), started_at, created_at) if at is not None]
        finished_at = min(max(known), now) if known else now
        notes.append("when it ended is not known: taken is the last that is known of it")
    retries = row.get("retry_count")
    retries = min(retries, 1_000_000) if isinstance(retries, int) and retries > 0 else 0
    attempts = retries + (started_at is not None)
    error, why = (shown(row.get(name) or "", _TEXT_MAX) for name in ("error", "failure_reason"))
    failed = state is JobState.FAILED
    begun = finished_at if started_at is None else started_at
    return Past(
        state=state,
        started_at=started_at,
        finished_at=finished_at,
        attempt=attempts,
        failures=attempts if failed else retries,
        failure_class=(FailureClass.TRANSIENT if why in _ITS_OWN else FailureClass.PERMANENT) if failed else None,
        reason=(error or why or None) if state is not JobState.COMPLETED else None,
        waited_s=0.0 if created_at is None else max(0.0, begun - created_at),
        processed_s=max(0.0, finished_at - begun),
        report=_report(row.get("logs")),
    )


def _last_transition(text: Any, now: float) -> float | None:
    try:
        entries = _json(text)
        times = [time_of(entry["timestamp"]) for entry in entries]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return max((at for at in times if at is not None and at <= now), default=None)


def _report(logs: Any) -> Report | None:
    if not isinstance(logs, str) or not logs.strip():
        return None
    return Report(log_tail=logs.replace("\0", " ")[-_LOG_MAX:])
