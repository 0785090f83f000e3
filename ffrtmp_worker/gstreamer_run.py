"""Runs one GStreamer pipeline and tells its progress in the words of ffmpeg's ``-progress``.

Run by the system's own Python, which has PyGObject where the worker's may not. It imports nothing of ours:
``python3 -I gstreamer_run.py describe`` or ``python3 -I gstreamer_run.py run PIPELINE``. PIPELINE is JSON as
``gstreamer.pipeline`` makes it: elements with their properties, and the links between them.

Progress goes to standard output, complaints to standard error; the first line tells the cause. Exit codes: 0 the output
is whole; 255 ended early by SIGTERM or SIGINT, the output is playable; 64 PIPELINE is not understood; 65 the input
cannot be decoded; 66 the input cannot be opened; 69 an element is missing; 1 anything else.
"""

import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gi

gi.require_version("Gst", "1.0")
from gi.repository import GLib, Gst  # noqa: E402 - the version must be said before

EXIT_FAILED = 1
EXIT_USAGE = 64
EXIT_DATA = 65
EXIT_NO_INPUT = 66
EXIT_MISSING = 69
EXIT_SIGNALED = 255
REPORT_MS = 500
DETAIL_MAX = 300
# Encoders that look ahead, of sound and of pictures out of order, have their lead left out by an edit list too.
LEAD_MAX_NS = 250_000_000
# GstAutoplugSelectResult of decodebin.
AUTOPLUG_TRY, AUTOPLUG_SKIP = 0, 2

_DATA_ERRORS = (
    Gst.StreamError.TYPE_NOT_FOUND,
    Gst.StreamError.WRONG_TYPE,
    Gst.StreamError.CODEC_NOT_FOUND,
    Gst.StreamError.DECODE,
    Gst.StreamError.DEMUX,
    Gst.StreamError.FORMAT,
    Gst.StreamError.DECRYPT,
)
_INPUT_ERRORS = (Gst.ResourceError.NOT_FOUND, Gst.ResourceError.OPEN_READ, Gst.ResourceError.NOT_AUTHORIZED)


class Unusable(Exception):
    """The pipeline cannot be built; ``code`` is the exit code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Cut:
    """Ends one raw stream before its encoder: at the limit, or at once when asked.

    Everything after is dropped; the end goes on downstream, so that encoder and muxer finish what they have.
    """

    def __init__(self, pad: Any, frames: int | None, limit_ns: int | None, ended: Callable[[], None]) -> None:
        self._pad = pad
        self._ended = ended
        self._left = frames
        self._limit_ns = limit_ns
        self.done = False
        self.asked = False
        pad.add_probe(Gst.PadProbeType.BUFFER | Gst.PadProbeType.EVENT_DOWNSTREAM, self._look)

    def _look(self, pad: Any, info: Any) -> Any:
        if self.done:
            return Gst.PadProbeReturn.DROP
        if info.type & Gst.PadProbeType.EVENT_DOWNSTREAM:
            return Gst.PadProbeReturn.OK
        if self.asked or self._left == 0 or self._is_beyond(info.get_buffer()):
            self.done = True
            self._ended()
            # Not through this pad, which would refuse all later events, and the decoder take that for an error.
            pad.get_peer().send_event(Gst.Event.new_eos())
            return Gst.PadProbeReturn.DROP
        if self._left is not None:
            self._left -= 1
        return Gst.PadProbeReturn.OK

    def _is_beyond(self, buffer: Any) -> bool:
        at = running_ns(self._pad, buffer.pts)
        return self._left is None and self._limit_ns is not None and at is not None and at >= self._limit_ns


class Filled:
    """Leaves out silence beyond the end of the file.

    A demuxer tells of a gap wherever a stream lags behind another one, also behind one that nobody plays.
    """

    def __init__(self, pad: Any, length_ns: int) -> None:
        self._length_ns = length_ns
        pad.add_probe(Gst.PadProbeType.BUFFER, self._look)

    def _look(self, pad: Any, info: Any) -> Any:
        buffer = info.get_buffer()
        if not buffer.has_flags(Gst.BufferFlags.GAP):
            return Gst.PadProbeReturn.OK
        at = running_ns(pad, buffer.pts)
        is_beyond = at is not None and at + buffer.duration > self._length_ns
        return Gst.PadProbeReturn.DROP if is_beyond else Gst.PadProbeReturn.OK


class Counter:
    """Counts what one encoded stream hands to the muxer."""

    def __init__(self, pad: Any) -> None:
        self.buffers = 0
        self.end_ns: int | None = None
        pad.add_probe(Gst.PadProbeType.BUFFER, self._look)

    def _look(self, pad: Any, info: Any) -> Any:
        buffer = info.get_buffer()
        self.buffers += 1
        at = running_ns(pad, buffer.pts)
        if at is not None:
            length = 0 if buffer.duration == Gst.CLOCK_TIME_NONE else buffer.duration
            self.end_ns = max(self.end_ns or 0, at + length)
        return Gst.PadProbeReturn.OK


class Bytes:
    """Counts the bytes that reach the sink; a muxer that goes back to its header writes some twice."""

    def __init__(self, pad: Any) -> None:
        self.total = 0
        pad.add_probe(Gst.PadProbeType.BUFFER | Gst.PadProbeType.BUFFER_LIST, self._look)

    def _look(self, _pad: Any, info: Any) -> Any:
        if info.type & Gst.PadProbeType.BUFFER_LIST:
            self.total += info.get_buffer_list().calculate_size()
        else:
            self.total += info.get_buffer().get_size()
        return Gst.PadProbeReturn.OK


def running_ns(pad: Any, pts: int) -> int | None:
    """Return the running time of a timestamp on a pad; None where there is none."""
    event = pad.get_sticky_event(Gst.EventType.SEGMENT, 0)
    if event is None or pts == Gst.CLOCK_TIME_NONE:
        return None
    at: int = event.parse_segment().to_running_time(Gst.Format.TIME, pts)
    return None if at == Gst.CLOCK_TIME_NONE else at


class Run:
    """One pipeline from its start to its end."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._plan = plan
        self._loop = GLib.MainLoop()
        self._pipeline = Gst.Pipeline.new(None)
        self._elements: dict[str, Any] = {}
        self._scratch: Any = None
        self._signaled = False
        self._accepted = False
        self._rated: tuple[int | str, int | str] = ("N/A", "N/A")
        self._largest = 0
        self._code: int | None = None
        self._awaited: dict[str, str] = {}
        self._held: list[tuple[Any, int]] = []
        self._is_mp4 = False
        self._began = time.monotonic()
        # Before anything may block: the default action would leave a file without an end.
        for number in (signal.SIGTERM, signal.SIGINT):
            GLib.unix_signal_add(GLib.PRIORITY_HIGH, number, self._end_early)
        self._build()

    def _build(self) -> None:
        for entry in self._plan["elements"]:
            element = Gst.ElementFactory.make(entry["factory"], entry["name"])
            if element is None:
                raise Unusable(EXIT_MISSING, f"no such element: {entry['factory']}")
            for name, value in entry["properties"].items():
                self._set(element, name, value)
            self._pipeline.add(element)
            self._elements[entry["name"]] = element
        for one, other in self._plan["links"]:
            if not self._elements[one].link(self._elements[other]):
                raise Unusable(EXIT_FAILED, f"{one} and {other} do not fit together")
        self._cuts = [self._cut(*entry) for entry in self._plan["cuts"].items()]
        if self._plan["length_ns"] is not None and "audio" in self._plan["cuts"]:
            sound = self._elements[self._plan["cuts"]["audio"]].get_static_pad("src")
            self._filled = Filled(sound, self._plan["length_ns"])
        self._counters = {kind: self._counter(name) for kind, name in self._plan["counted"].items()}
        self._bytes = Bytes(self._elements["sink"].get_static_pad("sink"))
        for name in self._plan["decode"].values():
            kinds = Gst.PadProbeType.BLOCK | Gst.PadProbeType.EVENT_DOWNSTREAM
            self._elements[name].get_static_pad("sink").add_probe(kinds, self._look_at_edits)
        if self._plan["decode"]:
            self._awaited.update(self._plan["decode"])
            decoder = self._elements["decoder"]
            decoder.connect("autoplug-select", self._select)
            decoder.connect("pad-added", self._decoded)
            decoder.connect("no-more-pads", self._all_decoded)

    def _set(self, element: Any, name: str, value: Any) -> None:
        if element.find_property(name) is None:
            raise Unusable(EXIT_MISSING, f"{element.get_factory().get_name()} has no property {name}")
        if name == "caps":
            element.set_property(name, Gst.Caps.from_string(value))
        elif name == "faststart-file":
            # A file without a name: it leaves nothing behind, however this process ends.
            self._scratch = tempfile.TemporaryFile(dir=value)  # noqa: SIM115 - lives as long as this process
            element.set_property(name, f"/proc/self/fd/{self._scratch.fileno()}")
        elif isinstance(value, str):
            # Enumerations by their short names; a text stays what it is.
            kind = element.find_property(name).value_type
            if kind.name == "gchararray":
                element.set_property(name, value)
            else:
                Gst.util_set_object_arg(element, name, value)
        else:
            element.set_property(name, value)

    def _cut(self, kind: str, name: str) -> Cut:
        frames = self._plan["limit_frames"] if kind == "video" else None
        ended = self._note_rate if kind == "video" else lambda: None
        return Cut(self._elements[name].get_static_pad("src"), frames, self._plan["limit_ns"], ended)

    def _note_rate(self) -> None:
        """Keep what was duplicated and dropped for the frames that are wanted: more are decoded until all stands."""
        rate = self._elements.get(self._plan["rate"])
        if rate is not None:
            self._rated = (rate.get_property("duplicate"), rate.get_property("drop"))

    def _counter(self, name: str) -> Counter:
        # The muxer's own pad would tell the same later, when it has put the streams in order.
        return Counter(self._elements[name].get_static_pad("src"))

    def _select(self, _decoder: Any, _pad: Any, _caps: Any, factory: Any) -> int:
        """Let decodebin use decoders, parsers and the demuxers that read no further file or address."""
        kinds = factory.get_metadata("klass").split("/")
        is_safe = "Demuxer" not in kinds or factory.get_name() in self._plan["demuxers"]
        self._is_mp4 = self._is_mp4 or factory.get_name() == "qtdemux"
        is_plain = is_safe and ("Demuxer" in kinds or "Decoder" in kinds or "Parser" in kinds)
        return AUTOPLUG_TRY if is_plain and "Bin" not in kinds else AUTOPLUG_SKIP

    def _decoded(self, _decoder: Any, pad: Any) -> None:
        caps = pad.get_current_caps() or pad.query_caps(None)
        kind = caps.get_structure(0).get_name().partition("/")[0]
        name = self._awaited.pop(kind, None)
        if name is not None:
            pad.link(self._elements[name].get_static_pad("sink"))
            if self._plan["skip_ns"]:
                # Nothing may reach an encoder before the seek that throws away what came first.
                held = pad.add_probe(Gst.PadProbeType.BLOCK_DOWNSTREAM, lambda *_: Gst.PadProbeReturn.OK)
                self._held.append((pad, held))

    def _look_at_edits(self, _pad: Any, info: Any) -> Any:
        """Refuse a file whose edit list leaves out part of it, before what comes after goes on.

        qtdemux (1.22) compares the time in the track with the length of what is left, and so ends that much too early.
        """
        event = info.get_event()
        if event.type != Gst.EventType.SEGMENT or not self._is_mp4:
            return Gst.PadProbeReturn.PASS
        segment = event.parse_segment()
        left_out_ns = segment.start - segment.time
        if left_out_ns <= LEAD_MAX_NS:
            return Gst.PadProbeReturn.PASS
        reason = f"an edit list leaves out {left_out_ns / 1e9:.3g} s of it, and qtdemux would lose as much at the end"
        GLib.idle_add(self._fail, EXIT_DATA, reason)
        # Held until the end.
        return Gst.PadProbeReturn.OK

    def _all_decoded(self, _decoder: Any) -> None:
        if self._awaited:
            lacking = " and ".join(self._awaited)
            GLib.idle_add(self._fail, EXIT_DATA, f"the input has no {lacking} that can be decoded")
        elif self._plan["skip_ns"]:
            GLib.idle_add(self._skip, self._plan["skip_ns"])

    def _skip(self, from_ns: int) -> bool:
        """Play the source from there on."""
        decoder, start, end = self._elements["decoder"], Gst.SeekType.SET, Gst.SeekType.NONE
        flags = Gst.SeekFlags.FLUSH | Gst.SeekFlags.ACCURATE
        if not decoder.seek(1.0, Gst.Format.TIME, flags, start, from_ns, end, -1):
            return self._fail(EXIT_DATA, f"the input cannot be played from {from_ns / 1e9:g} s")
        for pad, held in self._held:
            pad.remove_probe(held)
        self._held.clear()
        return False

    def run(self) -> int:
        """Run it and return the exit code."""
        bus = self._pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message::eos", self._ended)
        bus.connect("message::error", self._error)
        bus.connect("message::warning", self._warning)
        # Whatever a state change finds wrong comes as a message too.
        if self._pipeline.set_state(Gst.State.PLAYING) == Gst.StateChangeReturn.FAILURE:
            GLib.timeout_add(REPORT_MS, self._fail, EXIT_FAILED, "the pipeline does not start")
        GLib.timeout_add(REPORT_MS, self._report)
        self._loop.run()
        # Before they are reset: what has come to its end has written all.
        self._print(end=True)
        self._pipeline.set_state(Gst.State.NULL)
        return EXIT_FAILED if self._code is None else self._code

    def _ended(self, _bus: Any, _message: Any) -> None:
        # What the sink took may still be on its way.
        GLib.timeout_add(self._plan["linger_ms"], self._finish, 0)

    def _finish(self, code: int) -> None:
        if self._code is None:
            self._code = EXIT_SIGNALED if self._signaled and code == 0 else code
        self._loop.quit()

    def _fail(self, code: int, reason: str) -> bool:
        if self._code is None:
            complain("error", reason)
        self._finish(code)
        return False

    def _end_early(self) -> bool:
        complain("info", "asked to end")
        self._signaled = True
        for cut in self._cuts:
            cut.asked = True
        return True

    def _error(self, _bus: Any, message: Any) -> None:
        error, detail = message.parse_error()
        self._fail(self._code_of(error, message.src), told(message.src, error, detail))

    def _warning(self, _bus: Any, message: Any) -> None:
        error, detail = message.parse_warning()
        complain("warning", told(message.src, error, detail))

    def _code_of(self, error: Any, source: Any) -> int:
        of_input = source in (self._elements.get("source"), self._elements.get("decoder")) or (
            "decoder" in self._elements and source.has_as_ancestor(self._elements["decoder"])
        )
        if error.matches(Gst.CoreError.quark(), Gst.CoreError.MISSING_PLUGIN):
            return EXIT_DATA if of_input else EXIT_MISSING
        if not of_input:
            return EXIT_FAILED
        if any(error.matches(Gst.ResourceError.quark(), code) for code in _INPUT_ERRORS):
            return EXIT_NO_INPUT
        if any(error.matches(Gst.StreamError.quark(), code) for code in _DATA_ERRORS):
            return EXIT_DATA
        return EXIT_FAILED

    def _report(self) -> bool:
        self._print(end=False)
        return True

    def _print(self, *, end: bool) -> None:
        video = self._counters["video"]
        elapsed_s = time.monotonic() - self._began
        taken = self._taken()
        frames = video.buffers if taken else 0
        # Sound may be far ahead of the picture.
        out_us = video.end_ns // 1_000 if taken and video.end_ns is not None else None
        size = self._size(end=end) if taken else None
        if not any(cut.done for cut in self._cuts):
            self._note_rate()
        duplicated, dropped = self._rated
        fields = {
            "frame": frames,
            "fps": f"{frames / elapsed_s:.2f}",
            "bitrate": "N/A" if not size or not out_us else f"{size * 8_000 / out_us:.1f}kbits/s",
            "total_size": "N/A" if size is None else size,
            "out_time_us": "N/A" if out_us is None else out_us,
            "dup_frames": duplicated,
            "drop_frames": dropped,
            "speed": "N/A" if out_us is None else f"{out_us / 1e6 / elapsed_s:.3f}x",
            "progress": "end" if end else "continue",
        }
        # Nobody reads any more: then the signal ends this soon.
        with contextlib.suppress(BrokenPipeError):
            print("".join(f"{name}={value}\n" for name, value in fields.items()), end="", flush=True)

    def _taken(self) -> bool:
        """Tell whether a push was accepted: a sink takes its first buffer before it has asked its peer."""
        field = self._plan["sent"]
        if field is None or self._accepted:
            return True
        stats = self._elements["sink"].get_property("stats")
        self._accepted = bool(stats is not None and stats.get_value(field))
        return self._accepted

    def _size(self, *, end: bool) -> int | None:
        path = self._plan["path"]
        if path is None:
            return int(self._bytes.total)
        with contextlib.suppress(OSError):
            if end or self._scratch is None:
                return Path(path).stat().st_size
            # Empty again while it is copied behind its index.
            self._largest = max(self._largest, os.fstat(self._scratch.fileno()).st_size)
            return self._largest
        return None


def told(source: Any, error: Any, detail: str | None) -> str:
    """Return one line that says what went wrong: who, what, and the detail without its place in the source code."""
    lines = (detail or "").splitlines()[1:]
    said = " ".join([error.message, *lines]).strip()[:DETAIL_MAX]
    return f"{source.get_name()}: {said}"


def complain(level: str, text: str) -> None:
    """Write one line in the form of ffmpeg's log."""
    print(f"[{level}] {' '.join(text.split())}", file=sys.stderr, flush=True)


def describe(names: list[str]) -> None:
    """Print the version and which of the elements there are, each with its plugin's version, file and age."""
    registry = Gst.Registry.get()
    found = {}
    for name in names:
        factory = registry.lookup_feature(name)
        plugin = None if factory is None else factory.get_plugin()
        if plugin is not None:
            path = plugin.get_filename()
            age = Path(path).stat().st_mtime_ns if path and Path(path).exists() else None
            found[name] = [plugin.get_version(), path, age]
    print(json.dumps({"version": Gst.version_string(), "elements": found}))


def main() -> int:
    """Do what the arguments say and return the exit code."""
    Gst.init(None)
    command, text = sys.argv[1:3]
    try:
        plan = json.loads(text)
        if command == "describe":
            describe(plan)
            return 0
        return Run(plan).run()
    except Unusable as error:
        complain("error", str(error))
        return error.code
    except OSError as error:
        complain("error", f"{error.filename}: {error.strerror}")
        return EXIT_FAILED
    except (ValueError, KeyError, TypeError) as error:
        complain("error", f"the pipeline is not understood: {error!r}")
        return EXIT_USAGE


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # Threads of plugins may still run: nothing is left to do for them.
    os._exit(code)
