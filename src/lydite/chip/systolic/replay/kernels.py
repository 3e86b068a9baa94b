"""The loops of the memory-stall simulation, compiled with numba and cached on disk.

An operand's port is an int64 array, whose places are named below, with four arrays beside it:

    place    int32, where an element lies in the prefetch stream, in order of demand
    address  int32, its address, likewise
    first    int64 [groups x lines + 1], where each line of demand begins in the two
    stream   int32, addresses in the order in which they are prefetched
    copies   int64, how often each address is in the window

All but `place` and `first` are empty for an operand whose addresses do not repeat.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from lydite.engine.kernels.jit import inlined, kernel

Ints: TypeAlias = Any
"""An integer array; numba's arrays have no type that a type checker knows."""

LINES, LEAD, RING, ACTIVE, STEP, REFILL_CYCLES, REPEATS, START, MOVED, READY, REFILLS = range(11)
"""Fields of an operand: lines per group, cycles before them in a fold; words of the stream (rounded
up to whole sets), of the window and of its step; cycles of a refill; whether addresses repeat; then
the state: where the window begins, when it came there, when its last refill is there, how many
there were.
"""

RATE, WORDS, HALF, FREE, FULL, BEGUN, DRAINED, PARTIALS = 0, 1, 2, 3, 4, 5, 6, 7
"""Fields of the ofmap, with READY as above. FULL and DRAINED count lines of RATE words."""


@inlined
def _count_diagonals(matrix: Ints, width: int, rank: Ints, first: Ints) -> None:
    """Begin of each antidiagonal: of the prefetch in `rank`, of each fold in `first`."""
    time, space = matrix.shape
    lines = time + width - 1
    for fold in range(-(-space // width)):
        for row in range(time):
            for column in range(min(width, space - fold * width)):
                if matrix[row, fold * width + column] >= 0:
                    rank[fold * time + row + column + 1] += 1
                    first[fold * lines + row + column + 1] += 1
    for at in range(1, len(rank)):
        rank[at] += rank[at - 1]
    for at in range(1, len(first)):
        first[at] += first[at - 1]


@kernel
def fill_streaming(
    matrix: Ints,
    width: int,
    repeats: bool,
    rank: Ints,
    place: Ints,
    address: Ints,
    first: Ints,
    stream: Ints,
) -> None:
    """Fill the arrays of an operand that streams, skewed, through an edge of `width` elements.

    Demand goes fold by fold in antidiagonals; the prefetch in those of all folds stacked, so that
    its order is that of demand except around the border of two folds. Along both, columns rise and
    rows fall: rows are taken from the last, so that memory is read in its order.

    Args:
        matrix: int32 [time, space] of addresses, -1 where there is none.
        width: rows or columns of the array.
        repeats: whether `address` and `stream` are wanted.
        rank: int64 [folds x time + width], zeros.
        place, address, first, stream: see above; `first` is zeros.
    """
    time, space = matrix.shape
    folds = -(-space // width)
    lines = time + width - 1
    _count_diagonals(matrix, width, rank, first)
    for fold in range(folds - 1, -1, -1):
        for row in range(time - 1, -1, -1):
            for column in range(min(width, space - fold * width)):
                found = matrix[row, fold * width + column]
                if found >= 0:
                    line, diagonal = fold * lines + row + column, fold * time + row + column
                    place[first[line]] = rank[diagonal]
                    if repeats:
                        address[first[line]] = found
                        stream[rank[diagonal]] = found
                    first[line] += 1
                    rank[diagonal] += 1
    # the begin of each line has become its end
    for at in range(len(first) - 1, 0, -1):
        first[at] = first[at - 1]
    first[0] = 0


@inlined
def _turn(lines: Ints, end: int, repeats: bool, place: Ints, address: Ints, stream: Ints) -> None:
    """Reverse the prefetch of a fold, one run of the stream, to start from its first row.

    `lines` holds the begin of its lines of demand, `end` the end of the last one.
    """
    rank = lines[0]
    for line in range(len(lines) - 1, -1, -1):
        for at in range(lines[line], end):
            place[at] = rank
            if repeats:
                stream[rank] = address[at]
            rank += 1
        end = lines[line]


@kernel
def fill_stationary(
    matrix: Ints,
    rows: int,
    columns: int,
    compat: bool,
    repeats: bool,
    place: Ints,
    address: Ints,
    first: Ints,
    stream: Ints,
) -> None:
    """Fill the arrays of an operand that is loaded into the array, each fold from its last row.

    The prefetch goes the same way; in `compat` by folds of columns, from their first row.

    Args:
        matrix: int32 [on rows, on columns] of addresses, -1 where there is none.
        rows, columns: of the array.
        compat: which of the two.
        repeats, place, address, first, stream: as in `fill_streaming`.
    """
    height, space = matrix.shape
    row_folds = -(-height // rows)
    filled = 0
    for group in range(len(first) // rows):
        column_fold, row_fold = divmod(group, row_folds)
        begin, end = column_fold * columns, min(space, (column_fold + 1) * columns)
        for line in range(rows):
            first[group * rows + line] = filled
            row = (row_fold + 1) * rows - 1 - line
            for at in range(begin, end if row < height else begin):
                if matrix[row, at] >= 0:
                    place[filled] = filled
                    if repeats:
                        address[filled] = stream[filled] = matrix[row, at]
                    filled += 1
        if compat:
            fold = first[group * rows : (group + 1) * rows]
            _turn(fold, filled, repeats, place, address, stream)
    first[len(first) - 1] = filled


@inlined
def _count(port: Ints, stream: Ints, copies: Ints, begin: int, by: int) -> None:
    """Record that the words of a window from `begin` on have entered it, or left it."""
    end = begin + port[ACTIVE]
    for at in range(begin, min(end, len(stream))):
        copies[stream[at]] += by
    for at in range(min(end - port[RING], len(stream))):
        copies[stream[at]] += by


@inlined
def _ahead(port: Ints, place: int) -> int:
    """Number of words from the begin of the window to a place."""
    ahead = place - port[START]
    return ahead + port[RING] if ahead < 0 else ahead


@inlined
def _serve(
    port: Ints,
    line: int,
    group: int,
    cycle: int,
    compat: int,
    place: Ints,
    address: Ints,
    first: Ints,
    stream: Ints,
    copies: Ints,
) -> int:
    """Cycles by which a line of demand is late: the window advances until it holds each element."""
    line -= port[LEAD]
    if line < 0 or line >= port[LINES]:
        return 0
    key, offset = group * port[LINES] + line, 1
    begin, end = first[key], first[key + 1]
    if begin == end:
        return 0
    # places rise along a line, so between two in the window all are
    low, high = _ahead(port, place[begin]), _ahead(port, place[end - 1])
    if low <= high < port[ACTIVE]:
        return 0
    for at in range(begin, end):
        while not (
            _ahead(port, place[at]) < port[ACTIVE] or (port[REPEATS] and copies[address[at]] > 0)
        ):
            if port[REPEATS]:
                _count(port, stream, copies, port[START], -1)
            port[START] = (port[START] + port[STEP]) % port[RING]
            if port[REPEATS]:
                _count(port, stream, copies, port[START], 1)
            if not compat:
                port[READY] = max(port[READY], port[MOVED])
            port[READY] += port[REFILL_CYCLES]
            port[REFILLS] += 1
            late = port[READY] - (cycle + offset)
            if compat:
                offset += late
            if late > 0:
                offset += late
            port[MOVED] = cycle + offset
    return offset - 1


@inlined
def _drain(port: Ints, partial: Ints, cycle: int, compat: int) -> int:
    """Begin to empty half of the ofmap's buffer; returns when it is done.

    As in SCALE-Sim 3.0.0, a line that is begun is sent as it is. When one of these is not the last
    of its half it is taken for full, so that the room is overestimated.
    """
    if not compat:
        words = min(port[HALF], port[WORDS] - port[FREE])
        port[FREE] += words
        return cycle + -(-words // port[RATE])
    if port[BEGUN]:
        slot = port[PARTIALS] % len(partial)
        partial[slot, 0], partial[slot, 1] = port[FULL], port[RATE] - port[BEGUN]
        port[PARTIALS] += 1
        port[FULL] += 1
        port[BEGUN] = 0
    end = min(port[DRAINED] + -(-port[HALF] // port[RATE]), port[FULL])
    lines = end - port[DRAINED]
    port[FREE] += lines * port[RATE]
    for slot in range(len(partial)):
        if partial[slot, 0] == end - 1:
            port[FREE] -= partial[slot, 1]
    port[DRAINED] = end
    return cycle + lines - 1


@inlined
def _write(port: Ints, partial: Ints, words: int, cycle: int, compat: int) -> int:
    """Cycles by which a line of results is late because its buffer is full and still draining."""
    offset = 0
    while words > 0:
        draining = cycle + offset < port[READY]
        room = port[FREE] - 1 if draining else port[FREE] - (port[WORDS] - port[HALF])
        now = min(words, room) if room > 0 else 1
        words -= now
        port[FREE] -= now
        port[FULL] += (port[BEGUN] + now) // port[RATE]
        port[BEGUN] = (port[BEGUN] + now) % port[RATE]
        if draining:
            if port[FREE] <= 0:
                offset = port[READY] - cycle
        elif port[FREE] < port[WORDS] - port[HALF]:
            port[READY] = _drain(port, partial, cycle + offset, compat)
    return offset


@kernel
def play(
    plan: Ints,
    ifmap: Ints,
    filters: Ints,
    ofmap: Ints,
    ifmap_arrays: tuple[Ints, ...],
    filter_arrays: tuple[Ints, ...],
    writes: Ints,
    partial: Ints,
) -> tuple[int, int, int, int, int]:
    """Serve all lines of demand in sequence.

    Args:
        plan: int64: compat, column folds, row folds, whether ifmap and filter are grouped by both
            folds (0), by those of the rows (1) or of the columns (2).
        ifmap, filters, ofmap: int64, the ports; modified in place.
        ifmap_arrays, filter_arrays: (place, address, first, stream, copies) of each.
        writes: int64 [2, 2, lines], results on each line of a fold; in the last fold of the rows
            for [1], in that of the columns for [:, 1].
        partial: int64 [some, 2], -1: the lines of results that were begun when a half drained.

    Returns:
        Cycles late for ifmap, filter and ofmap, each line counted for the latest of the three; and
        those of the last line: of all, and of its results.
    """
    compat, column_folds, row_folds = plan[0], plan[1], plan[2]
    lines = writes.shape[2]
    place_a, address_a, first_a, stream_a, copies_a = ifmap_arrays
    place_b, address_b, first_b, stream_b, copies_b = filter_arrays
    late_ifmap, late_filter, late_ofmap, cycle, last, last_write = 0, 0, 0, 0, 0, 0
    for column_fold in range(column_folds):
        for row_fold in range(row_folds):
            groups = (column_fold * row_folds + row_fold, row_fold, column_fold)
            edge = writes[int(row_fold == row_folds - 1), int(column_fold == column_folds - 1)]
            for line in range(lines):
                a = _serve(
                    ifmap,
                    line,
                    groups[plan[3]],
                    cycle,
                    compat,
                    place_a,
                    address_a,
                    first_a,
                    stream_a,
                    copies_a,
                )
                b = _serve(
                    filters,
                    line,
                    groups[plan[4]],
                    cycle,
                    compat,
                    place_b,
                    address_b,
                    first_b,
                    stream_b,
                    copies_b,
                )
                c = _write(ofmap, partial, edge[line], cycle, compat)
                last, last_write = max(a, b, c), c
                if a == last:
                    late_ifmap += last
                elif b == last:
                    late_filter += last
                else:
                    late_ofmap += last
                cycle += 1 + last
    return late_ifmap, late_filter, late_ofmap, last, last_write
