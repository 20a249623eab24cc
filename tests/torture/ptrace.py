"""The system calls of another process, through Linux's ptrace: seen before they are made, cut short, killed.

Only what the torture needs, and only for x86-64, as is the L1 that comes with the project. A tracer is one thread.
"""

import ctypes
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SEIZE, _INTERRUPT, _LISTEN, _SYSCALL, _DETACH = 0x4206, 0x4207, 0x4208, 24, 17
_POKEUSER, _GET_SYSCALL_INFO = 6, 0x420E
_OPTIONS = 1 | 1 << 3  # TRACESYSGOOD, TRACECLONE: new threads are traced too
_WAIT_ALL = 0x40000000  # __WALL: threads as well
_EVENT_STOP = 128
_SYSCALL_STOP = signal.SIGTRAP | 0x80
_ENTRY, _EXIT = 1, 2
_COUNT_REGISTER = 12 * 8  # rdx in struct user: the third argument, a write's length

CALLS = {1: "write", 18: "pwrite64", 44: "sendto", 74: "fsync", 75: "fdatasync", 82: "rename"}
"""Number -> name of the calls that are shown; each has its bytes, if any, in its second and third arguments."""

WRITES = ("write", "pwrite64", "sendto")

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


class _SyscallInfo(ctypes.Structure):
    """struct ptrace_syscall_info of an entry: kind, (architecture, ip, sp), number, six arguments."""

    _fields_ = (
        ("op", ctypes.c_uint8),
        ("_rest", ctypes.c_uint8 * 23),
        ("number", ctypes.c_uint64),
        ("arguments", ctypes.c_uint64 * 6),
    )


def _ptrace(request: int, thread: int, address: int = 0, data: Any = 0) -> int:
    answer: int = _libc.ptrace(request, thread, address, data)
    if answer < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return answer


@dataclass(frozen=True, slots=True)
class Call:
    """A system call that a stopped thread is about to make. `path` is what its descriptor stands for."""

    thread: int
    name: str
    path: str
    data: bytes


class Tracer:
    """Every thread of one process, from `seize` until it is killed or let go."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._proc = Path(f"/proc/{pid}")

    def seize(self) -> None:
        """Begin. Raises OSError when the kernel does not allow it, or the process is gone."""
        seen: set[int] = set()
        while fresh := {int(task.name) for task in (self._proc / "task").iterdir()} - seen:
            for thread in sorted(fresh):
                with suppress(ProcessLookupError):
                    _ptrace(_SEIZE, thread, 0, _OPTIONS)
                    _ptrace(_INTERRUPT, thread)
            seen |= fresh

    def list_calls(self) -> Iterator[Call]:
        """Each call of CALLS before it is made; it is made when the next is asked for. Ends with the process."""
        while True:
            try:
                thread, status = os.waitpid(-1, _WAIT_ALL)
            except ChildProcessError:
                return
            if not os.WIFSTOPPED(status):
                continue
            with suppress(ProcessLookupError):
                call = self._read_call(thread) if os.WSTOPSIG(status) == _SYSCALL_STOP else None
                if call is not None:
                    yield call
                self._resume(thread, status)

    def kill_within(self, call: Call, byte_count: int) -> None:
        """Let a write do so many bytes of what it was to do, then kill; 0 kills before it."""
        if byte_count:
            _ptrace(_POKEUSER, call.thread, _COUNT_REGISTER, byte_count)
            self.finish(call)
        self.kill()

    def finish(self, call: Call) -> None:
        """Let a call be made, and stop behind it. Other threads stand still where they make calls of their own."""
        _ptrace(_SYSCALL, call.thread)
        os.waitpid(call.thread, _WAIT_ALL)

    def kill(self) -> None:
        """SIGKILL, and wait until nothing of it is left."""
        os.kill(self._pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            while True:
                os.waitpid(-1, _WAIT_ALL)

    def _read_call(self, thread: int) -> Call | None:
        info = _SyscallInfo()
        _ptrace(_GET_SYSCALL_INFO, thread, ctypes.sizeof(info), ctypes.addressof(info))
        name = CALLS.get(info.number) if info.op == _ENTRY else None
        if name is None:
            return None
        first, second, third, *_ = info.arguments
        if name == "rename":
            return Call(thread, name, self._read_text(second), b"")
        try:
            path = os.readlink(self._proc / "fd" / str(first))
        except OSError:
            return None
        return Call(thread, name, path, self._read_memory(second, third) if name in WRITES else b"")

    def _read_memory(self, address: int, count: int) -> bytes:
        with (self._proc / "mem").open("rb", buffering=0) as memory:
            memory.seek(address)
            return memory.read(count) or b""

    def _read_text(self, address: int) -> str:
        page = self._read_memory(address, 4096 - address % 4096)
        return page.partition(b"\0")[0].decode(errors="replace")

    @staticmethod
    def _resume(thread: int, status: int) -> None:
        number = os.WSTOPSIG(status)
        if number == _SYSCALL_STOP or number == signal.SIGTRAP:
            _ptrace(_SYSCALL, thread)
        elif status >> 16 == _EVENT_STOP:
            # A new thread, or one that was interrupted, goes on; a process that was told to stop stays stopped.
            _ptrace(_LISTEN if number in (signal.SIGSTOP, signal.SIGTSTP) else _SYSCALL, thread)
        else:
            _ptrace(_SYSCALL, thread, 0, number)
