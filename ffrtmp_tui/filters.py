"""What people write to narrow a list: ``state:queued label:show=a age:<1h hevc``, and to order it: ``vmaf:desc``.

A filter is terms with blanks between them, all of which must hold, also where several are about one key. A term is
``KEY:VALUE[,VALUE]``, or a bare word, which is a part of the name. Terms that nothing can fit, and those of which the
master is told one only, are refused: a list that one of them did not narrow would be acted on. Pure.
"""

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any, Final, TypeVar

from ffrtmp_tui import units
from ffrtmp_tui.failures import did_you_mean, usage
from ffrtmpd.wire.vocabulary import Engine, JobState, NodeSortKey, NodeStatus, Priority, Queue, SortKey

E = TypeVar("E", bound=StrEnum)

JOB_KEYS: Final = ("state", "queue", "priority", "node", "engine", "scenario", "label", "age")
NODE_KEYS: Final = ("status", "name", "encoder", "engine", "gpu")
_SEVERAL: Final[dict[str, tuple[str, type[StrEnum]]]] = {
    "state": ("states", JobState),
    "queue": ("queues", Queue),
    "priority": ("priorities", Priority),
    "engine": ("engines", Engine),
    "status": ("statuses", NodeStatus),
}
_ONE: Final = {"node": "node_id", "scenario": "text", "name": "text", "encoder": "encoder"}
_KEY_OF: Final = {field: key for key, (field, _) in _SEVERAL.items()}


def job_filter(texts: Iterable[str], now_s: float) -> dict[str, Any]:
    """Return the fields of LIST_JOBS that the filters say; ``now_s`` is Unix seconds.

    Raises:
        Failure: a term makes no sense.
    """
    fields: dict[str, Any] = {}
    for key, value in _terms(texts, JOB_KEYS, "scenario"):
        if key == "label":
            _add_label(fields.setdefault("labels", {}), *_read(units.label, key, value))
        elif key == "age":
            _add_age(fields, value, now_s)
        else:
            _add(fields, key, value)
    return fields


def node_filter(texts: Iterable[str]) -> dict[str, Any]:
    """Return the fields of LIST_NODES that the filters say.

    Raises:
        Failure: a term makes no sense.
    """
    fields: dict[str, Any] = {}
    for key, value in _terms(texts, NODE_KEYS, "name"):
        if key == "engine":
            _add_one(fields, key, "engine", _word(Engine, key, value))
        elif key == "gpu":
            if value not in ("yes", "no"):
                raise usage(f"gpu:{value} makes no sense", "write gpu:yes or gpu:no")
            _add_one(fields, key, "gpu", value == "yes")
        else:
            _add(fields, key, value)
    return fields


def job_order(text: str) -> dict[str, Any]:
    """Return the fields of LIST_JOBS that ``KEY``, ``KEY:asc`` or ``KEY:desc`` says.

    Raises:
        ValueError: none of these.
    """
    key, descending = _order(text, tuple(map(str, SortKey)))
    if key == SortKey.CREATED:
        return {"oldest_first": not descending}
    return {"sort": SortKey(key), "descending": descending}


def node_order(text: str) -> dict[str, Any]:
    """Return the fields of LIST_NODES that ``KEY``, ``KEY:asc`` or ``KEY:desc`` says.

    Raises:
        ValueError: none of these.
    """
    key, descending = _order(text, tuple(map(str, NodeSortKey)))
    return {"sort": NodeSortKey(key), "descending": descending}


def _order(text: str, keys: tuple[str, ...]) -> tuple[str, bool]:
    key, sign, way = text.partition(":")
    if key not in keys:
        raise ValueError(f"{key!r} is not one of {', '.join(keys)}{did_you_mean(key, keys)}")
    if sign and way not in ("asc", "desc"):
        raise ValueError(f"{text!r}: write {key}:asc or {key}:desc")
    return key, way == "desc"


def _terms(texts: Iterable[str], keys: tuple[str, ...], bare: str) -> Iterable[tuple[str, str]]:
    for term in (term for text in texts for term in text.split()):
        key, sign, value = term.partition(":")
        if not sign:
            # `state=queued` is what fingers know from elsewhere.
            key, sign, value = term.partition("=")
        if not sign:
            key, value = bare, term
        if key not in keys:
            raise usage(
                f"a filter has no {key!r}{did_you_mean(key, keys)}", f"it has {', '.join(keys)}, each as KEY:VALUE"
            )
        if not value:
            raise usage(f"the filter {term!r} has no value", f"write {key}:VALUE")
        yield key, value


def _add(fields: dict[str, Any], key: str, value: str) -> None:
    if key in _SEVERAL:
        name, kind = _SEVERAL[key]
        words = tuple(_word(kind, key, word) for word in value.split(","))
        fields[name] = _both(key, fields.get(name), tuple(dict.fromkeys(words)))
        return
    _add_one(fields, key, _ONE[key], value)


def _add_one(fields: dict[str, Any], key: str, name: str, value: Any) -> None:
    """Add what the master is told one of."""
    if fields.setdefault(name, value) != value:
        raise usage(f"a filter says {key} once", f"it has {fields[name]!r} already")


def _add_label(labels: dict[str, str], name: str, value: str) -> None:
    if labels.setdefault(name, value) != value:
        raise usage(f"no job has both label:{name}={labels[name]} and label:{name}={value}", "leave one of them out")


def _both(key: str, before: tuple[Any, ...] | None, words: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return what both allow; an empty list would allow everything."""
    if before is None:
        return words
    left = tuple(word for word in before if word in words)
    if not left:
        said, again = ",".join(map(str, before)), ",".join(map(str, words))
        raise usage(f"nothing fits both {key}:{said} and {key}:{again}", f"write {key}:{said},{again} for either")
    return left


def _add_age(fields: dict[str, Any], value: str, now_s: float) -> None:
    if value[0] not in "<>":
        raise usage(f"age:{value} makes no sense", "write age:<1h for what is younger, age:>1d for what is older")
    at = max(0.0, now_s - _read(units.duration, "age", value[1:]))
    if value[0] == "<":
        fields["created_after"] = max(at, fields.get("created_after", at))
    else:
        fields["created_before"] = min(at, fields.get("created_before", at))
    after, before = fields.get("created_after"), fields.get("created_before")
    if after is not None and before is not None and after >= before:
        raise usage(f"no job is of an age that age:{value} and the other ages allow", "leave one of them out")


def _word(kind: type[E], key: str, word: str) -> E:
    try:
        return kind(word)
    except ValueError:
        known = tuple(str(member) for member in kind)
        raise usage(f"{key}: {word!r} is not one of {', '.join(known)}{did_you_mean(word, known)}") from None


def _read(convert: Callable[[str], Any], key: str, text: str) -> Any:
    try:
        return convert(text)
    except ValueError as error:
        raise usage(f"{key}: {error}") from None


def merged(*parts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of several sources, all of which must hold; of lists that is what is in each of them.

    Raises:
        Failure: two sources exclude each other.
    """
    fields: dict[str, Any] = {}
    for part in parts:
        for name, value in part.items():
            if name not in fields:
                fields[name] = value
            elif isinstance(value, tuple):
                fields[name] = _both(_KEY_OF.get(name, name), fields[name], value)
            elif fields[name] != value:
                raise usage(f"{name} is said twice: {fields[name]!r} and {value!r}")
    return fields


def require_terms(filters: Iterable[str], key: str, words: Iterable[str]) -> None:
    """Refuse a filter without a term for a command that acts: it would mean everything, and is often a mistake.

    Raises:
        Failure: one of ``filters`` has no term; who means everything is told to say ``key`` with ``words``.
    """
    for text in filters:
        if not text.split():
            raise usage(
                f"the filter {text!r} has no term, and would mean everything",
                f"is a variable unset? If all are meant, say {key}:{','.join(words)}",
            )
