"""One act on many jobs: each is taken or refused by itself, all in one turn."""

from collections.abc import Callable
from typing import Final

from ffrtmpd.broker import jobs
from ffrtmpd.broker.cluster import Cluster, Refusal
from ffrtmpd.events import Peer
from ffrtmpd.principals import Principal
from ffrtmpd.store import parse_job_ref
from ffrtmpd.wire.codec import Message
from ffrtmpd.wire.messages.acts import ActedOnJobs, ActOnJobs, ActResult, Cancel, Pause, Resume, Retry
from ffrtmpd.wire.vocabulary import JobAct

_ACTS: Final[dict[JobAct, tuple[Callable[..., Message], Callable[..., Message]]]] = {
    JobAct.CANCEL: (jobs.cancel, Cancel),
    JobAct.PAUSE: (jobs.pause, Pause),
    JobAct.RESUME: (jobs.resume, Resume),
    JobAct.RETRY: (jobs.retry, Retry),
}


def act(cluster: Cluster, request: ActOnJobs, by: Principal, peer: Peer) -> Message:
    """Answer ACT_ON_JOBS."""
    handle, kind = _ACTS[request.act]
    results = []
    for job in request.jobs:
        try:
            handle(cluster, kind(request_id=request.request_id, job=job), by, peer)
        except Refusal as refusal:
            results.append(ActResult(job=job, problem=refusal.problem))
        else:
            row = cluster.store.job(parse_job_ref(job) or 0)
            results.append(ActResult(job=job, state=row.state if row else None))
    return ActedOnJobs(request_id=request.request_id, results=tuple(results))
