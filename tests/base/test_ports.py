"""The ports that tests give to programs."""

from tests.ports import free_port


def test_port_is_given_once() -> None:
    given = [free_port() for _ in range(200)]
    assert len(set(given)) == len(given)
