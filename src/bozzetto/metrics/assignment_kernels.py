"""Warp kernels of the assignment solver: one thread per assignment."""

import warp as wp

CANDIDATES = wp.constant(16)  # columns that a row remembers: fewer are chosen anew more often
UNKNOWN = wp.constant(wp.float64(-1.0e300))
# Variables start from literals: wp.float64(CONSTANT) would be the constant itself, and change it.


@wp.func
def _price(costs: wp.array(dtype=float), prices: wp.array(dtype=wp.float64), column: int):
    return wp.float64(costs[column]) + prices[column]


@wp.func
def choose_candidates(
    costs: wp.array(dtype=float),  # (n,) of one row
    prices: wp.array(dtype=wp.float64),  # (n,)
    chosen: wp.array(dtype=int),  # (CANDIDATES,) out
    count: int,
):
    """The cheapest columns at present prices; returns what every other column costs at least."""
    found = int(0)
    bound = wp.float64(1.0e300)
    for j in range(count):
        cost = wp.float64(costs[j]) + prices[j]
        if cost < bound:
            k = int(found)
            if found == CANDIDATES:
                k = CANDIDATES - 1
                worst = wp.float64(costs[chosen[k]]) + prices[chosen[k]]
                if cost >= worst:
                    bound = cost
                    k = -1
                else:
                    bound = worst
            else:
                found += 1
            while k > 0 and _price(costs, prices, chosen[wp.max(k - 1, 0)]) > cost:
                chosen[k] = chosen[k - 1]
                k -= 1
            if k >= 0:
                chosen[k] = j
    for k in range(found, CANDIDATES):
        chosen[k] = chosen[0]
    return bound


@wp.func
def cheapest(
    costs: wp.array(dtype=float),
    prices: wp.array(dtype=wp.float64),
    chosen: wp.array(dtype=int),
):
    """The least cost among the candidates of a row."""
    least = wp.float64(1.0e300)
    for k in range(CANDIDATES):
        least = wp.min(least, wp.float64(costs[chosen[k]]) + prices[chosen[k]])
    return least


@wp.kernel
def auction(
    costs: wp.array3d(dtype=float),  # (B, n, n)
    steps: wp.array2d(dtype=wp.float64),  # (B, 3): first bid increment, factor from phase to phase, the least
    tolerance: wp.float64,  # relative gap to stop at
    cutoffs: wp.array(dtype=wp.float64),  # (B,) a lower bound above this stops, too
    bid_limit: int,
    prices_: wp.array2d(dtype=wp.float64),  # (B, n) in and out
    chosen_: wp.array3d(dtype=int),  # (B, n, CANDIDATES) work
    bound_: wp.array2d(dtype=wp.float64),  # (B, n) work: what columns outside `chosen` cost at least
    row_of_: wp.array2d(dtype=int),  # (B, n) work
    column_of_: wp.array2d(dtype=int),  # (B, n) out, -1 where none
    free_: wp.array2d(dtype=int),  # (B, n) work
    lower: wp.array(dtype=wp.float64),  # (B,) out
    upper: wp.array(dtype=wp.float64),  # (B,) out
    bids: wp.array(dtype=int),  # (B,) out
):
    """Forward auction with shrinking bid increments (Bertsekas 1992, Auction algorithms, section 2).

    Rows bid for columns; prices only rise. So what a column cost when a row chose its candidates bounds from
    below what it costs later, and a row must look at all columns again only when its cheapest candidate has
    become dearer than that bound. The bids are those of the dense auction.
    """
    b = wp.tid()
    prices = prices_[b]
    bound = bound_[b]
    row_of = row_of_[b]
    column_of = column_of_[b]
    free = free_[b]
    count = prices.shape[0]
    for i in range(count):
        bound[i] = UNKNOWN
        row_of[i] = -1
        column_of[i] = -1
    step = steps[b, 0]
    made = int(0)
    low = wp.float64(0.0)
    high = wp.float64(1.0e300)
    going = int(1)
    while going == 1:
        waiting = int(0)
        for i in range(count):
            if column_of[i] >= 0:
                least = wp.min(bound[i], cheapest(costs[b, i], prices, chosen_[b, i]))
                if wp.float64(costs[b, i, column_of[i]]) + prices[column_of[i]] > least + step:
                    row_of[column_of[i]] = -1
                    column_of[i] = -1
            if column_of[i] < 0:
                free[waiting] = i
                waiting += 1
        while waiting > 0 and made < bid_limit:
            i = free[waiting - 1]
            waiting -= 1
            row = costs[b, i]
            chosen = chosen_[b, i]
            first = wp.float64(1.0e300)
            second = wp.float64(1.0e300)
            best = int(0)
            searching = int(1)
            while searching == 1:
                first = wp.float64(1.0e300)
                second = wp.float64(1.0e300)
                if bound[i] > UNKNOWN:
                    for k in range(CANDIDATES):
                        j = chosen[k]
                        cost = wp.float64(row[j]) + prices[j]
                        if cost < first:
                            second = first
                            first = cost
                            best = j
                        elif cost < second and j != best:
                            second = cost
                if bound[i] == UNKNOWN or first > bound[i]:
                    bound[i] = choose_candidates(row, prices, chosen, count)
                else:
                    searching = 0
            second = wp.min(second, bound[i])
            if second >= wp.float64(1.0e300):  # a single column
                second = first
            prices[best] = prices[best] + (second - first) + step
            made += 1
            loser = row_of[best]
            row_of[best] = i
            column_of[i] = best
            if loser >= 0:
                column_of[loser] = -1
                free[waiting] = loser
                waiting += 1
        low = wp.float64(0.0)
        high = wp.float64(0.0)
        for i in range(count):
            if column_of[i] >= 0:
                high += wp.float64(costs[b, i, column_of[i]])
            if bound[i] == UNKNOWN:
                bound[i] = choose_candidates(costs[b, i], prices, chosen_[b, i], count)
            low += wp.min(bound[i], cheapest(costs[b, i], prices, chosen_[b, i])) - prices[i]
        low = low / wp.float64(count)
        high = high / wp.float64(count)
        if waiting > 0:  # the limit was reached: no assignment
            high = wp.float64(1.0e300)
        if low > cutoffs[b] or high - low <= tolerance * high or step <= steps[b, 2] or waiting > 0:
            going = 0
        step = wp.max(step * steps[b, 1], steps[b, 2])
    lower[b] = low
    upper[b] = high
    bids[b] = made
