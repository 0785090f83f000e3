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
    ask: Callable[[str], V],
    *,
    kind: str,
    told: Callable[[V], str],
    columns: "Sequence[Column]",
    name_of: Callable[[V], str],
) -> Exit:
    """Do it to each of ``words`` by ``ask``, say how each ended, and return how the command does.

    ``kind`` is ``job`` or ``node``. ``told`` is what a person reads of one to which it was done.

    Raises:
        Failure: it was to be done to one thing, or could not even be begun.
    """
    done: list[V] = []
    problems: list[tuple[str, Failure]] = []
    away: Unreachable | None = None
    for word in words:
        try:
            if away is not None:
                # A master that did not answer is not asked for each of those that are left.
                raise away
            found = ask(word)
        except Failure as failure:
            if len(words) == 1:
                raise
            if isinstance(failure, Unreachable):
                if not done and not problems:
                    raise
                away = failure
            problems.append((word, failure))
            run.terminal.say(f"error: {word}: {failure.message}")
            continue
        done.append(found)
        if run.form in ("table", "wide"):
            run.terminal.write(f"{run.terminal.tick} {told(found)}")
    if run.form not in ("table", "wide"):
        errors: list[dict[str, Any]] = [{kind: word, **failure.as_plain()} for word, failure in problems]
        run.show_list(f"{kind}s", done, columns, name_of=name_of, extra={"errors": errors})
    return outcome(len(done), [failure.exit_code for _, failure in problems])


def outcome(done: int, problems: list[Exit]) -> Exit:
    """Return how a bulk ends: ok, the one way in which everything failed, or partly failed."""
    if not problems:
        return Exit.OK
    return problems[0] if done == 0 and len(set(problems)) == 1 else Exit.PARTLY_FAILED
