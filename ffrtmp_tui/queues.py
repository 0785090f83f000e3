"""`ffrtmp queues`: how many jobs wait and run in each, and how it goes."""

from typing import Final

from ffrtmp_tui import units
from ffrtmp_tui.command import Noun, Verb
from ffrtmp_tui.failures import Exit
from ffrtmp_tui.fit import Column
from ffrtmp_tui.link import new_id
from ffrtmp_tui.render import plain
from ffrtmp_tui.run import Run
from ffrtmpd.wire.messages.overview import QueueList, Queues, QueueView
from ffrtmpd.wire.vocabulary import JobState

_SHOWN: Final = (
    ("Pending", JobState.PENDING),
    ("Queued", JobState.QUEUED),
    ("Assigned", JobState.ASSIGNED),
    ("Processing", JobState.PROCESSING),
    ("Paused", JobState.PAUSED),
)
_ENDED: Final = (("Completed", JobState.COMPLETED), ("Failed", JobState.FAILED), ("Canceled", JobState.CANCELED))


def jobs_in(queue: QueueView, state: JobState) -> int:
    """Return how many jobs of a queue are in a state."""
    return next((count.jobs for count in queue.states if count.state is state), 0)


def _state(title: str, state: JobState, *, wide: bool) -> Column:
    return Column(title=title, name=str(state), get=lambda queue: jobs_in(queue, state), right=True, wide=wide)


def columns(now_s: float) -> tuple[Column, ...]:
    """Return the columns of the queues at ``now_s``, in Unix seconds by the master's clock."""

    def waited(queue: QueueView) -> float | None:
        return None if queue.waiting_since is None else max(0.0, now_s - queue.waiting_since)

    return (
        Column(title="Queue", name="queue", get=lambda queue: queue.queue),
        *(_state(title, state, wide=False) for title, state in _SHOWN),
        Column(title="Oldest", name="oldest_waits_s", get=waited, show=units.duration_text, right=True),
        Column(title="Oldest Job", name="oldest_job", get=lambda queue: queue.oldest_job, wide=True),
        Column(
            title="Wait p95 1h",
            name="wait_p95_s",
            get=lambda queue: queue.wait_p95_s,
            show=units.duration_text,
            right=True,
        ),
        Column(title="Done 1h", name="completed_1h", get=lambda queue: queue.completed, right=True),
        Column(title="Failed 1h", name="failed_1h", get=lambda queue: queue.failed, right=True),
        *(_state(title, state, wide=True) for title, state in _ENDED),
    )


def show(run: Run) -> int:
    """Show the queues."""
    reply = run.ask(Queues(request_id=new_id()), QueueList)
    run.show_list(
        "queues",
        reply.queues if run.form not in ("json", "jsonl") else [_plain(queue) for queue in reply.queues],
        columns(reply.now),
        name_of=lambda queue: queue.queue,
        extra={"window_s": reply.window_s, "now": reply.now},
    )
    if reply.window_s < 3_600 and run.form in ("table", "wide"):
        run.terminal.say(f"the master counts what ended since its start, {units.duration_text(reply.window_s)} ago")
    return Exit.OK


def _plain(queue: QueueView) -> dict[str, object]:
    """Return a queue with its states as a map, every state in it."""
    return {**plain(queue), "states": {str(state): jobs_in(queue, state) for state in JobState}}


NOUN: Final = Noun(
    name="queues",
    help="show how the queues stand",
    verbs=(
        Verb(
            name="",
            help="show the jobs of each queue by state, how long the first waits, and what ended within the hour",
            run=show,
            examples=(("ffrtmp queues", "at a glance"), ("ffrtmp queues -o json", "for a script")),
        ),
    ),
)
