# SPDX-License-Identifier: GPL-2.0
"""Change what a function of the guest returns, CPU by CPU, through QEMU's gdbstub.

For machines that QEMU does not have, as all CPUs of one machine are of one model; and for failures
that a kernel never sees.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable
from pathlib import Path

_X0, _LR, _PC = 0, 30, 32  # registers of an arm64 CPU, as gdb numbers them


def arguments(path: Path) -> list[str]:
    """For the command line of QEMU, which then waits for override()."""
    return ["-S", "-gdb", f"unix:{path},server=on,wait=off"]


class _Stub:
    def __init__(self, path: Path) -> None:
        deadline = time.monotonic() + 30
        while True:
            self._socket = socket.socket(socket.AF_UNIX)
            try:
                self._socket.connect(str(path))
                break
            except OSError:
                self._socket.close()
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        self._buffer = b""
        self.ask("QStartNoAckMode")
        self._socket.sendall(b"+")

    def ask(self, text: str) -> str:
        """Send a packet; the answer, or "" when QEMU is gone."""
        data = text.encode()
        self._socket.sendall(b"$%s#%02x" % (data, sum(data) % 256))
        while True:
            packet = re.search(rb"\$([^#]*)#..", self._buffer, re.S)
            if packet:
                self._buffer = self._buffer[packet.end():]
                return packet.group(1).decode()
            more = self._socket.recv(4096)
            if not more:
                return ""
            self._buffer += more

    def close(self) -> None:
        self._socket.close()


def override(
    path: Path, address: int, result: Callable[[int], int], most: int | None = None,
    within: int | None = None
) -> list[int]:
    """Run the guest to its end; have the function at `address` return `result(CPU)`.

    Only the first `most` calls do, and only those while the function at `within` runs for the
    first time. Returns the CPUs that have called it, in order.
    """
    called: list[int] = []
    stub = _Stub(path)

    def go() -> str:
        """Let it run to the next breakpoint; the CPU there, or "" at the end."""
        stop = re.match(r"T05thread:(?:p\w+\.)?(\w+);", stub.ask("vCont;c"))
        if stop:
            stub.ask(f"Hg{stop.group(1)}")
        return stop.group(1) if stop else ""

    def stop_at(place: int, there: bool = True) -> None:
        if stub.ask(f"{'Z' if there else 'z'}1,{place:x},4") != "OK":
            raise OSError("gdbstub: no breakpoint")

    def register(number: int) -> int:
        return int.from_bytes(bytes.fromhex(stub.ask(f"p{number:x}")), "little")

    try:
        stub.ask("qSupported:vContSupported+")
        end = None
        if within is not None:
            stop_at(within)
            if not go():
                return called
            stop_at(within, False)
            end = register(_LR)
            stop_at(end)
        stop_at(address)
        while most is None or len(called) < most:
            thread = go()
            if not thread:
                return called
            if register(_PC) == end:
                break
            cpu = int(thread, 16) - 1
            called.append(cpu)
            stub.ask(f"P{_X0:x}=" + result(cpu).to_bytes(8, "little").hex())
            stub.ask(f"P{_PC:x}=" + stub.ask(f"p{_LR:x}"))
        for place in filter(None, (address, end)):
            stop_at(place, False)
        go()
        return called
    except ConnectionError:
        return called
    finally:
        stub.close()
