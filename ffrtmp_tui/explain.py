"""`ffrtmp jobs explain`: why a job is where it is."""

from typing import Final

from ffrtmp_tui.failures import Exit
from ffrtmp_tui.fit import Column
from ffrtmp_tui.job_view import JOB_COLUMNS
from ffrtmp_tui.link import new_id
from ffrtmp_tui.render import table
from ffrtmp_tui.run import Run
from ffrtmp_tui.selection import select_one
from ffrtmpd.wire.messages.inquiries import Explain, Explanation
from ffrtmpd.wire.schema import to_full

# What an operator can do about each reason is his to know; what it means is ours to say.
MEANINGS: Final = {
    None: "would take it now",
    "offline": "is offline",
    "draining": "is being drained",
    "no_free_slot": "has no free slot",
    "no_engine": "lacks the engine",
    "no_encoder": "has no encoder for it",
    "gpu_required": "has no GPU that encodes it",
    "no_scorer": "does not measure what is asked for",
    "encoder_busy": "has no room on its hardware encoders now",
}

ANSWERS: Final = (
    Column(title="Node ID", name="node_id", get=lambda answer: answer.node_id),
    Column(title="Answer", name="why", get=lambda answer: MEANINGS.get(answer.why, answer.why)),
)


def explain(run: Run) -> int:
    """Show why a job waits or where it is, and what each node says to it."""
    reply = run.ask(Explain(request_id=new_id(), job=select_one(run, run.args.job)), Explanation)
    run.show_one(
        {name: value for name, value in to_full(reply).items() if name != "request_id"},
        name=reply.job.job_id,
        people=lambda: _text(reply, run),
        columns=JOB_COLUMNS,
        row=reply.job,
    )
    return Exit.OK


def _text(reply: Explanation, run: Run) -> str:
    engine, codec, encoder, *scores = reply.requires.split(":", 3)
    needs = f"engine {engine}, codec {codec}, encoder {encoder}" + "".join(f", scores {kinds}" for kinds in scores)
    lines = [f"{reply.job.job_id} is {reply.job.state}: {reply.text}."]
    if reply.job.state == "queued":
        place = "beyond the first thousand of its kind" if reply.place is None else f"{reply.place}"
        lines.append(f"Place in the order of work: {place}. Needs: {needs}.")
    text = "\n".join(lines) + "\n"
    if not reply.nodes:
        return text
    terminal = run.terminal
    answers = table(ANSWERS, reply.nodes, room=terminal.room, unicode=terminal.unicode, paint=terminal.paint)
    return f"{text}\n{answers}"
