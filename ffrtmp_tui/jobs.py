"""`ffrtmp jobs`: the table of its verbs and their arguments."""

from collections.abc import Callable
from typing import Any, Final

from ffrtmp_tui import job_verbs, units
from ffrtmp_tui.command import Argument, Noun, Verb
from ffrtmp_tui.failures import did_you_mean
from ffrtmpd.wire.vocabulary import (
    ENGINES,
    Codec,
    JobState,
    OutputMode,
    Priority,
    Queue,
    SortKey,
    VerifyMode,
    VmafMode,
)

STATES: Final = tuple(str(state) for state in JobState)
QUEUES: Final = tuple(str(queue) for queue in Queue)
LIST_DEFAULT: Final = 100


def _words(known: tuple[str, ...], kind: Callable[[str], Any]) -> Callable[[str], tuple[Any, ...]]:
    def convert(text: str) -> tuple[Any, ...]:
        found = []
        for word in text.split(","):
            if word not in known:
                raise ValueError(f"{word!r} is not one of {', '.join(known)}{did_you_mean(word, known)}")
            found.append(kind(word))
        return tuple(found)

    return convert


def _sort(text: str) -> dict[str, Any]:
    from ffrtmp_tui.filters import job_order

    return job_order(text)


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise ValueError(f"{text!r} is no whole number from 1 on")
    return int(text)


_ONE: Final = Argument(
    names=("job",), metavar="ID", help="job id or its number (job-000123, job-123 or 123), or `last`", kind="job"
)
_MANY: Final = Argument(
    names=("job",),
    metavar="ID",
    help="job ids or their numbers (job-000123, job-123 or 123), `1,3,5-8`, or `last`",
    many=True,
    optional=True,
    kind="job",
)
_YES: Final = Argument(names=("--yes", "-y"), help="do not ask before acting on a range or a filter", flag=True)
_FILTER: Final = Argument(
    names=("--filter",),
    metavar="FILTER",
    many=True,
    kind="job filter",
    help="all that fit, in place of ids: 'state:queued queue:batch label:show=a age:>1d h264'",
)
_FOLLOW: Final = Argument(names=("--follow",), help="show progress until it is done", flag=True)

SPEC_ARGUMENTS: Final = (
    Argument(
        names=("--input", "-i"),
        metavar="PATH",
        help="path or URL on the node; without it, a generated source",
        kind="file",
    ),
    Argument(names=("--output",), metavar="PATH", help="path or URL; without it, <job id>.mp4 in the node's folder"),
    Argument(
        names=("--output-mode",),
        choices=tuple(str(mode) for mode in OutputMode),
        help="file, or how the output URL is fed; told by the URL where it is one",
    ),
    Argument(names=("--queue",), choices=QUEUES, help="queue, default unless said"),
    Argument(
        names=("--priority",), choices=tuple(str(priority) for priority in Priority), help="priority within the queue"
    ),
    Argument(names=("--duration",), metavar="TIME", convert=units.duration, help="of media: 90, 90s, 2m or 00:01:30"),
    Argument(names=("--bitrate",), metavar="RATE", convert=units.bitrate, help="5M, 800k or plain bits per second"),
    Argument(names=("--codec",), choices=tuple(str(codec) for codec in Codec), help="instead of the scenario's"),
    Argument(names=("--preset",), metavar="NAME", help="the encoder's speed preset"),
    Argument(names=("--encoder",), metavar="NAME", help="this encoder and no other, such as libx264"),
    Argument(names=("--engine",), choices=tuple(str(engine) for engine in ENGINES), help="which program encodes"),
    Argument(names=("--require-gpu",), help="only a hardware encoder will do", flag=True),
    Argument(names=("--vmaf",), choices=tuple(str(mode) for mode in VmafMode), help="how much of a file is scored"),
    Argument(names=("--vmaf-floor",), metavar="N", convert=units.number, help="below this mean nothing is published"),
    Argument(names=("--psnr",), help="measure PSNR too", flag=True),
    Argument(names=("--ssim",), help="measure SSIM too", flag=True),
    Argument(
        names=("--verify",),
        choices=tuple(str(mode) for mode in VerifyMode),
        help="how a file is checked before it is published: probed, or decoded to its end too",
    ),
    Argument(names=("--timeout",), metavar="TIME", convert=units.duration, help="that an attempt may take"),
    Argument(names=("--max-attempts",), metavar="N", convert=_count, help="before a transient failure is final"),
    Argument(names=("--not-before",), metavar="WHEN", help="2026-05-01T22:00, +10m or Unix seconds"),
    Argument(names=("--label",), metavar="NAME=VALUE", convert=units.label, many=True, help="a free name and value"),
)

NOUN: Final = Noun(
    name="jobs",
    help="submit, list, watch and change jobs",
    verbs=(
        Verb(
            name="submit",
            help="add a job, or all jobs of a manifest",
            run=job_verbs.submit,
            arguments=(
                Argument(
                    names=("scenario",),
                    help="<resolution>[<fps>]-<codec> or a name from `ffrtmp scenarios list`",
                    optional=True,
                    kind="scenario",
                ),
                Argument(
                    names=("--scenario",),
                    metavar="SCENARIO",
                    help="the same as a flag",
                    dest="scenario_flag",
                    kind="scenario",
                ),
                *SPEC_ARGUMENTS,
                Argument(
                    names=("-f", "--file"),
                    metavar="FILE",
                    kind="file",
                    local=True,
                    help="manifest of jobs, or - for standard input: JSON, JSON lines, CSV or TOML; "
                    "the other arguments are what its jobs leave out",
                ),
                Argument(
                    names=("--file-format",),
                    choices=("json", "jsonl", "csv", "toml"),
                    help="of the manifest; told by its name or its first character otherwise",
                ),
                Argument(
                    names=("--idempotency-key",),
                    metavar="KEY",
                    help="8 to 128 characters; submitted again with the same key, the same job is answered",
                ),
                Argument(
                    names=("--wait",),
                    help="until every job is done; exit code 10 or 11 if one is not completed",
                    flag=True,
                ),
                Argument(names=("--follow",), help="as --wait, with progress", flag=True),
                Argument(
                    names=("--wait-timeout",),
                    metavar="TIME",
                    convert=units.duration,
                    help="give up waiting after it (exit code 7); the job goes on",
                ),
                Argument(
                    names=("--dry-run",), help="check and show what would be submitted; submit nothing", flag=True
                ),
            ),
            examples=(
                ("ffrtmp jobs submit 1080p30-h264 --input talk.mov --follow", "encode a file and watch it"),
                ("ffrtmp jobs submit 720p60-h265 --duration 30 --bitrate 4M --queue batch", "a generated source"),
                ("ffrtmp jobs submit 720p30-h264 --queue live --output rtmp://host/live/key", "push to an ingest"),
                ("ffrtmp jobs submit -f night.csv --queue batch -q > ids", "a manifest, ids kept"),
            ),
        ),
        Verb(
            name="list",
            help="list jobs, newest first",
            run=job_verbs.list_jobs,
            arguments=(
                Argument(
                    names=("--state",),
                    metavar="STATE[,STATE]",
                    convert=_words(STATES, JobState),
                    many=True,
                    kind="states",
                    help="only these: " + ", ".join(STATES),
                ),
                Argument(
                    names=("--queue",),
                    metavar="QUEUE[,QUEUE]",
                    convert=_words(QUEUES, Queue),
                    many=True,
                    kind="queues",
                    help="only these: " + ", ".join(QUEUES),
                ),
                Argument(names=("--node",), metavar="NODE", help="only jobs of this node", kind="node"),
                Argument(
                    names=("--filter",),
                    metavar="FILTER",
                    many=True,
                    kind="job filter",
                    help="only what fits all terms: state:, queue:, priority:, node:, engine:, label:NAME=VALUE, "
                    "age:<1h or age:>1d, and a bare word for a part of the scenario",
                ),
                Argument(
                    names=("--sort",),
                    metavar="KEY[:desc]",
                    convert=_sort,
                    kind="job order",
                    help="by " + ", ".join(SortKey),
                ),
                Argument(
                    names=("--limit",),
                    metavar="N",
                    convert=_count,
                    default=LIST_DEFAULT,
                    help=f"jobs at most, {LIST_DEFAULT} unless said",
                ),
                Argument(names=("--all",), help="every job", flag=True),
                Argument(names=("--oldest",), help="oldest first", flag=True),
            ),
            examples=(
                ("ffrtmp jobs list --state processing,paused -o wide", "what runs, with figures"),
                ("ffrtmp jobs list --filter state:failed --filter age:<1h", "what failed within the hour"),
                ("ffrtmp jobs list --state completed --sort vmaf", "the poorest results first"),
                ("ffrtmp jobs list -o custom-columns=ID:job_id,progress.percent", "columns of your own"),
                ("ffrtmp jobs list --all --queue batch -o csv", "the whole batch queue, for a spreadsheet"),
            ),
        ),
        Verb(
            name="status",
            help="show everything about a job",
            run=job_verbs.show_status,
            arguments=(_ONE, _FOLLOW),
            examples=(
                ("ffrtmp jobs status last --follow", "watch the newest job to its end"),
                ("ffrtmp jobs status 123 -o json", "for a script"),
            ),
        ),
        Verb(
            name="wait",
            help="wait until jobs are done, or have reached a state",
            run=job_verbs.wait,
            arguments=(
                _MANY,
                _FILTER,
                Argument(names=("--for",), metavar="STATE", choices=STATES, help="state to wait for", dest="until"),
                Argument(
                    names=("--timeout",), metavar="TIME", convert=units.duration, help="give up after it (exit code 7)"
                ),
            ),
            examples=(
                ("ffrtmp jobs wait 12,15-18 --timeout 10m", "until all of them are done"),
                ("ffrtmp jobs wait last --for processing", "until it runs"),
                ("ffrtmp jobs wait --filter label:show=a", "until all jobs of a show are done"),
            ),
        ),
        Verb(
            name="cancel",
            help="cancel jobs; running ones are stopped and their partial output removed",
            run=job_verbs.cancel,
            arguments=(_MANY, _FILTER, _YES),
            examples=(
                ("ffrtmp jobs cancel job-000123", "one job"),
                ("ffrtmp jobs cancel --filter queue:batch", "the batch queue"),
            ),
        ),
        Verb(
            name="pause",
            help="freeze running jobs, hold waiting ones",
            run=job_verbs.pause,
            arguments=(_MANY, _FILTER, _YES),
            examples=(("ffrtmp jobs pause last", "the newest job"),),
        ),
        Verb(
            name="resume",
            help="let paused jobs go on",
            run=job_verbs.resume,
            arguments=(_MANY, _FILTER, _YES),
            examples=(("ffrtmp jobs resume last", "the newest job"),),
        ),
        Verb(
            name="retry",
            help="queue failed or canceled jobs anew",
            run=job_verbs.retry,
            arguments=(_MANY, _FILTER, _YES),
            examples=(("ffrtmp jobs retry 12,14", "two jobs"),),
        ),
        Verb(
            name="logs",
            help="write the log of a job's encoder",
            run=job_verbs.logs,
            arguments=(
                _ONE,
                Argument(names=("--attempt",), metavar="N", convert=_count, help="which attempt; else the last"),
                Argument(names=("--tail",), metavar="LINES", convert=_count, help="only the last lines"),
                Argument(names=("--follow",), help="go on until the attempt has ended", flag=True),
            ),
            examples=(("ffrtmp jobs logs last --tail 20", "how the newest job ended"),),
        ),
        Verb(
            name="explain",
            help="say why a job is where it is",
            run=job_verbs.explain,
            arguments=(_ONE,),
            examples=(("ffrtmp jobs explain last", "its place, and what each node says to it"),),
        ),
    ),
)
