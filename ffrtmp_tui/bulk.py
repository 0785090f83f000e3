"""Doing one thing to many: the question before, what happened to each, and the exit code at the end."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from ffrtmp_tui.failures import Exit, Failure, usage
from ffrtmp_tui.link import Unreachable
from ffrtmp_tui.run import Run

if TYPE_CHECKING:
    from ffrtmp_tui.fit import Column

V = TypeVar("V")


def confirm(run: Run, count: int, kind: str) -> None:
    """Ask whether the verb is meant for ``count`` things of a ``kind``; ``--yes`` says so beforehand.

    Raises:
        Failure: it is not, or nobody is here to ask.
    """
    if run.args.yes:
        return
    what = f"{run.args.verb_word} {count} {kind}{'' if count == 1 else 's'} of {run.context_name}"
    if not (run.stdin.isatty() and run.terminal.err_shows):
        raise usage(f"this would {what}, and nobody is here to ask", "say --yes if it is meant")
    run.terminal.err.write(f"{what[0].upper()}{what[1:]}? Type yes to go on: ")
    run.terminal.err.flush()
    if run.stdin.readline().strip().lower() != "yes":
        raise Failure(Exit.FAILED, "nothing was changed", code="declined")


def act(
    run: Run,
    words: Sequence[str],
    ask: Callable[[Sequence[str]], Sequence[V | Failure]],
    *,
    at_once: int = 1,
    kind: str,
    told: Callable[[V], str],
    columns: "Sequence[Column]",
    name_of: Callable[[V], str],
) -> Exit:
    """Do it to each of ``words`` by ``ask``, say how each ended, and return how the command does.

    ``ask`` is given ``at_once`` of them at most, and returns what became of each. ``kind`` is ``job`` or ``node``.
    ``told`` is what a person reads of one to which it was done.

    Raises:
        Failure: it was to be done to one thing, or could not even be begun.
    """
    done: list[V] = []
    problems: list[tuple[str, Failure]] = []
    away: Unreachable | None = None
    for begin in range(0, len(words), at_once):
        part = words[begin : begin + at_once]
        # A master that did not answer is not asked for those that are left.
        found = [away] * len(part) if away is not None else _asked(ask, part)
        for word, what in zip(part, found, strict=True):
            if isinstance(what, Failure):
                if len(words) == 1 or (isinstance(what, Unreachable) and not done and not problems):
                    raise what
                away = what if isinstance(what, Unreachable) else away
                problems.append((word, what))
                run.terminal.say(f"error: {word}: {what.message}")
            else:
                done.append(what)
                if run.form in ("table", "wide"):
                    run.terminal.write(f"{run.terminal.tick} {told(what)}")
    if run.form not in ("table", "wide"):
        errors: list[dict[str, Any]] = [{kind: word, **failure.as_plain()} for word, failure in problems]
        run.show_list(f"{kind}s", done, columns, name_of=name_of, extra={"errors": errors})
    return outcome(len(done), [failure.exit_code for _, failure in problems])


def each(ask: Callable[[str], V]) -> Callable[[Sequence[str]], list[V | Failure]]:
    """Return how `act` asks for one thing after the other."""
    return lambda words: [ask(word) for word in words]


def _asked(ask: Callable[[Sequence[str]], Sequence[V | Failure]], part: Sequence[str]) -> Sequence[V | Failure]:
    try:
        return ask(part)
    except Failure as failure:
        return [failure] * len(part)


def outcome(done: int, problems: list[Exit]) -> Exit:
    """Return how a bulk ends: ok, the one way in which everything failed, or partly failed."""
    if not problems:
        return Exit.OK
    return problems[0] if done == 0 and len(set(problems)) == 1 else Exit.PARTLY_FAILED
