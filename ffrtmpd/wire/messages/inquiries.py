"""What clients ask beside the figures of jobs: why one waits, its log, the scenarios there are."""

from typing import Annotated

from ffrtmpd.wire.messages.common import Reply, Request
from ffrtmpd.wire.messages.jobs import LOG_MAX, JobView
from ffrtmpd.wire.record import record
from ffrtmpd.wire.schema import Range, Size
from ffrtmpd.wire.vocabulary import Codec, Why


@record
class Explain(Request):
    """Ask why a job is where it is."""

    TYPE = "EXPLAIN"
    job: Annotated[str, "job id or sequence number", Size(1, 64)]


@record
class NodeAnswer:
    """What one node says to a job."""

    node_id: Annotated[str, "node"]
    why: Annotated[Why | None, "why it does not take the job now; absent: it would"] = None


@record
class Explanation(Reply):
    """Why a job is where it is."""

    TYPE = "EXPLANATION"
    job: Annotated[JobView, "the job"]
    text: Annotated[str, "in one sentence"]
    place: Annotated[int | None, "of a queued job in the order of work, from 1; absent beyond a thousand"] = None
    requires: Annotated[str, "engine, codec and encoder that it needs"]
    nodes: Annotated[tuple[NodeAnswer, ...], "each node's answer, to a job that waits", Size(0, 4_096)] = ()


@record
class Logs(Request):
    """Ask for the encoder's log of a job; the master fetches it from the node."""

    TYPE = "LOGS"
    job: Annotated[str, "job id or sequence number", Size(1, 64)]
    attempt: Annotated[int | None, "which attempt; nothing: the last", Range(1, 1_000_000)] = None
    offset: Annotated[int, "byte to begin at; negative counts from the end"] = 0
    limit: Annotated[int, "bytes at most", Range(1, LOG_MAX)] = LOG_MAX


@record
class LogsReply(Reply):
    """A piece of a log."""

    TYPE = "LOGS_REPLY"
    job_id: Annotated[str, "job"]
    attempt: Annotated[int, "attempt"]
    text: Annotated[str, "the piece; bytes that are not UTF-8 are replaced"]
    offset: Annotated[int, "byte at which it begins"]
    next_offset: Annotated[int, "byte to go on at"]
    end: Annotated[bool, "nothing is behind this piece, and the attempt has ended"] = False


@record
class ScenarioView:
    """A known scenario."""

    name: Annotated[str, "name"]
    codec: Annotated[Codec, "codec"]
    width: Annotated[int, "pixels"]
    height: Annotated[int, "pixels"]
    fps: Annotated[float | None, "frames per second; nothing: the source's"] = None
    bitrate_bps: Annotated[int, "bits per second"]
    preset: Annotated[str | None, "speed preset"] = None


@record
class ListScenarios(Request):
    """Ask for the scenarios known by name, or what one name means."""

    TYPE = "LIST_SCENARIOS"
    name: Annotated[str | None, "only this one, known or of the grammar", Size(1, 128)] = None


@record
class ScenarioList(Reply):
    """The scenarios known by name; any other name of the grammar works too."""

    TYPE = "SCENARIO_LIST"
    scenarios: Annotated[tuple[ScenarioView, ...], "scenarios"]
