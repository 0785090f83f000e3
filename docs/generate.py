"""Fills the generated parts of the documents, and the sample settings, from the code: they cannot say something else.

``python docs/generate.py`` writes them, ``--check`` only tells whether they are up to date.
A part stands between ``<!-- generated: NAME -->`` and ``<!-- end -->``.
"""

import json
import re
import sys
import tomllib
import types
from collections.abc import Callable, Iterable
from dataclasses import is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

from docs import daemon_manual
from ffrtmp_tui import manual
from ffrtmp_tui.completion import SCRIPTS
from ffrtmp_tui.console.keymap import ANYWHERE, KEYS, WORDS, shown_key
from ffrtmp_tui.console.palette import DARK
from ffrtmp_worker.config import TITLE as WORKER_TITLE
from ffrtmp_worker.config import Settings as WorkerSettings
from ffrtmp_worker.metrics import WorkerMetrics, WorkerSnapshot
from ffrtmpd.base.settings import sample
from ffrtmpd.config import sample_settings
from ffrtmpd.lifecycle import diagram
from ffrtmpd.metrics import MasterMetrics, Snapshot
from ffrtmpd.wire import codec, schema, vocabulary
from ffrtmpd.wire.catalogue import CLIENT_REPLIES, MASTER_TO_WORKER, PERMISSIONS, WORKER_TO_MASTER
from ffrtmpd.wire.codec import Message
from ffrtmpd.wire.media import ENCODERS
from ffrtmpd.wire.messages.nodes import Hardware
from ffrtmpd.wire.schema import FieldInfo, fields_of

HERE = Path(__file__).parent
CONF = HERE.parent / "conf"
# By the names under which the shells look for them.
COMPLETIONS = {"bash": "ffrtmp", "zsh": "_ffrtmp", "fish": "ffrtmp.fish"}
PART = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def type_name(hint: Any) -> str:
    """Return a type as the documents spell it."""
    origin = get_origin(hint)
    if origin is Annotated:
        return type_name(get_args(hint)[0])
    if origin in (Union, types.UnionType):
        return type_name(next(arg for arg in get_args(hint) if arg is not type(None)))
    if origin is tuple:
        return f"list of {type_name(get_args(hint)[0])}"
    if origin is dict:
        return "map of text to text"
    plain = {str: "text", bytes: "bytes", int: "whole number", float: "number", bool: "true/false"}
    if hint in plain:
        return plain[hint]
    return f"[{hint.__name__}](#{hint.__name__.lower()})"


def bounds(info: FieldInfo) -> str:
    """Return the limits of a field."""
    if info.size:
        return f"length {info.size.least} to {info.size.most}"
    if info.range:
        return f"{info.range.least:g} to {info.range.most:g}"
    return ""


def default(info: FieldInfo) -> str:
    """Return what an absent field means."""
    if info.required:
        return "required"
    if info.default is None:
        return "absent"
    if isinstance(info.default, bool):
        return str(info.default).lower()
    if info.default in ((), {}, ""):
        return "empty"
    return f"`{info.default}`"


def fields_table(cls: type) -> list[str]:
    """Return the fields of a message or record as a Markdown table."""
    rows = fields_of(cls)
    if not rows:
        return ["No fields."]
    lines = ["| field | type | default | limits | meaning |", "| --- | --- | --- | --- | --- |"]
    lines += [
        f"| `{info.name}` | {type_name(info.type)} | {default(info)} | {bounds(info)} | {info.help} |" for info in rows
    ]
    return lines


def doc(cls: type) -> str:
    """Return the docstring of a class as one paragraph."""
    return " ".join((cls.__doc__ or "").split())


def message_part(classes: Iterable[type[Message]]) -> str:
    """Return one section a message."""
    lines: list[str] = []
    for cls in classes:
        lines += [f"#### `{cls.TYPE}`", "", doc(cls), ""]
        if cls in PERMISSIONS:
            roles = ", ".join(sorted(PERMISSIONS[cls]))
            lines += [f"Roles: {roles}.", ""]
        lines += [*fields_table(cls), ""]
    return "\n".join(lines)


def records() -> str:
    """Return every record and vocabulary that a message mentions."""
    classes = [*PERMISSIONS, *CLIENT_REPLIES.values(), *WORKER_TO_MASTER.values(), *MASTER_TO_WORKER.values()]
    found: dict[str, type] = {}
    for cls in classes:
        _collect(cls, found)
    lines: list[str] = []
    for name, cls in sorted(found.items()):
        lines += [f"#### {name}", "", doc(cls), ""]
        if issubclass(cls, StrEnum):
            lines += [", ".join(f"`{member}`" for member in cls), ""]
        else:
            lines += [*fields_table(cls), ""]
    return "\n".join(lines)


def _collect(cls: type, found: dict[str, type]) -> None:
    for info in fields_of(cls):
        hint = info.type
        while get_args(hint):
            hint = next(arg for arg in get_args(hint) if arg is not type(None))
        named = isinstance(hint, type) and (is_dataclass(hint) or issubclass(hint, StrEnum))
        if named and hint.__name__ not in found:
            record: type = hint
            found[hint.__name__] = record
            if is_dataclass(record):
                _collect(record, found)


def limits() -> str:
    """Return what the decoder accepts at most."""
    rows = [
        ("message", f"{codec.MESSAGE_MAX:,} bytes a frame"),
        ("batch", f"2 to {codec.BATCH_MAX} messages"),
        ("text and bytes", f"{codec.TEXT_MAX:,}"),
        ("list", f"{codec.ARRAY_MAX:,} items"),
        ("map", f"{codec.MAP_MAX} entries, no key twice, keys are text"),
        ("whole number", f"{schema.INT_MIN} to {schema.INT_MAX}"),
        ("number", "finite"),
        ("extension types", "none"),
    ]
    return "\n".join(["| what | limit |", "| --- | --- |", *(f"| {what} | {limit} |" for what, limit in rows), ""])


def error_codes() -> str:
    """Return the codes of refused requests."""
    return ", ".join(f"`{code}`" for code in vocabulary.ErrorCode) + "\n"


def encoders() -> str:
    """Return the encoders known by name."""
    lines = ["| encoder | codec | hardware | engine |", "| --- | --- | --- | --- |"]
    lines += [f"| `{e.name}` | {e.codec} | {e.hardware or '-'} | {e.engine} |" for e in ENCODERS.values()]
    return "\n".join([*lines, ""])


def master_metrics() -> str:
    """Return the metrics of a master."""
    collector = MasterMetrics(version="", sqlite="")
    collector.snapshot = Snapshot()
    return metrics_table(collector)


def worker_metrics() -> str:
    """Return the metrics of a worker."""
    collector = WorkerMetrics()
    collector.snapshot = WorkerSnapshot(node_id="", slots=1, hardware=Hardware(hostname=""))
    return metrics_table(collector)


def metrics_table(collector: MasterMetrics | WorkerMetrics) -> str:
    """Return what a collector yields, as it describes itself."""
    lines = ["| metric | type | labels | meaning |", "| --- | --- | --- | --- |"]
    for family in collector.collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = ", ".join(getattr(family, "_labelnames", ()))
        kind = "untyped" if family.type == "unknown" else family.type
        lines.append(f"| `{name}` | {kind} | {labels} | {family.documentation} |")
    return "\n".join([*lines, ""])


def dashboards() -> list[dict[str, Any]]:
    """Return the dashboards as they are written down."""
    found: list[dict[str, Any]] = tomllib.loads((CONF / "grafana" / "dashboards.toml").read_text())["dashboard"]
    return found


def panels() -> str:
    """Return every panel and what it is for."""
    lines: list[str] = []
    for board in dashboards():
        lines += [f"### `{board['name']}.json`", "", "| panel | for | needs |", "| --- | --- | --- |"]
        lines += [f"| {panel['title']} | {panel['purpose']} | {panel.get('needs', '')} |" for panel in board["panel"]]
        lines.append("")
    return "\n".join(lines)


def grafana(board: dict[str, Any]) -> str:
    """Return a dashboard as Grafana reads it: two panels a row."""
    width, height = 12, 8
    source = {"type": "prometheus", "uid": "${datasource}"}
    panels = [
        {
            "id": number + 1,
            "type": panel.get("kind", "timeseries"),
            "title": panel["title"],
            "description": panel["purpose"],
            "datasource": source,
            "gridPos": {"x": number % 2 * width, "y": number // 2 * height, "w": width, "h": height},
            "fieldConfig": {"defaults": {"unit": panel.get("unit", "short"), "min": 0}, "overrides": []},
            "targets": [
                {"refId": chr(ord("A") + index), "expr": query["expr"], "legendFormat": query["legend"]}
                for index, query in enumerate(panel["queries"])
            ],
        }
        for number, panel in enumerate(board["panel"])
    ]
    document = {
        "uid": f"ffrtmp-{board['name']}",
        "title": board["title"],
        "tags": ["ffrtmp"],
        "schemaVersion": 38,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [{"name": "datasource", "type": "datasource", "query": "prometheus"}]},
        "panels": panels,
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def console_keys() -> str:
    """Return the keys of the console."""
    lines = ["| key | where | what |", "| --- | --- | --- |"]
    for key in KEYS:
        names = " ".join(f"`{shown_key(name)}`" for name in key.keys)
        where = "anywhere" if key.where == ANYWHERE else ", ".join(sorted(key.where))
        lines.append(f"| {names} | {where} | {key.help} |")
    return "\n".join([*lines, ""])


def console_words() -> str:
    """Return the commands of the console's `:` line."""
    lines = ["| command | what |", "| --- | --- |"]
    lines += [f"| `:{' '.join((word.name, word.takes)).strip()}` | {word.help} |" for word in WORDS]
    return "\n".join([*lines, ""])


def console_styles() -> str:
    """Return the styles of the console and how the two themes show them."""
    lines = ["| style | 16 colours | 256 and more | without |", "| --- | --- | --- | --- |"]
    lines += [
        f"| `{s.name}` | {s.fg} on {s.bg} | {s.fg_high or s.fg} on {s.bg_high or s.bg} | {s.mono} |" for s in DARK
    ]
    return "\n".join([*lines, ""])


def console_screen() -> str:
    """Return a screen as the tests keep it."""
    text = (HERE.parent / "tests/console/screens/jobs-80x24.txt").read_text(encoding="utf-8")
    return f"```\n{text}```\n"


PARTS: dict[str, Callable[[], str]] = {
    "console-keys": console_keys,
    "console-words": console_words,
    "console-styles": console_styles,
    "console-screen": console_screen,
    "states": lambda: f"```mermaid\n{diagram().strip()}\n```\n",
    "client-requests": lambda: message_part(PERMISSIONS),
    "client-replies": lambda: message_part(CLIENT_REPLIES.values()),
    "worker-to-master": lambda: message_part(WORKER_TO_MASTER.values()),
    "master-to-worker": lambda: message_part(MASTER_TO_WORKER.values()),
    "records": records,
    "limits": limits,
    "error-codes": error_codes,
    "encoders": encoders,
    "master-metrics": master_metrics,
    "worker-metrics": worker_metrics,
    "panels": panels,
    "commands": manual.markdown,
}


def filled(text: str) -> str:
    """Return ``text`` with every generated part made anew."""
    return PART.sub(lambda match: f"{match[1]}{PARTS[match[2]]()}{match[3]}", text)


def generated() -> dict[Path, str]:
    """Return the files with generated parts as they should be."""
    files = {
        CONF / "ffrtmpd.toml": sample_settings(),
        CONF / "worker.toml": sample(WorkerSettings, WORKER_TITLE),
    }
    for board in dashboards():
        files[CONF / "grafana" / "dashboards" / f"{board['name']}.json"] = grafana(board)
    pages = manual.pages() | daemon_manual.pages()
    files.update((HERE / "man" / name, text) for name, text in pages.items())
    files.update((CONF / "completion" / COMPLETIONS[shell], text) for shell, text in SCRIPTS.items())
    documents = [*HERE.glob("*.md"), HERE.parent / "README.md"]
    files.update((path, filled(path.read_text())) for path in documents if PART.search(path.read_text()))
    return files


def main() -> int:
    """Write what is out of date, or with ``--check`` name it."""
    stale = {path: text for path, text in generated().items() if not path.exists() or path.read_text() != text}
    check = "--check" in sys.argv[1:]
    for path, text in stale.items():
        if check:
            print(f"{path.name} is out of date: run make docs")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            print(f"wrote {path.name}")
    return 1 if stale and check else 0


if __name__ == "__main__":
    sys.exit(main())
