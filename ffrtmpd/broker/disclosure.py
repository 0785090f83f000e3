"""What those who may only read do not see: the secrets that URLs carry."""

import re
from dataclasses import replace
from typing import Final

from ffrtmpd.wire.messages.jobs import JobSpec, JobView, Report
from ffrtmpd.wire.vocabulary import Role

HIDDEN: Final = "***"
_USER: Final = re.compile(r"(?<=://)[^/@\s]+@")
# The last part of an RTMP path is the stream key.
_STREAM_KEY: Final = re.compile(r"(rtmps?://[^\s/'\"]+/(?:[^\s/'\"]+/)*)[^\s/'\"]+")
_QUERY: Final = re.compile(r"(?<=://)([^\s?]+\?)\S+")


def sees_secrets(role: Role) -> bool:
    """Tell whether a key of this role may see the URLs that jobs push to and read from whole."""
    return role is not Role.VIEWER


def masked(text: str) -> str:
    """Return ``text`` with user names, passwords, stream keys and queries of its URLs hidden."""
    if "://" not in text:
        return text
    text = _QUERY.sub(rf"\g<1>{HIDDEN}", _USER.sub(f"{HIDDEN}@", text))
    return _STREAM_KEY.sub(rf"\g<1>{HIDDEN}", text)


def _masked(text: str | None) -> str | None:
    return None if text is None else masked(text)


def masked_view(view: JobView) -> JobView:
    """Return a job without the secrets of its URLs."""
    return replace(view, output=_masked(view.output), reason=_masked(view.reason))


def masked_spec(spec: JobSpec) -> JobSpec:
    """Return a spec without the secrets of its URLs."""
    return replace(spec, input=_masked(spec.input), output=_masked(spec.output))


def masked_report(report: Report | None) -> Report | None:
    """Return a report without the secrets of its URLs."""
    if report is None:
        return None
    return replace(
        report,
        command=tuple(masked(word) for word in report.command),
        output=_masked(report.output),
        log_tail=_masked(report.log_tail),
    )
