from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from forebay.middleware.admission.tickets import Served, Ticket
from forebay.policies.ordering.accounts import Accounts
from forebay.policies.ordering.fair import Fair
from tests.contract.ordering import drained, let_in, ticket

sizes = st.tuples(st.integers(1, 500), st.integers(1, 500))


@given(
    st.lists(st.lists(sizes, min_size=60, max_size=60), min_size=2, max_size=4),
    st.lists(st.sampled_from([0.5, 1.0, 3.0]), min_size=4, max_size=4),
    st.integers(10, 60),
)
def test_the_gap_between_tenants_that_wait_all_the_time(
    lines: list[list[tuple[int, int]]], weights: list[float], rounds: int
) -> None:
    """At most 2 * max(w_p * L_input, w_q * M), here with M one request: theorem 4.4 of the paper, divided by the weights."""
    names = "abcd"[: len(lines)]
    shares = dict(zip(names, weights, strict=False))
    ordering = Fair(weights=shares)
    for number in range(60):
        for name, line in zip(names, lines, strict=True):
            prompt, output = line[number]
            ordering.push(ticket(f"{name}{number}", 0.0, tenant=name, input_tokens=prompt, output_tokens=float(output)))
    largest = max(
        max((prompt + 2 * output) / shares[name] for prompt, output in line)
        for name, line in zip(names, lines, strict=True)
    )
    had = dict.fromkeys(names, 0.0)
    for _ in range(rounds):
        head = let_in(ordering, 0.0)
        assert head is not None
        had[head.tenant] += (head.input_tokens + 2 * head.output_tokens) / shares[head.tenant]
        assert max(had.values()) - min(had.values()) <= 2 * largest


@given(st.lists(sizes, min_size=3, max_size=30), st.lists(sizes, min_size=60, max_size=60), st.integers(1, 4))
def test_between_two_of_a_tenants_own_others_get_no_more_than_it_did(
    own: list[tuple[int, int]], others: list[tuple[int, int]], crowd: int
) -> None:
    ordering = Fair()

    def push(name: str, number: int, size: tuple[int, int]) -> None:
        ordering.push(ticket(f"{name}{number}", 0.0, tenant=name, input_tokens=size[0], output_tokens=float(size[1])))

    for number, size in enumerate(own):
        push("own", number, size)
    for name in range(crowd):
        for number, size in enumerate(others):
            push(f"other{name}", number, size)
    between: dict[str, list[float]] | None = None
    charged = 0.0
    while (head := let_in(ordering, 0.0)) is not None and ordering.peek(0.0) is not None:
        cost = head.input_tokens + 2 * head.output_tokens
        if head.tenant != "own":
            if between is not None:
                between.setdefault(head.tenant, []).append(cost)
            continue
        for costs in (between or {}).values():
            assert sum(costs[:-1]) <= charged
        between, charged = {}, cost
        if head.id == f"own{len(own) - 1}":
            break


def served(one: Ticket, output: int, prompt: int = 0) -> Served:
    return Served(one, 0.0, None, 1.0, prompt, output)


def test_an_idle_tenant_saves_nothing() -> None:
    ordering = Fair()
    for number in range(10):
        ordering.push(ticket(f"busy{number}", 0.0, tenant="busy", output_tokens=100.0))
    for _ in range(6):
        let_in(ordering, 0.0)
    for number in range(4):
        ordering.push(ticket(f"idle{number}", 0.0, tenant="idle", output_tokens=100.0))
    assert [name[:4] for name in drained(ordering)] == ["busy", "idle"] * 4


def test_a_wrong_prediction_is_put_right() -> None:
    ordering = Fair()
    for tenant in "ab":
        for number in range(3):
            ordering.push(ticket(f"{tenant}{number}", 0.0, tenant=tenant, output_tokens=100.0))
    first, second = let_in(ordering, 0.0), let_in(ordering, 0.0)
    assert first is not None
    assert second is not None
    ordering.ended(served(first, 900, 10))
    assert drained(ordering) == ["b1", "b2", "a1", "a2"]


def test_what_the_engine_did_not_count_stays_as_predicted() -> None:
    accounts = Accounts({}, 10)
    one = ticket("a", 0.0, tenant="a", output_tokens=100.0)
    accounts.entered(one)
    accounts.ended(served(one, 0))
    assert accounts.counter("a") == 210.0
    accounts.ended(served(one, 40))
    assert accounts.counter("a") == 90.0


def test_credit_keeps_who_asks_for_little_ahead() -> None:
    accounts = Accounts({}, 10, credit=500.0)
    accounts.entered(ticket("x", 0.0, tenant="light", input_tokens=0, output_tokens=50.0))
    for number in range(10):
        accounts.entered(ticket(f"h{number}", 0.0, tenant="heavy", input_tokens=0, output_tokens=50.0))
    accounts.begins("heavy")
    accounts.begins("light")
    heavy, light = accounts.counter("heavy"), accounts.counter("light")
    assert heavy is not None
    assert light is not None
    assert accounts.next() == "light"
    assert heavy - light == 500.0
    accounts.begins("new")
    assert accounts.counter("new") == light  # who is not known has earned none


@given(st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=200), st.integers(1, 5))
def test_memory_is_bounded(steps: list[tuple[int, bool]], capacity: int) -> None:
    accounts = Accounts({}, capacity)
    waiting = set[str]()
    for number, waits in steps:
        name = str(number)
        if waits and name not in waiting:
            accounts.begins(name)
            waiting.add(name)
        elif not waits and name in waiting:
            accounts.ends(name)
            waiting.remove(name)
        accounts.entered(ticket("x", 0.0, tenant=name))
        assert all(accounts.counter(one) is not None for one in waiting)
        assert len(accounts) <= len(waiting) + capacity
