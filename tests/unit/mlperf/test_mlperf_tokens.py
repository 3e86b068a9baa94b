"""Token times: tables, virtual time, and how long a run will be."""

import numpy as np
import pytest

from lydite.errors import InputError
from lydite.mlperf.forecast import forecast, span
from lydite.mlperf.play import play_tokens
from lydite.mlperf.round import find_round
from lydite.mlperf.schedule import Plan, schedule
from lydite.mlperf.token_sut import TokenSystem
from lydite.mlperf.tokens import TOKENS, TokenService, from_csv, recorded, stated

SEEDS = find_round().seeds_of()


def test_each_sample_has_its_own_times():
    table = TokenService(
        np.array([5, 7]) * 10**6, np.array([10**6, 0]), np.array([11, 1]), "stated"
    )
    plan = Plan("Server", SEEDS, 2.0, 20_000, 10, samples=16)
    record = play_tokens(plan, 1000, table)
    odd = schedule(plan).samples.ravel() % 2
    assert record.tokens is not None
    assert (record.tokens.first_ns == np.where(odd, 7, 5) * 10**6).all()
    assert (record.latencies_ns == np.where(odd, 7, 15) * 10**6).all()
    assert (record.tokens.count == np.where(odd, 1, 11)).all()
    assert (record.tokens.per_output_ns == np.where(odd, 0, 10**6)).all()


def test_a_sample_waits_for_a_place():
    record = play_tokens(
        Plan("Offline", SEEDS, 1.0, 0, 1, samples=8, min_samples=8), 2, stated(10, 5, 3)
    )
    assert record.tokens is not None
    assert record.tokens.first_ns.tolist() == [10, 10, 30, 30, 50, 50, 70, 70]
    assert record.latencies_ns.tolist() == [20, 20, 40, 40, 60, 60, 80, 80]


def test_a_table_from_a_file(tmp_path):
    path = tmp_path / "times.csv"
    path.write_text("tokens,ttft_ms,tpot_ms\n3,1.5,0.5\n1,2,0\n")
    table = from_csv(path)
    assert table.whole_ns.tolist() == [2_500_000, 2_000_000]
    table.save(tmp_path / "table.npy")
    assert TokenService.load(tmp_path / "table.npy").count.tolist() == [3, 1]
    path.write_text("ttft_ms,tpot_ms\n1,2\n")
    with pytest.raises(InputError, match=r"lacks columns.*ttft_ms,tpot_ms,tokens"):
        from_csv(path)
    path.write_text("tokens,ttft_ms,tpot_ms\n3,1.5,x\n")
    with pytest.raises(InputError, match=r"times\.csv:2.*no times of tokens"):
        from_csv(path)
    path.write_text("tokens,ttft_ms,tpot_ms\n0,1.5,1\n")
    with pytest.raises(InputError, match="1 token or more"):
        from_csv(path)


def test_a_record_of_tokens_by_sample(tmp_path):
    rows = [(0, 10, 30, 4, 5), (2, 20, 0, 1, 0), (0, 11, 33, 4, 0)]
    np.save(tmp_path / TOKENS, np.array(rows, np.int64))
    table = recorded(tmp_path)
    assert table.first_ns.tolist() == [11, 11, 20]  # the last run of a sample; the median for 1
    assert table.per_output_ns.tolist() == [11, 10, 0]
    with pytest.raises(InputError, match="holds no tokens"):
        recorded(tmp_path / "none")


class Query:
    def __init__(self, number):
        self.id = self.index = number


class Odd:
    """Says two tokens, none for sample 3, and fails at sample 5."""

    def tokens(self, index):
        if index == 3:
            return
        if index == 5:
            raise RuntimeError("out of memory\nhere")
        yield np.array([index])
        yield np.array([index + 1])


@pytest.mark.parametrize("bad", [3, 5])
def test_every_query_has_a_first_token_and_a_number_of_tokens(bad):
    first, done = [], []
    system = TokenSystem(
        [Odd()],
        lambda number, token: first.append((number, len(token))),
        lambda number, tokens: done.append((number, len(tokens))),
    )
    system.issue([Query(0), Query(1), Query(bad), Query(2)])
    system.close()
    assert [number for number, _ in first] == [number for number, _ in done] == [0, 1, bad, 2]
    assert done[:2] == [(0, 2), (1, 2)]
    assert min(count for _, count in [*first, *done]) == 1
    assert ("has no token" in system.failure) == (bad == 3)
    assert system.record.shape == (4, 5)
    assert "\n" not in system.failure


def test_whole_passes_of_the_data_set_are_told_before_the_run():
    plan = Plan("Server", SEEDS, 3.0, 600_000, 100, samples=24_576, equal_issue=True)
    found = forecast(plan, 3.0, 0.99)
    assert found.text.startswith("24,576 queries at 3 q/s take 2.3 h (equal issue")
    plain = forecast(Plan("Server", SEEDS, 3.0, 600_000, 100), 3.0, 0.99)
    assert 1600 < plain.count < 2000
    assert "the minimum duration is 10.0 min" in plain.text


@pytest.mark.parametrize(
    ("scenario", "rate", "count", "text"),
    [
        ("SingleStream", 1.0, 100, "100 queries at 1 q/s take 100 s (minimum number of queries)"),
        ("MultiStream", 20.0, 200, "take 10 s (the minimum duration is 10 s); a verdict needs 662"),
        ("Offline", 10.0, 24_576, "24,576 samples at 10 samples/s take 41.0 min"),
    ],
)
def test_what_a_run_issues(scenario, rate, count, text):
    plan = Plan(scenario, SEEDS, rate, 10_000, 100)
    found = forecast(plan, rate, 0.9 if scenario == "SingleStream" else 0.99)
    assert found.count == count
    assert text in found.text


def test_spans_for_people():
    assert [span(s) for s in (0.5, 90, 150, 5400)] == ["0.5 s", "90 s", "2.5 min", "1.5 h"]
