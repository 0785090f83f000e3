"""Wire types in the columns that hold them."""

from ffrtmpd.store.records import REMEMBERED_MAX, Remembered
from ffrtmpd.wire.messages.jobs import JobSpec


def test_long_spec_is_not_remembered_and_reads_back_all_the_same() -> None:
    remembered = Remembered(JobSpec, 8)
    short = JobSpec(scenario="720p30-h264", labels={"show": "a"})
    long = JobSpec(
        scenario="720p30-h264", labels={f"show-{number}": "a" * 4_096 for number in range(REMEMBERED_MAX // 4_096)}
    )
    texts = [remembered.dump(spec) for spec in (short, long)]
    assert list(remembered._known) == texts[:1]
    assert [remembered.load(text) for text in texts] == [short, long]
    assert list(remembered._known) == texts[:1]
