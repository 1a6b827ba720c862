# SPDX-License-Identifier: GPL-2.0
"""Change what a function of the guest returns, CPU by CPU, through QEMU's gdbstub.

For machines that QEMU does not have: all CPUs of one machine are of one model.
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


def override(path: Path, address: int, result: Callable[[int], int]) -> list[int]:
    """Run the guest to its end; have the function at `address` return `result(CPU)`.

    Returns the CPUs that have called it, in order.
    """
    called = []
    stub = _Stub(path)
    try:
        stub.ask("qSupported:vContSupported+")
        if stub.ask(f"Z1,{address:x},4") != "OK":
            raise OSError("gdbstub: no breakpoint")
        while True:
            stop = re.match(r"T05thread:(?:p\w+\.)?(\w+);", stub.ask("vCont;c"))
            if not stop:
                return called
            cpu = int(stop.group(1), 16) - 1
            called.append(cpu)
            stub.ask(f"Hg{stop.group(1)}")
            stub.ask(f"P{_X0:x}=" + result(cpu).to_bytes(8, "little").hex())
            stub.ask(f"P{_PC:x}=" + stub.ask(f"p{_LR:x}"))
    except ConnectionError:
        return called
    finally:
        stub.close()
