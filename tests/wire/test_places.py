"""Names of inputs and outputs, by the text alone."""

import sys

from ffrtmpd.wire.places import has_control


def test_controls_are_these_characters_and_no_others() -> None:
    found = {number for number in range(sys.maxunicode + 1) if has_control(chr(number))}
    controls = {*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029}
    # U+DC80 to U+DCFF stand for the bytes of a file name that is no UTF-8.
    assert found == controls | {*range(0xD800, 0xDC80), *range(0xDD00, 0xE000)}
    assert has_control("/in/a\nb.mp4")
    assert not has_control("/in/a\udce9b.mp4")
