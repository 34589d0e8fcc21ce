"""Warp kernels of the earth mover's distance: the assignment solver and lower bounds.

The solver has one thread per assignment. Variables start from literals, since wp.float64(CONSTANT) would be
the constant itself, and change it.
"""

import warp as wp


@wp.func
def least_slack(
    clouds: wp.array2d[wp.vec3],  # (N, n)
    cloud: int,
    point: wp.vec3,
    values: wp.array[wp.float64],  # (k,)
):
    """min over the first k points p of a cloud of |p - point| - values[p]; a root only where it is less."""
    least = wp.float64(1.0e300)
    for i in range(values.shape[0]):
        x = wp.float64(clouds[cloud, i][0] - point[0])
        y = wp.float64(clouds[cloud, i][1] - point[1])
        z = wp.float64(clouds[cloud, i][2] - point[2])
        square = x * x + y * y + z * z
        limit = least + values[i]
        if limit > wp.float64(0.0) and square < limit * limit:
            least = wp.sqrt(square) - values[i]
    return least


@wp.kernel
def transform(
    clouds: wp.array2d[wp.vec3],  # (N, n)
    pairs: wp.array2d[int],  # (P, 2)
    side: int,  # which cloud of a pair holds `values`: 0 the first, 1 the second
    values: wp.array2d[wp.float64],  # (P, k) one dual variable per point, for the first k points
    result: wp.array2d[wp.float64],  # (P, n) out: the best dual variables of the other cloud
) -> None:
    """c-transform: the largest dual variables that are feasible against `values`."""
    p, j = wp.tid()
    result[p, j] = least_slack(clouds, pairs[p, side], clouds[pairs[p, 1 - side], j], values[p])


CAPACITY: int = wp.constant(64)  # number of columns that a row stores as candidates
FEW: int = wp.constant(16)  # a row with fewer candidates searches farther the next time


@wp.func
def cheapest(
    costs: wp.array[float],  # (n,) of one row
    prices: wp.array[wp.float64],  # (n,)
    chosen: wp.array[int],  # (CAPACITY,)
    found: int,
):
    """The least cost at present prices among the first `found` candidates."""
    least = wp.float64(1.0e300)
    for k in range(found):
        least = wp.min(least, wp.float64(costs[chosen[k]]) + prices[chosen[k]])
    return least


@wp.func
def choose_candidates(
    costs: wp.array[float],  # (n,) of one row
    prices: wp.array[wp.float64],  # (n,)
    chosen: wp.array[int],  # (CAPACITY,) out: columns below the bound, the cheapest among them
    i: int,
    least: wp.float64,  # an upper bound of the least cost of the row
    reach: wp.array[wp.float64],  # (n,) how far above the least a row looks, adapted
    found_: wp.array[int],  # (n,) out: how many were chosen
    bound: wp.array[wp.float64],  # (n,) out: what every column that is not chosen costs at least
) -> None:
    """Store the cheapest columns of a row at current prices."""
    top = least
    tries = int(0)
    searching = int(1)
    while searching == 1:
        limit = top + reach[i]
        found = int(0)
        low = wp.float64(1.0e300)
        best = int(0)
        for j in range(costs.shape[0]):
            cost = wp.float64(costs[j]) + prices[j]
            if cost <= limit:  # so that at least the cheapest is found
                if found < CAPACITY:
                    chosen[found] = j
                found += 1
                if cost < low:
                    low = cost
                    best = j
        tries += 1
        top = low
        found_[i] = found
        bound[i] = limit
        searching = 0
        if found > CAPACITY:
            if tries < 6:
                searching = 1
                reach[i] = reach[i] * wp.float64(0.4)
            else:  # equal points: keep some, of the others it is known that none is cheaper than the least
                chosen[0] = best
                found_[i] = CAPACITY
                bound[i] = low
        elif found < FEW and tries == 1:
            reach[i] = reach[i] * wp.float64(1.7)


@wp.kernel
def auction(
    costs: wp.array3d[float],  # (B, n, n)
    steps: wp.array2d[wp.float64],  # (B, 3): first bid increment, factor from phase to phase, the least
    tolerance: wp.float64,  # relative gap to stop at
    cutoffs: wp.array[wp.float64],  # (B,) a lower bound above this stops, too
    bid_limit: int,
    prices_: wp.array2d[wp.float64],  # (B, n) in and out
    chosen_: wp.array3d[int],  # (B, n, CAPACITY) work
    found_: wp.array2d[int],  # (B, n) work: how many are chosen
    bound_: wp.array2d[wp.float64],  # (B, n) work: what the other columns cost at least
    reach_: wp.array2d[wp.float64],  # (B, n) work
    row_of_: wp.array2d[int],  # (B, n) work
    column_of_: wp.array2d[int],  # (B, n) out, -1 where none
    free_: wp.array2d[int],  # (B, n) work
    lower: wp.array[wp.float64],  # (B,) out
    upper: wp.array[wp.float64],  # (B,) out
    bids: wp.array[int],  # (B,) out
) -> None:
    """Forward auction with shrinking bid increments (Bertsekas 1992, Auction algorithms, section 2).

    Rows bid for columns; prices only rise. So what a column cost when a row chose its candidates bounds from
    below what it costs later, and a row must look at all columns again only when its cheapest candidate has
    become dearer than that bound. The bids are those of the dense auction.

    Source: Bertsekas 1992, section 2.
    """
    b = wp.tid()
    prices = prices_[b]
    found = found_[b]
    bound = bound_[b]
    reach = reach_[b]
    row_of = row_of_[b]
    column_of = column_of_[b]
    free = free_[b]
    count = prices.shape[0]
    step = steps[b, 0]
    for i in range(count):
        least = wp.float64(1.0e300)
        for j in range(count):
            least = wp.min(least, wp.float64(costs[b, i, j]) + prices[j])
        reach[i] = step
        choose_candidates(costs[b, i], prices, chosen_[b, i], i, least, reach, found, bound)
        row_of[i] = -1
        column_of[i] = -1
    made = int(0)
    low = wp.float64(0.0)
    high = wp.float64(1.0e300)
    going = int(1)
    while going == 1:
        waiting = int(0)
        for i in range(count):
            if column_of[i] >= 0:
                least = wp.min(bound[i], cheapest(costs[b, i], prices, chosen_[b, i], found[i]))
                if wp.float64(costs[b, i, column_of[i]]) + prices[column_of[i]] > least + step:
                    row_of[column_of[i]] = -1
                    column_of[i] = -1
            if column_of[i] < 0:
                free[waiting] = i
                waiting += 1
        while waiting > 0 and made < bid_limit:
            i = free[waiting - 1]
            waiting -= 1
            first = wp.float64(1.0e300)
            second = wp.float64(1.0e300)
            best = int(0)
            searching = int(1)
            while searching == 1:
                first = wp.float64(1.0e300)
                second = wp.float64(1.0e300)
                for k in range(found[i]):
                    j = chosen_[b, i, k]
                    cost = wp.float64(costs[b, i, j]) + prices[j]
                    if cost < first:
                        second = first
                        first = cost
                        best = j
                    elif cost < second and j != best:
                        second = cost
                if first > bound[i]:
                    choose_candidates(costs[b, i], prices, chosen_[b, i], i, first, reach, found, bound)
                else:
                    searching = 0
            second = wp.min(second, bound[i])
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
            low += wp.min(bound[i], cheapest(costs[b, i], prices, chosen_[b, i], found[i])) - prices[i]
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
