"""A bounded memory keeps what was used last."""

from __future__ import annotations

from executor.lru import Lru


def test_what_was_used_last_stays() -> None:
    lru: Lru[str, int] = Lru(3)
    for number, key in enumerate("abc"):
        lru.put(key, number)
    assert lru.get("a") == 0
    assert lru.peek("b") == 1  # a look is no use
    lru.put("d", 3)
    assert ("b" in lru, lru.get("a"), len(lru)) == (False, 0, 3)


def test_weights_bound_the_sum() -> None:
    lru: Lru[str, str] = Lru(10)
    lru.put("a", "x", 6)
    lru.put("b", "y", 4)
    lru.put("a", "z", 3)  # in the place of the first
    lru.put("c", "w", 3)
    assert (lru.get("a"), lru.get("b"), lru.get("c")) == ("z", "y", "w")
    lru.put("d", "too heavy", 11)
    assert ("d" in lru, len(lru)) == (False, 3)
    lru.put("e", "v", 10)
    assert (lru.get("e"), len(lru)) == ("v", 1)
