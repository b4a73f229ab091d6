"""Who gets memory for decoding, in which order, and that it is always given back."""

from __future__ import annotations

import asyncio
import threading

import pytest

from splitway.errors import DeadlineExceeded, TooLarge
from splitway.kinds.image.look import look
from splitway.memory_limit import MemoryLimit
from splitway.runtime.decode_room import NOTHING, SMALL_BYTES, DecodeLoad, DecodePlace, DecodeRoom
from testkit.support import picture
from tests.gateway.resilience.support import in_virtual_time, now

MB = 1_000_000


def load(megabytes: int, *, large: bool = False) -> DecodeLoad:
    looked = look(picture(size=(8, 8), format_="WEBP"))
    assert looked is not None
    return DecodeLoad(megabytes * MB, large, (looked,))


def taken(room: DecodeRoom, megabytes: int, *, large: bool = False) -> DecodePlace:
    place = room.place(load(megabytes, large=large))
    assert place is not None
    return place


def end(place: DecodePlace) -> None:
    """Decode in a thread, and end the request."""

    def decode() -> None:
        with place:
            pass

    thread = threading.Thread(target=decode)
    thread.start()
    thread.join()
    place.leave()


class CountedLoad(DecodeLoad):
    """Counts how often its memory is looked at, all of them together."""

    looks = 0

    @property
    def memory_bytes(self) -> int:
        CountedLoad.looks += 1
        return self[0]


async def settle() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_small_pictures_need_no_place() -> None:
    room = DecodeRoom(100 * MB, threads=1)
    assert room.place(NOTHING) is None
    assert room.place(load(SMALL_BYTES // MB)) is None
    assert room.used_bytes == 0


@pytest.mark.parametrize("waits_large", [False, True])
async def test_one_more_costs_as_much_however_many_wait(waits_large: bool) -> None:
    room = DecodeRoom(100 * MB, threads=1)
    first = taken(room, 60, large=waits_large)
    waiting = [room.place(CountedLoad(*load(60, large=waits_large))) for _ in range(200)]
    CountedLoad.looks = 0
    last = room.place(CountedLoad(*load(60)))
    assert CountedLoad.looks < 10
    for place in (first, *waiting, last):
        assert place is not None
        place.leave()
    await settle()
    assert (room.used_bytes, room.waiting) == (0, 0)


async def test_what_never_fits_is_refused_and_says_so() -> None:
    room = DecodeRoom(100 * MB, threads=1)
    with pytest.raises(TooLarge, match=r"93000000 bytes of memory; there are 92000000 .*SPLITWAY_DECODE_MEMORY_BYTES"):
        room.place(load(93))
    assert taken(room, 92).given.is_set()


async def test_what_fits_later_waits_for_what_is_being_decoded() -> None:
    room = DecodeRoom(108 * MB, threads=1)
    first, second, third = taken(room, 60), taken(room, 60), taken(room, 30)
    assert [each.given.is_set() for each in (first, second, third)] == [True, False, False]
    assert (room.used_bytes, room.waiting) == (60 * MB, 2)
    end(first)
    await settle()
    assert second.given.is_set()
    assert third.given.is_set()
    end(second)
    end(third)
    assert (room.used_bytes, room.waiting) == (0, 0)


async def test_large_ones_are_decoded_one_at_a_time_and_hold_nothing_else_up() -> None:
    room = DecodeRoom(508 * MB, threads=1)
    large, next_large = taken(room, 10, large=True), taken(room, 10, large=True)
    others = [taken(room, 10) for _ in range(20)]
    assert large.given.is_set()
    assert not next_large.given.is_set()
    assert all(other.given.is_set() for other in others)
    end(large)
    await settle()
    assert next_large.given.is_set()


async def test_others_pass_a_large_one_that_waits_for_memory_but_not_for_ever() -> None:
    room = DecodeRoom(108 * MB, threads=1)
    at_work = [taken(room, 40)]
    large = taken(room, 90, large=True)
    passed = 0
    for _ in range(50):
        other = taken(room, 40)
        if not other.given.is_set():
            break
        passed += 1
        end(at_work.pop())
        at_work.append(other)
        await settle()
    assert 0 < passed < 20
    end(at_work.pop())
    await settle()
    assert large.given.is_set()
    assert not other.given.is_set()
    end(large)
    await settle()
    assert other.given.is_set()


async def test_the_next_large_one_is_passed_as_often_when_the_first_gives_up() -> None:
    room = DecodeRoom(108 * MB, threads=1)
    at_work = taken(room, 40)
    large = taken(room, 90, large=True)
    while (other := taken(room, 40)).given.is_set():
        end(at_work)
        at_work = other
        await settle()
    large.leave()
    await settle()
    assert other.given.is_set()
    end(at_work)
    taken(room, 90, large=True)
    assert taken(room, 40).given.is_set()


async def test_a_request_that_is_given_up_leaves_the_queue_or_gives_its_memory_back() -> None:
    room = DecodeRoom(108 * MB, threads=1)
    has_room, waits, last = taken(room, 90), taken(room, 90), taken(room, 90)
    waits.leave()
    has_room.leave()
    await settle()
    assert last.given.is_set()
    assert (room.used_bytes, room.waiting) == (90 * MB, 0)
    with pytest.raises(DeadlineExceeded), has_room:
        raise AssertionError("what nobody waits for is not decoded")


async def test_memory_is_kept_until_a_thread_has_ended_what_it_began() -> None:
    room = DecodeRoom(108 * MB, threads=1)
    place = taken(room, 90)
    with place:
        place.leave()
        assert room.used_bytes == 90 * MB
    assert room.used_bytes == 0


async def test_it_is_given_back_when_decoding_fails() -> None:
    room = DecodeRoom(108 * MB, threads=1)
    place = taken(room, 90)
    with pytest.raises(ValueError, match="damaged"), place:
        raise ValueError("damaged")
    assert room.used_bytes == 0


async def test_what_the_process_itself_takes_is_looked_at_again() -> None:
    """An estimate that was wrong once, while two versions were loaded, refuses nothing afterwards."""
    used = [330 * MB]
    room = DecodeRoom(0, 1, lambda: MemoryLimit(512 * MB, used[0]), lambda: 0.0)
    with pytest.raises(TooLarge, match="memory"):
        room.place(load(100))
    used[0] = 150 * MB
    assert taken(room, 100).given.is_set(), "before it is refused, it is read once more"
    assert room.capacity_bytes == (512 - 128 - 150) * MB


def shrinking(used: list[int]) -> DecodeRoom:
    """A room whose process took 150 MB at first, of 512."""
    room = DecodeRoom(0, 1, lambda: MemoryLimit(512 * MB, used[0] * MB), now)
    room.look()
    return room


def test_what_fits_when_the_process_is_smaller_again_waits_for_that() -> None:
    """As while two versions are loaded: nothing that is being decoded ends, and still it is woken."""

    async def main() -> None:
        used = [150]
        room = shrinking(used)
        used[0] = 330
        await asyncio.sleep(1)
        place, large = taken(room, 100), taken(room, 100, large=True)
        await asyncio.sleep(60)
        assert not place.given.is_set()
        assert room.capacity_bytes == 54 * MB
        with pytest.raises(TooLarge, match="there are 226000000"):
            room.place(load(227))
        used[0] = 150
        async with asyncio.timeout(1):
            await large.given.wait()
            end(large)
            await place.given.wait()

    in_virtual_time(main())


def test_what_is_too_large_for_now_holds_nothing_else_up() -> None:
    async def main() -> None:
        used = [150]
        room = shrinking(used)
        used[0] = 330
        await asyncio.sleep(1)
        too_large = [taken(room, 100, large=is_large) for is_large in (True, False) for _ in range(3)]
        for is_large in (True, False) * 10:
            other = taken(room, 40, large=is_large)
            assert other.given.is_set()
            end(other)
            await asyncio.sleep(0.5)
        for place in too_large:
            assert not place.given.is_set()
            place.leave()
        assert (room.used_bytes, room.waiting) == (0, 0)

    in_virtual_time(main())


def test_what_waits_for_its_turn_is_woken_by_memory_too() -> None:
    """What was decoded beside it may take its memory longer than it says."""

    async def main() -> None:
        used = [150]
        room = shrinking(used)
        first = taken(room, 100)
        waits = taken(room, 150)
        used[0] = 330  # what is left of the first one
        await asyncio.sleep(1)
        end(first)
        await asyncio.sleep(1)
        assert not waits.given.is_set()
        used[0] = 150
        await asyncio.sleep(1)
        assert waits.given.is_set()

    in_virtual_time(main())


def test_nothing_is_read_while_nothing_waits() -> None:
    async def main() -> None:
        reads = 0

        def read() -> MemoryLimit:
            nonlocal reads
            reads += 1
            return MemoryLimit(512 * MB, 150 * MB)

        room = DecodeRoom(0, 1, read, now)
        place, waits = taken(room, 200), taken(room, 200)
        await asyncio.sleep(2)
        assert reads > 4
        end(place)
        await asyncio.sleep(0)
        end(waits)
        await asyncio.sleep(1)
        before = reads
        await asyncio.sleep(60)
        assert reads == before

    in_virtual_time(main())


async def test_it_is_looked_at_again_while_pictures_are_decoded_one_after_the_other() -> None:
    seconds, used = [0.0], [330 * MB]
    room = DecodeRoom(0, 1, lambda: MemoryLimit(512 * MB, used[0]), lambda: seconds[0])
    small = taken(room, 20)
    assert room.capacity_bytes == 54 * MB
    used[0] = 150 * MB
    large = room.place(load(100))
    assert room.capacity_bytes == 234 * MB
    used[0] = 270 * MB  # with both of them: nothing says that the process itself takes more
    seconds[0] = 1.0
    assert room.place(load(20)) is not None
    assert room.capacity_bytes == 234 * MB
    used[0] = 500 * MB
    seconds[0] = 2.0
    assert room.place(load(20)) is not None
    assert room.capacity_bytes < 234 * MB
    assert large is not None
    assert (small.given.is_set(), large.given.is_set()) == (True, True)


async def test_without_a_limit_a_fixed_amount_counts() -> None:
    room = DecodeRoom(0, 2, lambda: None)
    assert taken(room, 224).given.is_set()
    with pytest.raises(TooLarge):
        room.place(load(225))
