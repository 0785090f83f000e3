"""The words of a filter and of a sort as the master's request, and whether a changed row still fits. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ffrtmp_tui import units
from ffrtmp_tui.failures import did_you_mean
from ffrtmpd.wire.messages.jobs import JobView, ListJobs
from ffrtmpd.wire.messages.nodes import ListNodes, NodeView
from ffrtmpd.wire.vocabulary import (
    TERMINAL_STATES,
    Engine,
    JobState,
    NodeSortKey,
    NodeStatus,
    Priority,
    Queue,
    SortKey,
)

PAGE_ROWS: Final = 200


@dataclass(slots=True)
class Query:
    """What a list shows: the filter as written, and the order."""

    sorts: Sequence[str]
    text: str = ""
    sort: str = ""
    # The first sort is by submit or by name, of which the newest and the first are what people look for.
    turned: bool = False
    fields: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.sort = self.sort or self.sorts[0]

    @property
    def name(self) -> str:
        """What tells this list from another: an answer to another question is not for it."""
        return f"{self.text} sort:{self.sort}{':turned' if self.turned else ''}"

    def next_sort(self) -> None:
        """Sort by the next column."""
        at = list(self.sorts).index(self.sort)
        self.sort, self.turned = self.sorts[(at + 1) % len(self.sorts)], False


JOB_SORTS: Final = tuple(str(key) for key in SortKey)
NODE_SORTS: Final = tuple(str(key) for key in NodeSortKey)
HISTORY_SORTS: Final = tuple(
    map(
        str,
        (
            SortKey.FINISHED,
            SortKey.STATE,
            SortKey.DURATION,
            SortKey.VMAF,
            SortKey.QOE,
            SortKey.ENERGY,
            SortKey.JOULES_PER_MINUTE,
            SortKey.NODE,
            SortKey.SCENARIO,
        ),
    )
)
# Many values of these are worth nothing low: the greatest stand first until the order is turned.
_GREATEST_FIRST: Final = frozenset(
    {
        *("started", "finished", "duration", "energy", "joules_per_minute", "progress", "fps"),
        *("load", "jobs", "power", "free_slots", "last_seen"),
    }
)

_MANY: Final[dict[str, tuple[str, Any]]] = {
    "state": ("states", JobState),
    "queue": ("queues", Queue),
    "priority": ("priorities", Priority),
    "engine": ("engines", Engine),
}
JOB_FIELDS: Final = (*_MANY, "node", "label", "age")
NODE_FIELDS: Final = ("status", "encoder", "engine", "gpu")


def job_values(nodes: Sequence[NodeView]) -> dict[str, list[str]]:
    """Return what can stand behind the fields of a filter of jobs, as far as it is known here."""
    words = {name: [str(member) for member in kind] for name, (_, kind) in _MANY.items()}
    return {**words, "node": [node.node_id for node in nodes]}


def node_values(nodes: Sequence[NodeView]) -> dict[str, list[str]]:
    """Return what can stand behind the fields of a filter of nodes, as far as it is known here."""
    encoders = {name for node in nodes if node.hardware for name in node.hardware.encoders}
    return {
        "status": [str(status) for status in NodeStatus],
        "encoder": sorted(encoders),
        "engine": [str(engine) for engine in Engine],
        "gpu": ["yes", "no"],
    }


def job_fields(text: str, now_s: float) -> dict[str, Any]:
    """Return the fields of LIST_JOBS that ``state:failed,canceled queue:live age:<1h 4K60`` means.

    Raises:
        ValueError: a field or a value that there is not.
    """
    found: dict[str, Any] = {}
    for word in text.split():
        name, mark, value = word.partition(":")
        if not mark:
            found["text"] = f"{found['text']} {word}" if "text" in found else word
        elif not value:
            raise ValueError(f"{name}: a value is missing")
        elif name in _MANY:
            target, kind = _MANY[name]
            found[target] = found.get(target, ()) + tuple(_member(kind, name, part) for part in value.split(","))
        elif name == "node":
            found["node_id"] = value
        elif name == "label":
            found["labels"] = {**found.get("labels", {}), **dict([units.label(value)])}
        elif name == "age":
            _age(found, value, now_s)
        else:
            raise _unknown(name, JOB_FIELDS)
    return found


def history_fields(text: str, now_s: float) -> dict[str, Any]:
    """Return the fields of LIST_JOBS that a filter means where only jobs that ended are listed.

    Raises:
        ValueError: a field or a value that there is not, or a state that is no end.
    """
    found = job_fields(text, now_s)
    living = [state for state in found.get("states", ()) if state not in TERMINAL_STATES]
    if living:
        raise ValueError(f"state: {living[0]} is not in the history; there are {', '.join(sorted(TERMINAL_STATES))}")
    return found


def node_fields(text: str) -> dict[str, Any]:
    """Return the fields of LIST_NODES that ``status:busy gpu:yes rack7`` means.

    Raises:
        ValueError: a field or a value that there is not.
    """
    found: dict[str, Any] = {}
    for word in text.split():
        name, mark, value = word.partition(":")
        if not mark:
            found["text"] = word
        elif not value:
            raise ValueError(f"{name}: a value is missing")
        elif name == "status":
            found["statuses"] = tuple(_member(NodeStatus, name, part) for part in value.split(","))
        elif name == "encoder":
            found["encoder"] = value
        elif name == "engine":
            found["engine"] = _member(Engine, name, value)
        elif name == "gpu":
            if value not in ("yes", "no"):
                raise ValueError("gpu: yes or no")
            found["gpu"] = value == "yes"
        else:
            raise _unknown(name, NODE_FIELDS)
    return found


def list_jobs(query: Query, request_id: str, *, cursor: str | None = None, limit: int = PAGE_ROWS) -> ListJobs:
    """Return the request for a window."""
    created = query.sort == SortKey.CREATED
    return ListJobs(
        request_id=request_id,
        limit=limit,
        cursor=cursor,
        sort=SortKey(query.sort),
        oldest_first=created and query.turned,
        descending=not created and query.turned != (query.sort in _GREATEST_FIRST),
        **query.fields,
    )


def list_history(query: Query, request_id: str, *, cursor: str | None = None, limit: int = PAGE_ROWS) -> ListJobs:
    """Return the request for a window of the jobs that ended."""
    return ListJobs(
        request_id=request_id,
        limit=limit,
        cursor=cursor,
        sort=SortKey(query.sort),
        descending=query.turned != (query.sort in _GREATEST_FIRST),
        **ended(query.fields),
    )


def ended(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a filter that, where it names no states, means all those that are an end."""
    return {"states": tuple(sorted(TERMINAL_STATES)), **fields}


def list_ids(fields: dict[str, Any], request_id: str, *, cursor: str | None = None) -> ListJobs:
    """Return the request for the ids of all jobs that fit, the newest first."""
    return ListJobs(request_id=request_id, ids_only=True, cursor=cursor, **fields)


def list_nodes(query: Query, request_id: str, *, cursor: str | None = None, limit: int = PAGE_ROWS) -> ListNodes:
    """Return the request for a window."""
    return ListNodes(
        request_id=request_id,
        limit=limit,
        cursor=cursor,
        sort=NodeSortKey(query.sort),
        descending=query.turned != (query.sort in _GREATEST_FIRST),
        **query.fields,
    )


def fits(job: JobView, fields: dict[str, Any]) -> bool:
    """Tell whether a job that was in a list may still be in it; labels and age do not change."""
    for target, value in (("states", job.state), ("queues", job.queue), ("priorities", job.priority)):
        if fields.get(target) and value not in fields[target]:
            return False
    return fields.get("node_id") in (None, job.node_id)


def _member(kind: Any, name: str, word: str) -> Any:
    try:
        return kind(word)
    except ValueError:
        known = tuple(str(member) for member in kind)
        raise ValueError(f"{name}: {word!r} is not one of {', '.join(known)}{did_you_mean(word, known)}") from None


def _age(found: dict[str, Any], value: str, now_s: float) -> None:
    if value[0] not in "<>":
        raise ValueError("age: write age:<1h or age:>2d")
    at = now_s - units.duration(value[1:])
    found["created_after" if value[0] == "<" else "created_before"] = max(0.0, at)


def _unknown(name: str, known: Sequence[str]) -> ValueError:
    return ValueError(f"there is no field {name!r}{did_you_mean(name, known)}; there are {', '.join(known)}")
