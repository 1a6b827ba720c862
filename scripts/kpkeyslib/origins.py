# SPDX-License-Identifier: GPL-2.0
"""Where the values that a kernel writes to POR_EL1 come from, and what it stores while raised.

For each function that has such a write, the origins of what is in each register and stack
slot are followed along all paths of its disassembly, with those that the kernel patches
in at run time: alternatives, static keys, fixups of faults.

Assumed is what compilers do: calls keep x19 to x29, and write to the caller's stack only
above an address that they get, in a register or on the stack; a store through a pointer
from elsewhere does not hit the stack. What chooses a path, or one of two values, is not
followed.
"""

from __future__ import annotations

import bisect
import functools
import re
import struct
from collections.abc import Iterable, Iterator, Set
from pathlib import Path
from typing import NamedTuple, Optional

from . import needs, proc
from .term import Problem

# MSR of S3_{0,4,5}_C10_C2_4
REGISTERS = {0x18: "POR_EL1", 0x1C: "POR_EL2", 0x1D: "POR_EL12"}
_WRITE = re.compile(r"^ *([0-9a-f]+):\td5(18|1c|1d)a2[89]", re.M)

# What a value is made of: a kind and, of an address on the stack, its offset from the sp at entry
Origin = tuple[str, Optional[int]]
Value = frozenset[Origin]


def value(kind: str, offset: int | None = None) -> Value:
    return frozenset(((kind, offset),))


CONSTANT = value("constant")
POR = value("POR_EL1")  # the register itself, maybe with bits changed by constants
ARGUMENT = value("argument")
CURRENT = value("current")  # the task, a pointer only
RESULT = value("result of a call")
SYSREG = value("another system register")
UNKNOWN = value("unknown")
RAISED = value("raised level")
_LEVEL = 32  # where a State has it, after the registers
_STACK = "address on the stack"
# MRS; with VHE, the kernel's POR_EL1 is POR_EL2, and POR_EL12 that of a guest
_READ = {0xD538A280: POR, 0xD53CA280: POR, 0xD53DA280: value("POR_EL12"), 0xD5384100: CURRENT}

# The bit of POR_EL1 that makes what has KPKEYS_PKEY_PGTABLES writable
_WRITABLE = 1 << 6
_STORES = re.compile(r"st|swp|cas")
# Where indirect calls may go to, with BTI: bti c, bti jc, paciasp, pacibsp
_PADS = {0xD503245F, 0xD50324DF, 0xD503233F, 0xD503237F}


class Insn(NamedTuple):
    """An instruction as objdump shows it."""

    address: int
    word: int
    name: str
    operands: list[str]


class Tables(NamedTuple):
    """What is patched at run time, where faults go on, and what does not return."""

    replaced: dict[int, list[tuple[int, int, int]]]  # original: replacement, lengths of both
    others: dict[int, list[int]]  # further addresses that may come after an instruction
    noreturn: frozenset[str]
    bugs: frozenset[int]  # traps of BUG(), after which nothing comes, unlike those of WARN()


class Text(NamedTuple):
    """The disassembly, and where in it each symbol's part begins."""

    text: str
    starts: list[int]  # addresses
    names: list[str]
    places: list[tuple[int, int]]  # in the text


class Write(NamedTuple):
    """A write of the register: its function, and what is written."""

    function: str
    offset: int
    register: str
    origins: frozenset[str]


class Store(NamedTuple):
    """A store of an argument through an argument, while page tables are writable."""

    function: str
    offset: int
    exported: bool
    visible: bool  # from other files
    pad: bool  # for indirect calls, if the kernel has BTI


class State(NamedTuple):
    """Origins of x0 to x30 and sp, the level; and of what is on the stack, by offset."""

    registers: list[Value]
    slots: dict[int, Value]


def _entry() -> State:
    """At the entry of a function."""
    return State([ARGUMENT] * 9 + [UNKNOWN] * 22 + [value(_STACK, 0), CONSTANT], {})


def _mix(values: Iterable[Value]) -> Value:
    """The origins of what is computed of these."""
    found = frozenset().union(*values)
    if any(kind == _STACK for kind, _ in found):
        found = frozenset(o for o in found if o[0] != _STACK) | value(_STACK)
    return found - CONSTANT or CONSTANT


def _either(one: Value, other: Value) -> Value:
    found = one | other
    if sum(kind == _STACK for kind, _ in found) > 1:
        found = frozenset(o for o in found if o[0] != _STACK) | value(_STACK)
    return found


def _merge(one: State, other: State) -> State:
    slots = {offset: _either(one.slots.get(offset, _OF_STACK), other.slots.get(offset, _OF_STACK))
             for offset in {*one.slots, *other.slots}}
    return State([_either(*pair) for pair in zip(one.registers, other.registers)], slots)


_MEMORY = value("memory")
_OF_STACK = value("memory of the stack")
_OF = {"argument": value("memory of an argument"), "current": value("memory of current")}
_SIZES = {"x": 8, "w": 4, "q": 16, "d": 8, "s": 4, "h": 2, "b": 1}


def _number(operand: str) -> int | None:
    found = re.match(r"([xw])(\d+|zr)\b|w?sp\b", operand)
    if not found:
        return None
    return 31 if not found[1] else 32 if found[2] == "zr" else int(found[2])


def _get(state: State, operand: str) -> Value:
    number = _number(operand)
    if number is None:
        return CONSTANT if operand.startswith("#") else UNKNOWN
    return CONSTANT if number == 32 else state.registers[number]


def _set(state: State, operand: str, new: Value) -> None:
    number = _number(operand)
    if number is not None and number < 32:
        state.registers[number] = new


def _moved(pointer: Value, by: int) -> Value:
    return frozenset((kind, offset + by if offset is not None else None)
                     for kind, offset in pointer)


def _load(state: State, pointer: Value, size: int) -> Value:
    found: set[Value] = set()
    for kind, offset in pointer:
        if kind != _STACK:
            found.add(_OF.get(kind, _MEMORY))
        elif offset is None:
            found |= {_OF_STACK, *state.slots.values()}
        else:
            met = [v for at, v in state.slots.items() if at < offset + size and offset < at + 8]
            found.add(_OF_STACK if not met else _mix(met) if met[1:] else met[0])
    return functools.reduce(_either, found, frozenset())


def _store(state: State, pointer: Value, size: int, new: Value) -> None:
    for kind, offset in pointer:
        if kind != _STACK:
            continue
        for at, old in state.slots.items():
            if offset is None or at < offset + size and offset < at + 8:
                state.slots[at] = _mix((old, new))
        if offset is not None:
            whole = size >= 8 and len(pointer) == 1
            old = state.slots.get(offset, _OF_STACK)
            state.slots[offset] = new if whole else _mix((old, new))
            for part in range(8, size, 8):
                state.slots[offset + part] = new


def _pointer(state: State, operands: list[str]) -> Value:
    """What the operand in brackets points to, with its writeback done."""
    index = next(i for i, operand in enumerate(operands) if operand.startswith("["))
    base, *rest = operands[index].strip("[]!").replace(" ", "").split(",")
    old = _get(state, base)
    if rest and not rest[0].startswith("#"):
        return _mix((old, _get(state, rest[0])))
    new = _moved(old, int(rest[0][1:], 0)) if rest else old
    if operands[index].endswith("!"):
        _set(state, base, new)
    elif len(operands) > index + 1:
        post = operands[index + 1]
        _set(state, base, _moved(old, int(post[1:], 0)) if post[0] == "#" else _mix((old, UNKNOWN)))
    return new


def _memory(state: State, insn: Insn) -> None:
    """Loads, stores, atomic operations."""
    name, operands = insn.name, insn.operands
    if "[" not in "".join(operands):
        _set(state, operands[0], CONSTANT)  # a literal in the text
        return
    data = [operand for operand in operands if not operand.startswith(("[", "#"))]
    sources = [_get(state, operand) for operand in data]
    size = max(_SIZES.get(operand[0], 64) for operand in data) if data else 8
    if name.startswith("st2"):
        size = 64
    pointer = _pointer(state, operands)
    if re.match(r"stz?2?g|prf|dc", name):
        return
    if re.match(r"st|swp|cas|ld(add|clr|eor|set|[su]max|[su]min)", name):
        loaded = _load(state, pointer, size)
        if re.match(r"st(l?xp|l?xr)", name):
            _set(state, data.pop(0), CONSTANT)  # whether it was stored
            sources.pop(0)
        together = name in ("stp", "stnp")
        for place, source in enumerate(sources):
            _store(state, _moved(pointer, size * place if together else 0), size, source)
        if name.startswith("st"):
            return
        # swp and the like: the last register gets what was there; cas: the first half of them
        got = data[:len(data) // 2] if name.startswith("cas") else data[-1:]
        for operand in got:
            _set(state, operand, loaded)
        return
    for place, operand in enumerate(data):
        _set(state, operand, _load(state, _moved(pointer, size * place), size))


_COMPUTE = re.compile(
    r"(add|sub|and|orr|orn|eor|eon|bic|neg|mvn|mul|madd|msub|mneg|[su]mull|[su]mulh"
    r"|[su]m(add|sub|neg)l|[us]div|lsl|lsr|asr|ror|extr|[su]bf[xm]|[su]bfiz|[us]xt[bhw]"
    r"|rev(16|32|64)?|rbit|cl[sz]|ctz|cnt|abs|[su]max|[su]min|adc|sbc|ngc|crc32\w+"
    r"|(pac|aut|xpac)\w+|irg|gmi|subp|addg|subg)s?$")
_CHANGE = re.compile(r"movk|bfi|bfxil|bfc|bfm")
_CHOOSE = re.compile(r"csel|csinc|csinv|csneg|cinc|cinv|cneg")
_CONSTANT = re.compile(r"mov[nz]|adrp?|csetm?")
_NOTHING = re.compile(
    r"(cmp|cmn|tst|ccmp|ccmn|cmpp|fccmpe?|fcmpe?|nop|hint|isb|dsb|dmb|dfb|msrr?|sys|tlbi|dc|ic"
    r"|at|prfm|prfum|rprfm|sb|clrex|wf[ei]t?|sevl?|yield|bti|esb|csdb|p?ssbb|psb|tsb|dgh|brk|brb"
    r"|gcspushm|gcsss1|smstart|smstop|setf\d+|cfp|dvp|cpp|cosp|b|b[.c].*|cbn?z|tbn?z|br|ret\w*"
    r"|eret\w*|xpaclri|(pac|aut)i[ab](sp|z|1716)|pacm)$")


def _step(state: State, insn: Insn) -> None:
    """What an instruction does to the state."""
    name, operands = insn.name, insn.operands
    if name in ("bl", "blr", "hvc", "smc", "svc") or name.startswith("blra"):
        _call(state)
    elif _NOTHING.match(name):
        return
    elif name == "mrs":
        _set(state, operands[0], _READ.get(insn.word & 0xFFFFFFE0, SYSREG))
    elif re.match(r"ld|st|swp|cas|prf", name):
        _memory(state, insn)
    elif name == "mov" and len(operands) == 2 and (
            _number(operands[1]) is not None or operands[1].startswith("#")):
        _set(state, operands[0], _get(state, operands[1]))
    elif name in ("add", "sub") and operands[2].startswith("#"):
        shift = 12 if operands[3:] == ["lsl #12"] else 0
        number = int(operands[2][1:], 0) << shift
        _set(state, operands[0], _moved(_get(state, operands[1]),
                                        number if name == "add" else -number))
    elif _CONSTANT.match(name):
        _set(state, operands[0], CONSTANT)
    elif _COMPUTE.match(name) or _CHANGE.match(name):
        used = operands if _CHANGE.match(name) or len(operands) == 1 else operands[1:]
        used = [o for o in used if re.match(r"[xwvqdshb]\d|[xw]zr|w?sp", o)]
        _set(state, operands[0], _mix([CONSTANT, *(_get(state, o) for o in used)]))
    elif _CHOOSE.match(name):
        used = [o for o in operands[1:] if _number(o) is not None]
        _set(state, operands[0], functools.reduce(_either, (_get(state, o) for o in used)))
    elif operands:
        _set(state, operands[0], UNKNOWN)
    elif name.startswith((".", "undefined")):
        state.registers[:31] = [UNKNOWN] * 31


def _call(state: State) -> None:
    """A call: what it may write to, through a pointer to the stack, is no longer known."""
    given = [*state.registers[:8], *state.slots.values()]
    for offset in {offset for origins in given for kind, offset in origins if kind == _STACK}:
        for at in state.slots:
            if offset is None or at >= offset:
                state.slots[at] = _either(state.slots[at], RESULT)
    state.registers[0:2] = [RESULT] * 2
    state.registers[2:19] = [UNKNOWN] * 17
    state.registers[30] = UNKNOWN


def _target(insn: Insn) -> int | None:
    """Where a direct branch goes."""
    if not re.match(r"(b|b[.c].*|cbn?z|tbn?z)$", insn.name):
        return None
    return int(insn.operands[-1].split()[0], 16)


_LINE = re.compile(r"^ *([0-9a-f]+):\t([0-9a-f]{8}) \t(\S+)(?:\t([^\n]*))?$", re.M)


def _insns(text: str) -> Iterator[Insn]:
    for found in _LINE.finditer(text):
        operands = re.sub(r"\s*(//|;).*", "", found[4] or "")
        yield Insn(int(found[1], 16), int(found[2], 16), found[3],
                   [o.strip() for o in re.findall(r"\[[^]]*\]!?|\{[^}]*\}|[^,\s][^,]*", operands)])


def read(text: str) -> Text:
    """Index what 'objdump -d' prints."""
    found = list(re.finditer(r"^([0-9a-f]+) <(.*)>:$", text, re.M))
    ends = [*(match.start() for match in found[1:]), len(text)]
    order = sorted(range(len(found)), key=lambda i: int(found[i][1], 16))
    return Text(text, [int(found[i][1], 16) for i in order], [found[i][2] for i in order],
                [(found[i].end(), ends[i]) for i in order])


def _part(all_: Text, address: int) -> int:
    """The index of the symbol that an address belongs to."""
    return bisect.bisect_right(all_.starts, address) - 1


def _slice(all_: Text, address: int, length: int) -> Iterator[Insn]:
    place, end = all_.places[_part(all_, address)]
    start = re.compile(rf"^ *{address:x}:\t", re.M).search(all_.text, place, end)
    if start:
        for insn in _insns(all_.text[start.start():min(end, start.start() + length * 60)]):
            if insn.address >= address + length:
                break
            yield insn


def _parent(name: str) -> str:
    return re.sub(r"\.cold(\.\d+)?$", "", name)


def _function(all_: Text, part: int) -> tuple[int, dict[int, Insn]]:
    """The function that a part belongs to, as its first part, with all instructions."""
    name = _parent(all_.names[part])
    for first, other in enumerate(all_.names):
        if other != name:
            continue
        insns, todo = {}, [first]
        while todo:
            here = todo.pop()
            for insn in _insns(all_.text[slice(*all_.places[here])]):
                insns[insn.address] = insn
                to = _target(insn)
                if to is not None and to not in insns:
                    there = _part(all_, to)
                    if (there not in (here, first) and _parent(all_.names[there]) == name
                            and all_.names[there] != name):
                        todo.append(there)
        if all_.starts[part] in insns or first == part:
            return first, insns
    return part, {insn.address: insn for insn in _insns(all_.text[slice(*all_.places[part])])}


def _switch(insns: dict[int, Insn], insn: Insn) -> bool:
    """Whether an indirect branch is that of a switch statement, as gcc makes it."""
    before = insns.get(insn.address - 4)
    return bool(before and before.name == "add" and before.operands[0] == insn.operands[0]
                and "sxt" in before.operands[-1])


def _flow(insns: dict[int, Insn], tables: Tables) -> dict[int, set[int]]:
    """Which instructions may come after each."""
    targets = {to for to in map(_target, insns.values()) if to in insns}
    after: dict[int, set[int]] = {}
    ends: dict[int, int] = {}  # where a replacement ends: where it goes on
    for original, patches in tables.replaced.items():
        for replacement, length, long in patches:
            if long:
                ends[replacement + long] = original + length
    for address, insn in insns.items():
        to = _target(insn)
        found = {to} if to is not None else set()
        called = insn.operands[0].split()[-1].strip("<>") if insn.name == "bl" else ""
        if (not re.match(r"(b|br|bra.*|ret\w*|eret\w*|drps|udf)$", insn.name)
                and called not in tables.noreturn and address not in tables.bugs):
            found.add(ends.get(address + 4, address + 4))
        if insn.name == "br" and _switch(insns, insn):
            # Wherever it may go, and where it may not
            found |= targets | {other + 4 for other, end in insns.items()
                                if re.match("(b|br|ret.*)$", end.name)}
        found |= set(tables.others.get(address, ()))
        for one in list(found):
            found |= {patch[0] if patch[2] else one + patch[1]
                      for patch in tables.replaced.get(one, ())}
        after[address] = {one for one in found if one in insns}
    return after


def _raises(insns: dict[int, Insn], write: Insn) -> bool | None:
    """Whether a write of the register makes page tables writable; None if it is not known."""
    for back in range(1, 9):
        insn = insns.get(write.address - 4 * back)
        if insn is None:
            break
        if insn.operands[:1] == write.operands[-1:]:
            if insn.name == "mov" and insn.operands[1].startswith("#"):
                return bool(int(insn.operands[1][1:], 0) & _WRITABLE)
            break
    return None


def _states(insns: dict[int, Insn], tables: Tables, entry: int) -> Iterator[tuple[Insn, State]]:
    """The state before each write of the register, and each store to memory while it is raised.

    As often as it is reached; the last is all.
    """
    after = _flow(insns, tables)
    before: dict[int, int] = {}
    for found in after.values():
        for one in found:
            before[one] = before.get(one, 0) + 1
    begin = {entry: _entry()}
    for patch in tables.replaced.get(entry, ()):
        begin[patch[0]] = _entry()
    todo = [one for one in begin if one in insns]
    while todo:
        address = todo.pop()
        state = State(list(begin[address].registers), dict(begin[address].slots))
        while True:
            insn = insns[address]
            raised = state.registers[_LEVEL] != CONSTANT
            if _register(insn) or raised and _STORES.match(insn.name):
                yield insn, State(list(state.registers), dict(state.slots))
            _step(state, insn)
            if _register(insn):
                raises = _raises(insns, insn)
                if raises is not None:
                    state.registers[_LEVEL] = RAISED if raises else CONSTANT
            found = after[address]
            if len(found) == 1:
                address = next(iter(found))
                if before[address] == 1 and address not in begin:
                    continue
                found = {address}
            for one in found:
                old = begin.get(one)
                new = state if old is None else _merge(old, state)
                if new != old:
                    begin[one] = State(list(new.registers), dict(new.slots))
                    todo.append(one)
            break


def _register(insn: Insn) -> str:
    """Which of the registers the instruction writes, if it does."""
    if insn.word >> 24 != 0xD5 or insn.word >> 5 & 0x7FF != 0x514:
        return ""
    return REGISTERS.get(insn.word >> 16 & 0xFF, "")


def _forwards(insn: Insn, state: State) -> bool:
    """Whether an instruction stores an argument, or a part of it, where an argument points to."""
    place = next((i for i, operand in enumerate(insn.operands) if operand.startswith("[")), None)
    if place is None:
        return False
    base = insn.operands[place].strip("[]!").split(",")[0]
    data = insn.operands[:place]
    if re.match(r"st(l?xp|l?xr)", insn.name):
        data = data[1:]  # without that which says whether it was stored
    elif insn.name.startswith(("swp", "cas")):
        data = data[:-1] if insn.name.startswith("swp") else data[len(data) // 2:]
    return ("argument" in {kind for kind, _ in _get(state, base)}
            and any("argument" in {kind for kind, _ in _get(state, one)} for one in data))


def inspect_text(text: str, tables: Tables, exported: Set[str], visible: Set[str]
                 ) -> tuple[list[Write], list[Store]]:
    """All writes of the registers, and stores of arguments, in what 'objdump -d' printed."""
    all_ = read(text)
    back = {replacement + i: (original, i) for original, patches in tables.replaced.items()
            for replacement, _, long in patches for i in range(0, long, 4)}
    sites: dict[int, tuple[int, dict[int, Insn]]] = {}
    for found in _WRITE.finditer(text):
        address = int(found[1], 16)
        home = back.get(address, (address, 0))[0]
        if not any(home in insns for _, insns in sites.values()):
            first, insns = _function(all_, _part(all_, home))
            sites[first] = first, insns
    result, stores = [], []
    for first, insns in sites.values():
        mine = {original: patches for original, patches in tables.replaced.items()
                if original in insns}
        for patches in mine.values():
            for replacement, _, long in patches:
                insns.update({i.address: i for i in _slice(all_, replacement, long)})
        origins: dict[int, set[str]] = {a: set() for a, i in insns.items() if _register(i)}
        forwards: set[int] = set()
        for insn, state in _states(insns, tables._replace(replaced=mine), all_.starts[first]):
            if _register(insn):
                origins[insn.address] |= {kind for kind, _ in _get(state, insn.operands[-1])}
            elif _forwards(insn, state):
                forwards.add(insn.address)
        name = all_.names[first]
        entry = insns.get(all_.starts[first])
        stores += [Store(name, back.get(address, (address, 0))[0] - all_.starts[first],
                         name in exported, name in visible,
                         entry is not None and entry.word in _PADS)
                   for address in sorted(forwards)]
        for address, kinds in origins.items():
            home, more = back.get(address, (address, 0))
            part = _part(all_, home)
            result.append(Write(all_.names[part], home + more - all_.starts[part],
                                _register(insns[address]), frozenset(kinds or {"unknown"})))
    return sorted(result), sorted(stores)


def _symbols(vmlinux: Path) -> tuple[set[str], set[str]]:
    """Those that are exported, and those that other files see."""
    found = re.findall(r"^\w+ (\w) (\S+)$",
                       proc.output([needs.cross_prefix() + "nm", vmlinux], "nm"), re.M)
    return ({name[len("__ksymtab_"):] for _, name in found if name.startswith("__ksymtab_")},
            {name for kind, name in found if kind in "TW"})


def _bytes(vmlinux: Path, start: int, stop: int) -> bytes:
    text = proc.output([needs.cross_prefix() + "objdump", "-s", f"--start-address={start}",
                        f"--stop-address={stop}", vmlinux], "objdump")
    return bytes.fromhex("".join(re.findall(r"^ [0-9a-f]+ ((?:[0-9a-f]+ ){1,4})", text, re.M)))


_TRAP = re.compile(r"^ *([0-9a-f]+):\td4210000 ", re.M)  # BRK of BUG() and WARN()
_WARNING = 1  # BUGFLAG_WARNING


def _tables(vmlinux: Path, text: str, noreturn: frozenset[str]) -> Tables:
    symbols = {name: int(address, 16) for address, name in re.findall(
        r"^(\w+) \w (\w+)$", proc.output([needs.cross_prefix() + "nm", vmlinux], "nm"), re.M)}

    def entries(start: str, stop: str, form: str) -> Iterator[tuple[int, ...]]:
        """The rows of a table; the first two of each are relative to where they are."""
        if symbols.get(start, 0) < symbols.get(stop, 0):
            size = struct.calcsize(form)
            data = _bytes(vmlinux, symbols[start], symbols[stop])
            if len(data) % size:
                raise Problem(f"{vmlinux}: {start} has no rows of {size} bytes")
            for place, row in enumerate(struct.iter_unpack(form, data)):
                at = symbols[start] + place * size
                yield (at + row[0], at + 4 + row[1], *row[2:])

    replaced: dict[int, list[tuple[int, int, int]]] = {}
    others: dict[int, list[int]] = {}
    for original, replacement, cap, length, long in entries(
            "__alt_instructions", "__alt_instructions_end", "<iiHBB"):
        if cap & 0x8000:
            # A function patches it: branches may become nops, constants become others
            for address in range(original, original + length, 4):
                others.setdefault(address, []).append(address + 4)
        else:
            replaced.setdefault(original, []).append((replacement, length, long))
    for code, target, _ in entries("__start___jump_table", "__stop___jump_table", "<iiq"):
        others.setdefault(code, []).extend((target, code + 4))
    for insn, fixup, _ in entries("__start___ex_table", "__stop___ex_table", "<iii"):
        others.setdefault(insn, []).append(fixup)
    bugs = {address: flags for address, _, _, flags in entries(
        "__start___bug_table", "__stop___bug_table", "<iiHH")}
    if not bugs.keys() <= {int(address, 16) for address in _TRAP.findall(text)}:
        raise Problem(f"{vmlinux}: __bug_table has another layout, or no file and line in it"
                      " (CONFIG_DEBUG_BUGVERBOSE)")
    return Tables(replaced, others, noreturn,
                  frozenset(address for address, flags in bugs.items() if not flags & _WARNING))


def inspect(vmlinux: Path, noreturn: frozenset[str]) -> tuple[list[Write], list[Store]]:
    """All writes of the registers in a kernel, of which some functions do not return.

    And the stores of a function's argument through another one while page tables are writable.
    """
    text = proc.output([needs.cross_prefix() + "objdump", "-d", "-z", vmlinux], "objdump")
    return inspect_text(text, _tables(vmlinux, text, noreturn), *_symbols(vmlinux))
