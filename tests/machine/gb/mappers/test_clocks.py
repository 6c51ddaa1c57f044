"""The clocks in cartridges: MBC3's, HuC-3's, TAMA5's."""

from __future__ import annotations

import pytest

from .bench import SECOND, Bench

MBC3, TAMA5, HUC3 = 0x10, 0xFD, 0xFE
DAY = 86400


class Mbc3(Bench):
    """With the clock open."""

    def __init__(self) -> None:
        super().__init__(MBC3, 4, 3)
        self.write(0x0000, 0x0A)

    def register(self, number: int) -> int:
        self.write(0x4000, number)
        return self.ram

    def set(self, number: int, value: int) -> None:
        self.write(0x4000, number)
        self.write(0xA000, value)

    def latch(self) -> tuple[int, ...]:
        self.write(0x6000, 0)
        self.write(0x6000, 1)
        return tuple(self.register(number) for number in range(8, 13))


def test_mbc3_counts_guest_time() -> None:
    bench = Mbc3()
    assert bench.latch() == (0, 0, 0, 0, 0)
    bench.wait(SECOND - 1)
    assert bench.latch()[0] == 0
    bench.wait(1)
    assert bench.latch()[0] == 1
    bench.wait(SECOND * (3 * DAY + 2 * 3600 + 61))
    assert bench.latch() == (2, 1, 2, 3, 0)


def test_mbc3_shows_what_was_latched() -> None:
    bench = Mbc3()
    bench.latch()
    bench.wait(SECOND * 5)
    assert bench.register(8) == 0
    bench.write(0x6000, 1)
    assert bench.register(8) == 0
    bench.write(0x6000, 0)
    assert bench.register(8) == 0
    bench.write(0x6000, 1)
    assert bench.register(8) == 5


def test_mbc3_halts_in_the_middle_of_a_second() -> None:
    bench = Mbc3()
    bench.wait(SECOND // 2)
    bench.set(0x0C, 0x40)
    bench.wait(SECOND * 10)
    assert bench.latch() == (0, 0, 0, 0, 0x40)
    bench.set(0x0C, 0)
    bench.wait(SECOND // 2 - 1)
    assert bench.latch()[0] == 0
    bench.wait(1)
    assert bench.latch()[0] == 1


def test_writing_seconds_begins_a_second() -> None:
    bench = Mbc3()
    bench.wait(SECOND - 1)
    bench.set(8, 30)
    bench.wait(SECOND - 1)
    assert bench.latch()[0] == 30
    bench.wait(1)
    assert bench.latch()[0] == 31


def test_days_carry_and_the_carry_stays() -> None:
    bench = Mbc3()
    for number, value in ((8, 59), (9, 59), (10, 23), (11, 0xFF), (12, 1)):
        bench.set(number, value)
    bench.wait(SECOND)
    assert bench.latch() == (0, 0, 0, 0, 0x80)
    bench.wait(SECOND * DAY * 600)
    assert bench.latch() == (0, 0, 0, 600 - 512, 0x80)
    bench.set(12, 0)
    assert bench.latch()[4] == 0


@pytest.mark.parametrize(
    ("before", "seconds", "after"),
    [
        ((63, 5, 5), 1, (0, 5, 5)),
        ((60, 5, 5), 3, (63, 5, 5)),
        ((60, 5, 5), 64, (0, 6, 5)),
        ((59, 63, 5), 1, (0, 0, 5)),
        ((59, 59, 31), 1, (0, 0, 0)),
        ((59, 60, 23), 3600, (59, 56, 23)),
    ],
)
def test_values_out_of_range_count_on_and_carry_nothing(
    before: tuple[int, ...], seconds: int, after: tuple[int, ...]
) -> None:
    bench = Mbc3()
    for number, value in enumerate(before):
        bench.set(8 + number, value)
    bench.wait(SECOND * seconds)
    assert bench.latch()[:3] == after


def test_one_long_wait_is_as_many_short_ones() -> None:
    one, many = Mbc3(), Mbc3()
    for bench in (one, many):
        for number, value in enumerate((62, 61, 27, 255, 1)):
            bench.set(8 + number, value)
    one.wait(SECOND * 100_000)
    for _ in range(1000):
        many.wait(SECOND * 100)
        many.latch()
    assert one.latch() == many.latch()


def test_bits_that_do_not_exist_read_as_zero() -> None:
    bench = Mbc3()
    bench.set(12, 0x40)
    for number, bits in ((8, 0x3F), (9, 0x3F), (10, 0x1F), (11, 0xFF), (12, 0xC1)):
        bench.set(number, 0xFF)
        assert bench.register(number) == bits


def test_the_world_s_time_counts_if_asked_for() -> None:
    bench = Mbc3()
    now = [1_000_000 * SECOND]
    bench.gb.host.wall_clock = lambda: now[0]
    bench.gb.host.wall = 1
    bench.gb.mapper.seconds.synced = now[0]
    bench.wait(SECOND * 1000)
    assert bench.latch()[0] == 0
    now[0] += 7 * SECOND
    assert bench.latch()[0] == 7
    now[0] -= 100 * SECOND  # somebody set the host's clock back
    assert bench.latch()[0] == 7
    now[0] += SECOND
    assert bench.latch()[0] == 8


class Huc3(Bench):
    """With commands as programs give them."""

    def __init__(self) -> None:
        super().__init__(HUC3, 4, 3)

    def command(self, command: int, argument: int = 0) -> int:
        self.write(0x0000, 0x0D)
        assert self.ram & 1
        self.write(0x0000, 0x0B)
        self.write(0xA000, command << 4 | argument)
        self.write(0x0000, 0x0D)
        self.write(0xA000, 0xFE)
        assert self.ram & 1
        self.write(0x0000, 0x0C)
        assert self.ram >> 4 & 7 == command
        return self.ram & 15

    def at(self, address: int) -> None:
        self.command(4, address & 15)
        self.command(5, address >> 4)

    def time(self) -> tuple[int, int]:
        """Minute and day."""
        self.command(6, 0)
        self.at(0)
        digits = [self.command(1) for _ in range(7)]
        return sum(d << 4 * i for i, d in enumerate(digits[:3])), sum(d << 4 * i for i, d in enumerate(digits[3:]))

    def set_time(self, minute: int, day: int) -> None:
        self.at(0)
        for index in range(3):
            self.command(3, minute >> 4 * index & 15)
        for index in range(4):
            self.command(3, day >> 4 * index & 15)
        self.command(6, 1)


def test_huc3_is_well() -> None:
    assert Huc3().command(6, 2) == 1


def test_huc3_counts_minutes_and_days() -> None:
    bench = Huc3()
    bench.wait(SECOND * 59)
    assert bench.time() == (0, 0)
    bench.wait(SECOND)
    assert bench.time() == (1, 0)
    bench.set_time(1439, 0x123)
    bench.wait(SECOND * 60)
    assert bench.time() == (0, 0x124)
    bench.wait(SECOND * DAY * 10)
    assert bench.time() == (0, 0x12E)


def test_huc3_setting_the_time_moves_the_event() -> None:
    bench = Huc3()
    bench.at(0x58)
    for digit in (0, 1, 0, 0, 0, 0):  # minute 16, day 0
        bench.command(3, digit)
    bench.set_time(1430, 0)
    bench.at(0x58)
    assert [bench.command(1) for _ in range(6)] == [6, 0, 0, 1, 0, 0]  # minute 1446: 6 of the next day


class Tama5(Bench):
    """Unlocked."""

    def __init__(self) -> None:
        super().__init__(TAMA5, 32)
        assert self.ram == 0xF0
        self.write(0xA001, 0x0A)
        assert self.ram == 0xF1

    def put(self, register: int, value: int) -> None:
        self.write(0xA001, register)
        self.write(0xA000, value)

    def do(self, high: int, low: int, value: int = 0) -> int:
        self.put(4, value & 15)
        self.put(5, value >> 4)
        self.put(6, high)
        self.put(7, low)
        self.write(0xA001, 0x0C)
        answer = self.ram & 15
        self.write(0xA001, 0x0D)
        return answer | (self.ram & 15) << 4

    def clock(self, page: int, register: int, value: int | None = None) -> int:
        if value is None:
            return self.do(8, page << 1 | 1, register) & 15
        return self.do(8, page << 1, value << 4 | register)

    def date(self) -> str:
        digits = [self.clock(0, register) for register in range(13)]
        pairs = ((12, 11), (10, 9), (8, 7), (5, 4), (3, 2), (1, 0))
        return " ".join(f"{digits[tens]}{digits[ones]}" for tens, ones in pairs)

    def set_date(self, text: str) -> None:
        for register, digit in zip((12, 11, 10, 9, 8, 7, 5, 4, 3, 2, 1, 0), text.replace(" ", ""), strict=True):
            self.clock(0, register, int(digit))


def test_tama5_selects_banks_by_half_bytes() -> None:
    bench = Tama5()
    bench.put(0, 0xC)
    assert bench.high == 0x0C
    bench.put(1, 1)
    assert bench.high == 0x1C


def test_tama5_has_32_bytes_of_ram() -> None:
    bench = Tama5()
    for address in range(32):
        bench.do(address >> 4, address & 15, 0xA0 + address)
    assert [bench.do(2 | address >> 4, address & 15) for address in range(32)] == [0xA0 + n & 0xFF for n in range(32)]


@pytest.mark.parametrize(
    ("leap", "before", "seconds", "after"),
    [
        (1, "97 08 15 12 30 58", 2, "97 08 15 12 31 00"),
        (1, "97 12 31 23 59 59", 1, "98 01 01 00 00 00"),
        (1, "97 02 28 23 59 59", 1, "97 03 01 00 00 00"),
        (0, "96 02 28 23 59 59", 1, "96 02 29 00 00 00"),
        (0, "96 02 29 23 59 59", 1, "96 03 01 00 00 00"),
        (3, "99 12 31 12 00 00", DAY * 60, "00 02 29 12 00 00"),
    ],
)
def test_tama5_knows_the_calendar(leap: int, before: str, seconds: int, after: str) -> None:
    bench = Tama5()
    bench.clock(1, 0xA, 1)
    bench.clock(1, 0xB, leap)
    bench.set_date(before)
    bench.clock(0, 0xD, 8)
    assert bench.date() == before
    bench.wait(SECOND * seconds)
    assert bench.date() == after


def test_tama5_stands_still_until_it_is_started() -> None:
    bench = Tama5()
    bench.wait(SECOND * 5)
    assert bench.date() == "00 00 00 00 00 00"


def test_tama5_has_a_twelve_hour_way() -> None:
    bench = Tama5()
    bench.set_date("97 01 01 11 59 59")
    bench.clock(0, 0xD, 8)
    bench.wait(SECOND)
    assert (bench.clock(0, 5), bench.clock(0, 4)) == (2, 0)  # noon: afternoon, 0
    bench.wait(SECOND * 3600 * 11)
    assert (bench.clock(0, 5), bench.clock(0, 4)) == (3, 1)


def test_tama5_has_two_pages_of_plain_memory() -> None:
    bench = Tama5()
    for register in range(13):
        bench.clock(2, register, register)
        bench.clock(3, register, 15 - register)
    assert [bench.clock(2, register) for register in range(13)] == list(range(13))
    assert [bench.clock(3, register) for register in range(13)] == [15 - n for n in range(13)]
    assert bench.clock(1, 1) == 0
