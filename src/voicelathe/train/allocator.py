"""What PyTorch's CUDA allocator reserves for a sequence of requests, with expandable segments, as every worker runs.

The rules (c10/cuda/CUDACachingAllocator.cpp): sizes are rounded up to 512 bytes; requests up to 1 MiB come from a pool that grows by
2 MiB, larger ones from a pool that grows by 20 MiB; the smallest free block that fits is taken and split; neighbours merge.
"""

import bisect

ROUND = 512
SMALL_LIMIT = 1 << 20
PAGE = {True: 2 << 20, False: 20 << 20}  # by whether the pool is the small one


class Pool:
    """One growing segment: blocks by address, free ones by size."""

    def __init__(self, page: int) -> None:
        self.page = page
        self.reserved = 0
        self._starts: dict[int, int] = {}  # free: address -> size
        self._ends: dict[int, int] = {}  # free: end -> address
        self._sizes: list[tuple[int, int]] = []  # free: (size, address), sorted
        self._taken: dict[int, int] = {}  # address -> size

    def take(self, size: int) -> int:
        """Address of a block of that size."""
        at = bisect.bisect_left(self._sizes, (size, 0))
        if at == len(self._sizes):
            self._grow(size)
            at = bisect.bisect_left(self._sizes, (size, 0))
        found, address = self._sizes[at]
        self._forget(address, found)
        if found > size:
            self._free(address + size, found - size)
        self._taken[address] = size
        return address

    def give(self, address: int) -> None:
        """Free a block and merge it with its neighbours."""
        size = self._taken.pop(address)
        if (before := self._ends.get(address)) is not None:
            length = self._starts[before]
            self._forget(before, length)
            address, size = before, size + length
        if (behind := self._starts.get(address + size)) is not None:
            self._forget(address + size, behind)
            size += behind
        self._free(address, size)

    def _grow(self, size: int) -> None:
        """Map pages behind the last block; a free block at the very end is used first."""
        last = self._ends.get(self.reserved)
        missing = size - (self._starts[last] if last is not None else 0)
        added = -(-missing // self.page) * self.page
        self._taken[self.reserved] = added
        self.reserved += added
        self.give(self.reserved - added)

    def _free(self, address: int, size: int) -> None:
        self._starts[address] = size
        self._ends[address + size] = address
        bisect.insort(self._sizes, (size, address))

    def _forget(self, address: int, size: int) -> None:
        del self._starts[address], self._ends[address + size]
        self._sizes.pop(bisect.bisect_left(self._sizes, (size, address)))


class Allocator:
    """Both pools, and who holds which block."""

    def __init__(self) -> None:
        self._pools = {small: Pool(page) for small, page in PAGE.items()}
        self._held: dict[int, tuple[bool, int]] = {}

    def take(self, key: int, size: int) -> None:
        """Somebody asks for memory."""
        rounded = -(-size // ROUND) * ROUND
        small = rounded <= SMALL_LIMIT
        self._held[key] = (small, self._pools[small].take(rounded))

    def give(self, key: int) -> None:
        """Somebody lets it go."""
        small, address = self._held.pop(key)
        self._pools[small].give(address)

    @property
    def reserved(self) -> int:
        """The most that was ever reserved: nothing is given back to the driver."""
        return sum(pool.reserved for pool in self._pools.values())
