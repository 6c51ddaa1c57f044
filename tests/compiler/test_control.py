"""Branches, loops, matches, and where functions end."""

from __future__ import annotations

from typing import Any

from tracklayer.lang import Array, Ptr, array, i32, i64, pointer, struct, typed, u8, u16, u32, u64, unlikely

from .harness import agree, build, compiled


@typed
def sign(x: i32) -> i32:
    if x < 0:
        return -1
    elif x == 0:
        return 0
    else:
        return 1


@typed
def nested_returns(x: u8, y: u8) -> u16:
    if x > 10:
        if y > 10:
            return x + y
        x = 3
    elif y == 7:
        return 7
    return x * y


@typed
def choose(x: u8, y: i64) -> i64:
    a = x if x > y else y
    b = (1 if x else 2) + (x * 3 if y > 0 and x < 100 else -y if y > -1000 else 5)
    c = 10 if not (x and y) else 20
    return i64(a & 0xFFFF) + b + c


@typed
def deciding(x: u8, y: i32, z: u8) -> i64:
    """`and` and `or` hand on the operand that decides, as in Python."""
    a = x and y
    b = x or y
    c = (x and y) or z
    d = (x or z) and (y or 7)
    e = x > 3 and z
    f = not (x and z)
    g = x and 5
    h = z or 5
    i = 0 or x
    j = 3 and z
    return i64(a + 3 * b + 7 * c + 11 * d + 13 * e + 17 * f + 19 * g + 23 * h + 29 * i + 31 * j)


def test_branches() -> None:
    agree(sign, (-5,), (0,), (9,))
    agree(nested_returns, *((x, y) for x in (0, 10, 11, 255) for y in (0, 7, 10, 11, 255)))
    agree(choose, *((x, y) for x in (0, 1, 99, 100, 255) for y in (-(1 << 62), -1000, -999, -1, 0, 1, 254, 255, 256)))


def test_and_or_are_those_of_python() -> None:
    agree(deciding, *((x, y, z) for x in (0, 1, 3, 4, 255) for y in (-7, 0, 1, 99) for z in (0, 1, 200)))


@struct
class Box:
    count: u32
    values: Array[u8] = array(16)
    p: Ptr[u8]


@typed
def bump(box: Box) -> u8:
    box.count += 1
    return u8(box.count)


@typed
def chained(box: Box, x: u8) -> u32:
    """The middle of a chain is evaluated once, and only when it is needed."""
    a = x < bump(box) < 9
    b = 5 < x < bump(box) < 100
    c = x == x == 3
    if 2 <= x <= bump(box) or x > 200:
        return 1000 + a + 2 * b + 4 * c
    return (box.count & 255) * 10000 + a + 2 * b + 4 * c


def test_chained_comparisons() -> None:
    machine = compiled(chained)
    for x in range(256):
        mine, other = Box(), Box()
        assert machine(mine, x) == chained(other, x)
        assert mine.count == other.count


@typed
def loop(n: u8) -> u32:
    total: u32 = 0
    i: u8 = 0
    while i < n:
        i = u8(i + 1)
        if i & 1:
            continue
        if i > 100:
            break
        total = u32(total + i)
    return total


@typed
def widened(n: u16) -> i64:
    """Nothing is annotated: intervals widen until they hold."""
    a, b, i, odd = 0, 1, 0, False
    while i < n:
        a, b = b, u16(a + b)
        i = u16(i + 1)
        odd = not odd
    return a - b if odd else a + b


@typed
def nested_loops(n: u8, m: u8) -> u32:
    total: u32 = 0
    i: u8 = 0
    while True:
        j: u8 = 0
        while j < m:
            j = u8(j + 1)
            if j == 3:
                continue
            if i * j > 200:
                break
            total = u32(total + i * j)
        i = u8(i + 1)
        if i >= n:
            return total


@typed
def unrolled(x: u8) -> u32:
    total: u32 = 0
    for i in range(8):
        if not x >> i & 1:
            continue
        if i == 6:
            break
        total = u32(total + (1 << i) * 3)
    for weight in (1, 10, 100):
        total = u32(total + weight * x)
    for i, (a, b) in enumerate(((1, 2), (3, 4))):
        total = u32(total + i * a * b)
    return total


@typed
def never(x: u8) -> u8:
    while False:
        x = u8(x + 1)
    while x > 300:
        x = 0
    return x


def test_loops() -> None:
    agree(loop, *((n,) for n in (0, 1, 2, 99, 100, 101, 102, 255)))
    agree(widened, *((n,) for n in (0, 1, 2, 3, 47, 48, 49, 1000)))
    agree(nested_loops, *((n, m) for n in (0, 1, 5, 60) for m in (0, 1, 3, 4, 60)))
    agree(unrolled, *((x,) for x in range(256)))
    agree(never, (0,), (200,))


@typed
def loop_carried_pointer(box: Box, n: u8) -> u32:
    p = pointer(box.values)
    q = box.p
    total: u32 = 0
    i: u8 = 0
    while i < n and i < 15:
        total = u32(total + p[0] + q[0])
        i = u8(i + 1)
        p = pointer(box.values, i)
        if p[0] > 3:
            q = p
    return total


def test_pointers_that_a_loop_moves() -> None:
    for n in (0, 1, 5, 15, 30):
        results = []
        for run in (loop_carried_pointer, *(build(loop_carried_pointer, level=level)[0] for level in (0, 2))):
            box: Any = Box()
            for index in range(16):
                box.values[index] = index * 7 % 5
            box.p = pointer(box.values, 2)
            results.append(run(box, n))
        assert len(set(results)) == 1, results


@typed
def set_within(n: u8) -> u32:
    """Locals that are tuples may be set anew in each round, where none is handed on."""
    pair = (0, 0)
    total: u32 = 0
    i: u8 = 0
    while i < n:
        pair = (i, total)
        total = u32(total + pair[0] + 2 * pair[1])
        i = u8(i + 1)
    return total


def test_tuples_set_in_each_round() -> None:
    agree(set_within, *((n,) for n in range(12)))


@typed
def matched(x: i32) -> u16:
    match x:
        case 0:
            return 10
        case 1 | 2 | -1:
            y = 3
        case 4:
            y = x
        case 1000000:
            return x % 7
        case _:
            y = 100
    return u16(x & 0xFF) + y


@typed
def matched_without_default(x: u32) -> u32:
    result: u32 = 5
    match x & 3:
        case 0:
            result = 7
        case 0 | 1:
            result = 8
        case 77:
            result = 9
    match x:
        case 4294967295:
            result = u32(result + 1)
    return result


@typed
def matched_truth(x: u8) -> u8:
    match x > 3:
        case 0:
            return 1
        case 1:
            return 2
    return 3


def test_matches() -> None:
    agree(matched, *((x,) for x in (-2, -1, 0, 1, 2, 3, 4, 5, 1000000, -(1 << 31))))
    agree(matched_without_default, *((x,) for x in (0, 1, 2, 3, (1 << 32) - 1)))
    agree(matched_truth, (0,), (9,))


@typed
def rare(x: u16, y: u16) -> u32:
    total: u32 = 0
    if unlikely(x == 5):
        total = 1
    if unlikely(x > 3 and y < 9):
        total = u32(total + 10)
    if unlikely(not (x or y)):
        total = u32(total + 100)
    if unlikely(2 < x < 8):
        total = u32(total + x)
    return u32(total + unlikely(y) * 1000)


def test_hints_change_nothing() -> None:
    agree(rare, *((x, y) for x in (0, 3, 4, 5, 8) for y in (0, 1, 8, 9)))


NONE = ()


@typed
def members(x: i32, y: u8) -> u8:
    return (
        (x in (1, 2, y))
        | (x not in (5, -6)) << 1
        | (y in NONE) << 2
        | (y not in NONE) << 3
        | (3 in (x, y)) << 4
        | (2 in (2, 3)) << 5
    )


def test_membership() -> None:
    agree(members, *((x, y) for x in (-6, 0, 1, 2, 3, 5, 9) for y in (0, 3, 9)))


@typed
def swaps(x: u8, y: u8) -> u64:
    a, b = x, y
    a, b = b, a
    (c, d), e = (a, b), a + b
    c += d
    c *= 3
    c -= d
    c <<= 2
    c >>= 1
    c |= 1
    c &= 0xFFF
    c ^= 5
    c //= 2
    c %= 1000
    return c + 1000 * d + 1000000 * e


def test_assignments() -> None:
    agree(swaps, *((x, y) for x in (0, 1, 128, 255) for y in (0, 3, 255)))


@typed
def assertions(x: u8) -> u8:
    assert len((1, 2)) == 2
    if x:
        pass
    return x


def test_assertions_are_decided_while_compiling() -> None:
    agree(assertions, (3,))
    assert compiled(assertions)(3) == 3


@typed
def annotated(box: Box, n: u8) -> u64:
    mine: Box = box
    p: Ptr[u8] = pointer(mine.values, 1)
    limit: u8 = n & 15
    i: u8 = 0
    while i < limit:
        p[0] += i
        i = u8(i + 1)
    return u64(p[0]) << 8 | limit


def test_annotations_of_locals() -> None:
    for n in (0, 3, 15, 255):
        mine, other = Box(), Box()
        assert compiled(annotated)(mine, n) == annotated(other, n)
        assert bytes(mine) == bytes(other)
