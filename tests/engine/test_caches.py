"""Caches: what is kept, what goes, and that the counters tell the truth."""

from __future__ import annotations

import threading

from kokoro_lab.engine.caches import Cache


def test_the_least_recently_used_entry_goes_first() -> None:
    cache: Cache[str, int] = Cache(2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.get("a") == 1
    cache.put("c", 3)
    assert cache.get("b") is None
    assert cache.keys() == ["a", "c"]
    status = cache.status()
    assert (status.hits, status.misses, status.evictions, status.entries) == (1, 1, 1, 2)
    assert status.hit_rate == 0.5


def test_weights_are_bounded_and_an_oversized_value_is_refused() -> None:
    cache: Cache[str, bytes] = Cache(10, weigh=len)
    assert cache.put("a", b"x" * 6)
    assert cache.put("b", b"x" * 4)
    assert cache.status().size == 10
    assert cache.put("c", b"x" * 5)
    assert cache.keys() == ["b", "c"]
    assert cache.status().size == 9
    assert not cache.put("d", b"x" * 11)
    assert cache.keys() == ["b", "c"]
    assert cache.status().refusals == 1


def test_replacing_a_value_keeps_the_size_right() -> None:
    cache: Cache[str, bytes] = Cache(10, weigh=len)
    cache.put("a", b"x" * 6)
    cache.put("a", b"x" * 3)
    assert (cache.status().size, cache.status().entries, cache.status().evictions) == (3, 1, 0)


def test_old_entries_expire_and_count_as_misses() -> None:
    clock = [0.0]
    cache: Cache[str, int] = Cache(5, ttl_s=10, now=lambda: clock[0])
    cache.put("a", 1)
    clock[0] = 9.9
    assert cache.get("a") == 1
    clock[0] = 10.0
    assert cache.get("a") is None
    status = cache.status()
    assert (status.hits, status.misses, status.expirations, status.size) == (1, 1, 1, 0)


def test_a_cache_without_room_keeps_nothing() -> None:
    cache: Cache[str, int] = Cache(0)
    assert not cache.put("a", 1)
    assert cache.get("a") is None


def test_counters_hold_with_many_threads() -> None:
    cache: Cache[int, int] = Cache(50)

    def work(offset: int) -> None:
        for step in range(500):
            key = (offset + step) % 80
            if cache.get(key) is None:
                cache.put(key, key)

    threads = [threading.Thread(target=work, args=(offset,)) for offset in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    status = cache.status()
    assert status.hits + status.misses == 8 * 500
    assert status.entries == status.size <= 50
