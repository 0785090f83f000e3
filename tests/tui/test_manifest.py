"""Manifests in each form, and what is wrong with bad ones."""

from pathlib import Path

import pytest

from ffrtmp_tui import manifest
from ffrtmp_tui.failures import Exit, Failure
from ffrtmp_tui.submit import batches
from ffrtmpd.wire.codec import MESSAGE_MAX, encode
from ffrtmpd.wire.messages.jobs import JobSpec, Submission, Submit
from ffrtmpd.wire.vocabulary import Codec, OutputMode, Queue
from tests.tui.commands import piped

CASES = {
    "json": '[{"scenario": "720p-h264", "duration": "90s", "labels": {"a": "1"}},'
    ' {"scenario": "480p-vp9", "key": "k-12345678"}]',
    "jsonl": '{"scenario": "720p-h264", "duration": 90, "labels": "a=1"}\n\n'
    '{"scenario": "480p-vp9", "idempotency_key": "k-12345678"}\n',
    "csv": "scenario,duration,labels,key\n720p-h264,00:01:30,a=1,\n480p-vp9,,,k-12345678\n",
    "toml": '[[jobs]]\nscenario = "720p-h264"\nduration_s = 90.0\nlabels = { a = "1" }\n'
    '[[jobs]]\nscenario = "480p-vp9"\nkey = "k-12345678"\n',
}


@pytest.mark.parametrize("form", sorted(CASES))
@pytest.mark.parametrize("named", [True, False])
def test_each_form_gives_the_same_jobs_by_name_or_by_look(form: str, named: bool, tmp_path: Path) -> None:
    path = tmp_path / "jobs.{}".format(form if named else "txt")
    path.write_text(CASES[form])
    source = str(path) if named else "-"
    first, second = manifest.read(source, form=None, stdin=piped(CASES[form]))
    spec = manifest.spec(first.fields, {"queue": "batch"}, now_s=0)
    assert spec == JobSpec(scenario="720p-h264", duration_s=90.0, labels={"a": "1"}, queue=Queue.BATCH)
    assert (first.key, second.key) == (None, "k-12345678")


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ('{"scenario": "a"}', "json"),
        ('{\n"jobs": []}', "json"),
        ('{"scenario": "a"}\n{"scenario": "b"}', "jsonl"),
        ("[[jobs]]", "toml"),
        ("[1]", "json"),
        ('scenario = "a"', "toml"),
        ("scenario,queue\na,b", "csv"),
    ],
)
def test_form_is_told_by_the_look(text: str, form: str) -> None:
    assert manifest.guess_form("-", text) == form


@pytest.mark.parametrize(
    ("form", "text", "said"),
    [
        ("json", "[", "no json manifest"),
        ("json", "[1]", "a job is a table"),
        ("json", "[]", "standard input holds no job"),
        ("json", "3", "expected a list"),
        ("jsonl", '{"a": 1}\n{', "line 2"),
        ("csv", "scenario\na,b\n", "more fields"),
        ("toml", "x =", "no toml manifest"),
        ("toml", "[[jobs]]\nduration_s = " + "9" * 5_000, "no toml manifest"),
        ("json", "[" * 100_000, "no json manifest: it is nested too deep"),
        ("jsonl", "[" * 100_000, "no jsonl manifest: it is nested too deep"),
        ("json", '{"queue": "batch", "jobs": [{"scenario": "a"}]}', "nothing reads 'queue' beside 'jobs'"),
        ("toml", 'queue = "batch"\n[[jobs]]\nscenario = "a"', "nothing reads 'queue' beside 'jobs'"),
        ("json", '{"jobs": [], "jobs": []}', "'jobs' is said twice"),
        ("json", '[{}, {"queue": "live", "queue": "batch"}]', "job 2: 'queue' is said twice"),
        ("json", '[{"labels": {"a": "1", "a": "2"}}]', "job 1: 'a' is said twice"),
        ("jsonl", '{}\n{"queue": "live", "queue": "batch"}', "line 2: 'queue' is said twice"),
        ("csv", "\nqueue,scenario,queue\nlive,a,batch\n", "line 2: the column 'queue' is there twice"),
        ("json", '[{"key": "k-12345678", "idempotency_key": "k-87654321"}]', "job 1: idempotency_key and key are the"),
        ("jsonl", '{"key": [1, 2, 3, 4]}', "line 1: key is no text"),
        ("jsonl", '{"key": true}', "line 1: key is no text"),
    ],
)
def test_manifest_of_no_form_is_a_usage_error(form: str, text: str, said: str) -> None:
    with pytest.raises(Failure, match=said) as raised:
        manifest.read("-", form=form, stdin=piped(text))
    assert raised.value.exit_code == Exit.USAGE


@pytest.mark.parametrize(
    ("form", "data"),
    [
        ("csv", b"\xef\xbb\xbfscenario,queue\n720p-h264,live\n"),
        ("csv", b"scenario,queue\r720p-h264,live\r"),
        ("csv", b"\n  \nscenario,queue\r\n720p-h264,live\r\n"),
        ("jsonl", b'\r\r{"scenario": "720p-h264", "queue": "live"}\r'),
        ("json", b'\xef\xbb\xbf{"scenario": "720p-h264", "queue": "live"}'),
        ("csv", b"scenario,input\n720p-h264,/caf\xe9.mov\n"),
    ],
)
def test_same_bytes_are_the_same_manifest_from_a_file_and_from_a_pipe(form: str, data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "jobs"
    path.write_bytes(data)
    told = []
    for source in (str(path), "-"):
        try:
            told.append([dict(entry.fields) for entry in manifest.read(source, form=form, stdin=piped(data))])
        except Failure as failure:
            told.append([{"error": failure.message.replace(str(path), "standard input")}])
    bad = {"error": "standard input is not text in UTF-8"}
    assert told == [[bad if b"\xe9" in data else {"scenario": "720p-h264", "queue": "live"}]] * 2


def test_line_of_json_ends_where_the_line_ends_and_nowhere_else() -> None:
    for mark in "\u2028\x85\x0c":
        line = f'{{"scenario": "720p-h264", "input": "/a{mark}b"}}'.replace("\x0c", "\\f")
        first, second = manifest.read("-", form="jsonl", stdin=piped(f"{line}\n{line}\n"))
        assert (first.where, second.where) == ("line 1", "line 2")
        assert first.fields["input"] == f"/a{mark}b"


def test_lines_of_csv_are_counted_as_they_stand() -> None:
    entries = manifest.read("-", form="csv", stdin=piped('\n\nscenario,input\na,"x\ny"\n\nb\n'))
    assert [(entry.where, dict(entry.fields)) for entry in entries] == [
        ("line 5", {"scenario": "a", "input": "x\ny"}),
        ("line 7", {"scenario": "b"}),
    ]


def test_missing_or_binary_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="No such file"):
        manifest.read(str(tmp_path / "none"), form=None, stdin=piped(""))
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Failure, match="not text in UTF-8"):
        manifest.read(str(tmp_path / "binary"), form=None, stdin=piped(""))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"scenario": "a", "queu": "live"}, "unknown field 'queu', did you mean 'queue'"),
        ({"scenario": "a", "queue": "lve"}, "did you mean 'live'"),
        ({"scenario": "a", "duration": "soon"}, "duration: 'soon' is no duration"),
        ({"scenario": "a", "max_attempts": "x"}, "no whole number"),
        ({"scenario": "a", "require_gpu": "perhaps"}, "neither true nor false"),
        ({"scenario": "a", "labels": 3}, "labels: expected a map"),
        ({"scenario": "a", "input": "/caf\ud800.mov"}, r"input: '/caf\\ud800.mov' is not text in UTF-8"),
        ({"scenario": "\udce9"}, "scenario: .* is not text in UTF-8"),
        ({"scenario": "a", "labels": {"\ud800": "1"}}, "labels: .* is not text in UTF-8"),
        ({"scenario": "a", "labels": {"a": "\ud800"}}, "labels: .* is not text in UTF-8"),
        ({"scenario": "a", "labels": {"x": None}}, "labels: the value of 'x' is no text"),
        ({"scenario": "a", "labels": {"x": True}}, "labels: the value of 'x' is no text"),
        ({"scenario": "a", "labels": {"x": [1]}}, "labels: the value of 'x' is no text"),
        ({"scenario": "a", "labels": {"x": 1.10}}, "labels: the value of 'x' is no text"),
        ({"scenario": "a", "labels": "x=1;x=2"}, "labels: 'x' is said twice"),
        ({"scenario": "a", "duration": "1s", "duration_s": 2}, "duration and duration_s are the same, and both are"),
        ({}, "scenario: missing"),
    ],
)
def test_bad_field_is_named(fields: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        manifest.spec(fields, {}, now_s=0)


def test_fields_win_over_defaults_and_labels_are_joined() -> None:
    defaults = {"scenario": "a", "codec": "h264", "labels": {"a": "1", "b": "1"}}
    spec = manifest.spec(
        {"codec": "av1", "labels": "b=2", "require_gpu": "yes", "not_before": "+1m"}, defaults, now_s=5
    )
    assert spec.codec is Codec.AV1
    assert spec.labels == {"a": "1", "b": "2"}
    assert manifest.spec({"labels": {"season": 3}, "duration": "", "duration_s": 4}, defaults, now_s=5).labels == {
        "a": "1",
        "b": "1",
        "season": "3",
    }
    assert spec.require_gpu
    assert spec.not_before == 65


@pytest.mark.parametrize(
    ("output", "mode"),
    [
        ("rtmp://h/live/k", OutputMode.RTMP),
        ("srt://h:9", OutputMode.SRT),
        ("https://h/x", OutputMode.STREAM),
        ("/srv/a.mp4", OutputMode.FILE),
        (None, OutputMode.FILE),
    ],
)
def test_output_mode_is_told_by_the_url(output: str | None, mode: OutputMode) -> None:
    assert manifest.spec({"scenario": "a", "output": output}, {}, now_s=0).output_mode is mode


def test_explicit_output_mode_wins_over_the_url() -> None:
    spec = manifest.spec({"scenario": "a", "output": "rtmp://h/k", "output_mode": "stream"}, {}, now_s=0)
    assert spec.output_mode is OutputMode.STREAM


def test_batches_fit_a_message_and_lose_nothing() -> None:
    long = [
        Submission(key=f"key-{number:08d}", spec=JobSpec(scenario="a", input="/" + "x" * 4_000))
        for number in range(700)
    ]
    short = [Submission(key=f"key-{number:08d}", spec=JobSpec(scenario="a")) for number in range(2_500)]
    assert [len(batch) for batch in batches(short)] == [1_000, 1_000, 500]
    split = list(batches(long))
    assert len(split) > 1
    assert [submission for batch in split for submission in batch] == long
    assert all(len(encode(Submit(request_id="r", jobs=batch))[2]) < MESSAGE_MAX for batch in split)
