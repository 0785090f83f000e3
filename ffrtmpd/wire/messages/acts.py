"""What clients do to jobs."""

from typing import Annotated

from ffrtmpd.wire.messages.common import Problem, Reply, Request
from ffrtmpd.wire.messages.jobs import JobView
from ffrtmpd.wire.record import record
from ffrtmpd.wire.schema import Size
from ffrtmpd.wire.vocabulary import JobAct, JobState

# A turn that does so much holds up the others for some 50 ms.
ACT_MAX = 200


@record
class Cancel(Request):
    """Cancel a job that is not terminal; its process is stopped and its partial output removed."""

    TYPE = "CANCEL"
    job: Annotated[str, "job id or sequence number", Size(1, 64)]


@record
class Pause(Request):
    """Freeze a running job's processes, or hold one that waits."""

    TYPE = "PAUSE"
    job: Annotated[str, "job id or sequence number", Size(1, 64)]


@record
class Resume(Request):
    """Let a paused job go on."""

    TYPE = "RESUME"
    job: Annotated[str, "job id or sequence number", Size(1, 64)]


@record
class Retry(Request):
    """Queue a failed or canceled job anew."""

    TYPE = "RETRY"
    job: Annotated[str, "job id or sequence number", Size(1, 64)]


@record
class Acted(Reply):
    """The change is on disk."""

    TYPE = "ACTED"
    job: Annotated[JobView, "the job after it"]


@record
class ActOnJobs(Request):
    """Do one thing to many jobs. Each is taken or refused by itself; those taken are on disk before the reply."""

    TYPE = "ACT_ON_JOBS"
    act: Annotated[JobAct, "what to do"]
    jobs: Annotated[tuple[str, ...], "job ids or sequence numbers", Size(1, ACT_MAX)]


@record
class ActResult:
    """What became of one job: a state, or a problem."""

    job: Annotated[str, "as asked"]
    state: Annotated[JobState | None, "after it"] = None
    problem: Annotated[Problem | None, "why nothing was done"] = None


@record
class ActedOnJobs(Reply):
    """One result for each job, in the same order."""

    TYPE = "ACTED_ON_JOBS"
    results: Annotated[tuple[ActResult, ...], "results"]
