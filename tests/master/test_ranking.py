from hypothesis import given
from hypothesis import strategies as st

from ffrtmpd.ranking import SPARE, Ranking

KEYS = st.sampled_from("abcdef")


def test_first_is_smallest_and_earliest_set() -> None:
    ranking: Ranking[str, int] = Ranking()
    for key, rank in (("late", 2), ("first", 1), ("second", 1)):
        ranking.set(key, rank)
    assert ranking.first() == (1, "first")
    ranking.drop("first")
    assert ranking.first() == (1, "second")
    assert len(ranking) == 2


def test_empty_has_no_first() -> None:
    ranking: Ranking[str, int] = Ranking()
    ranking.set("a", 1)
    ranking.drop("a")
    ranking.drop("a")
    assert ranking.first() is None
    assert not ranking


def test_new_rank_takes_the_place_of_the_old_one() -> None:
    ranking: Ranking[str, int] = Ranking()
    ranking.set("a", 1)
    ranking.set("b", 2)
    ranking.set("a", 3)
    assert (ranking.first(), ranking.rank("a")) == ((2, "b"), 3)


@given(st.lists(st.tuples(KEYS, st.none() | st.integers(0, 9))))
def test_first_is_what_a_search_finds(changes: list[tuple[str, int | None]]) -> None:
    ranking: Ranking[str, int] = Ranking()
    known: dict[str, int] = {}
    for key, rank in changes:
        known.pop(key, None)
        if rank is None:
            ranking.drop(key)
        else:
            ranking.set(key, rank)
            known[key] = rank
        # A plain dict keeps the order in which keys were set, and min takes the first of equals.
        found = min(known, key=lambda key: known[key], default=None)
        assert ranking.first() == (None if found is None else (known[found], found))


def test_ranks_that_change_for_ever_take_no_more_room() -> None:
    ranking: Ranking[int, int] = Ranking()
    for step in range(10_000):
        ranking.set(step % 10, 10_000 - step)
    assert len(ranking._heap) <= 2 * 10 + SPARE
    assert ranking.first() == (1, 9)
