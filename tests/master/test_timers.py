from ffrtmpd.timers import Timers


def test_due_keys_come_earliest_first_and_once() -> None:
    timers: Timers[str] = Timers()
    timers.set("late", 3.0)
    timers.set("early", 1.0)
    timers.set("dropped", 2.0)
    timers.drop("dropped")
    assert timers.next() == 1.0
    assert timers.due(3.0) == ["early", "late"]
    assert (timers.due(9.0), timers.next()) == ([], None)


def test_set_moves_a_moment_and_hasten_only_brings_it_forward() -> None:
    timers: Timers[str] = Timers()
    timers.hasten("key", 5.0)
    timers.hasten("key", 7.0)
    assert timers.next() == 5.0
    timers.hasten("key", 4.0)
    assert timers.next() == 4.0
    timers.set("key", 8.0)
    assert timers.due(7.0) == []
    assert timers.due(8.0) == ["key"]
