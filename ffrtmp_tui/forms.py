"""The forms of output, and which of them is wanted."""

from argparse import Namespace
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from ffrtmp_tui.failures import Failure, did_you_mean, usage

if TYPE_CHECKING:
    from pathlib import Path

FORMS: Final = ("table", "wide", "json", "jsonl", "csv", "name")
CUSTOM: Final = "custom-columns="


def wanted_form(args: Namespace, environ: Mapping[str, str], system_file: "Path | None") -> str:
    """Return the form that ``args`` (form, quiet, context), else the environment, else the context asks for.

    Raises:
        Failure: environment or context name no form.
    """
    if args.form:
        return str(args.form)
    if args.quiet:
        return "name"
    where, form = "FFRTMP_OUTPUT", environ.get("FFRTMP_OUTPUT")
    if not form:
        where, form = _form_of_context(args.context, environ, system_file) or (where, "table")
    if form not in FORMS and not str(form).startswith(CUSTOM):
        raise usage(f"{where}: {form!r} is not one of {', '.join(FORMS)}{did_you_mean(str(form), FORMS)}")
    return str(form)


def _form_of_context(
    name: str | None, environ: Mapping[str, str], system_file: "Path | None"
) -> "tuple[str, Any] | None":
    from ffrtmp_tui import contexts

    try:
        return contexts.output(environ, context=name, system=system_file or contexts.SYSTEM_FILE)
    except Failure:
        # Who needs a context says what is wrong with the file.
        return None
