"""Waits with its imports done and becomes one of a few small programs whenever the worker asks: ``forker`` tells why.

For each request it makes a copy of itself. The copy is no child of this process but of the worker (``CLONE_PARENT``),
which waits for it, confines and kills it as it does any other child. Nothing of one run is seen by the next, since
each is a copy of a process that has read no file but its own programs.

Run as a program, by path: ``python -P prefork.py FILE...`` with a socket of the worker as standard input. Each file is
a Python program with ``main(arguments) -> exit code``. It imports nothing of ours.

A request is one message of the socket: the mark of the child to be, and three descriptors for its standard streams.
The copy answers with its process number once it is a session of its own, holds nothing else, and dies with the worker.
Then it waits for its command, as JSON on its standard input: what may be hostile is opened after it was confined.
"""

import ctypes
import gc
import importlib.util
import json
import os
import platform
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

MARK = "FFRTMP_CHILD"
READY = b"ready"
REQUEST_MAX = 4_096
PR_SET_PDEATHSIG = 1
CLONE_PARENT = 0x8000
# Not clone3, which services that may make no namespaces are denied.
CLONE = {"x86_64": 56, "aarch64": 220, "riscv64": 220}
STREAMS = 3

Main = Callable[[Sequence[str]], int]
# It holds the interpreter's lock across the call: the copy has it too.
_LIBC = ctypes.PyDLL(None, use_errno=True)


def load(path: str) -> Main:
    """Return the ``main`` of a program, its imports done."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python program")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    main: Main = module.main
    return main


def serve(control: socket.socket, programs: Mapping[str, Main]) -> None:
    """Make a child for each request until the worker closes the socket."""
    control.send(READY)
    while True:
        mark, descriptors, _, _ = socket.recv_fds(control, REQUEST_MAX, STREAMS)
        if not mark:
            return
        parent = os.getppid()
        if _fork_sibling() == 0:
            _become(control, mark, descriptors, parent, programs)
        for descriptor in descriptors:
            os.close(descriptor)


def _fork_sibling() -> int:
    """Fork a child of this process's parent: return 0 in it, here its number.

    Python's and the C library's own ``fork`` would look after other threads; there is none here.
    """
    nothing = ctypes.c_long(0)
    flags = ctypes.c_long(CLONE_PARENT | signal.SIGCHLD)
    number = ctypes.c_long(CLONE[platform.machine()])
    pid = int(_LIBC.syscall(number, flags, nothing, nothing, nothing, nothing))
    if pid < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return pid


def _become(
    control: socket.socket, mark: bytes, descriptors: Sequence[int], parent: int, programs: Mapping[str, Main]
) -> None:
    """Be a child of the worker: set up, say so, and run what it says. Does not return."""
    code = 1
    try:
        os.setsid()
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        # The worker may have died before the request.
        if os.getppid() != parent or len(descriptors) != STREAMS or not _wear(mark):
            os._exit(code)
        control.send(str(os.getpid()).encode())
        # The first takes the place of the socket.
        for stream, descriptor in enumerate(descriptors):
            os.dup2(descriptor, stream)
            os.close(descriptor)
        program, *arguments = json.loads(_read_all(0))
        code = programs[program](arguments)
    except BaseException:  # noqa: BLE001 - no way leads back into the loop of the original
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def _wear(mark: bytes) -> bool:
    """Put the child's mark over that of the original, where the kernel shows it and descendants inherit it."""
    _LIBC.getenv.restype = ctypes.c_void_p
    place = _LIBC.getenv(MARK.encode())
    if place is None or len(ctypes.string_at(place)) != len(mark):
        return False
    ctypes.memmove(place, mark, len(mark))
    return True


def _read_all(descriptor: int) -> bytes:
    told = b""
    while data := os.read(descriptor, REQUEST_MAX):
        told += data
    return told


def main() -> int:
    """Load the programs and serve."""
    programs = {path: load(path) for path in sys.argv[1:]}
    # What is here now stays: a copy that looked through it for garbage would have to copy it in earnest.
    gc.collect()
    gc.freeze()
    gc.disable()
    with socket.socket(fileno=0) as control:
        serve(control, programs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
