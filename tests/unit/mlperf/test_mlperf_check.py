"""The checker on a good tree, and on the same tree with one fault planted at a time."""

from __future__ import annotations

import hashlib
import json
import shutil

import pytest

from lydite.api import Session
from lydite.errors import InputError
from lydite.mlperf import tree
from lydite.mlperf.check import check
from lydite.mlperf.round import find_round
from lydite.mlperf.submission import truncated

ROUND = find_round("v6.1")
V51 = find_round("v5.1")
SEEDS = ROUND.seeds_of()


def detail(scenario, mode="PerformanceOnly", **changes):
    """A detail log as LoadGen writes it."""
    values = {
        "effective_scenario": scenario,
        "effective_test_mode": mode,
        "effective_min_duration_ms": 600000,
        "effective_samples_per_query": {"Offline": 24576, "MultiStream": 8}.get(scenario, 1),
        "effective_performance_sample_count": 1024,
        "effective_accuracy_sample_count": 50000,
        "effective_target_latency_ns": 15000000,
        "effective_qsl_rng_seed": SEEDS.qsl,
        "effective_sample_index_rng_seed": SEEDS.sample_index,
        "effective_schedule_rng_seed": SEEDS.schedule,
        "effective_performance_issue_same": False,
        "effective_accuracy_log_sampling_target": 0,
        "effective_sample_concatenate_permutation": False,
    }
    if mode == "PerformanceOnly":
        values |= {
            "result_validity": "VALID",
            "result_min_duration_met": True,
            "result_min_queries_met": True,
            "early_stopping_met": True,
            "result_query_count": 1 if scenario == "Offline" else 100_000,
            "result_samples_per_second": 4000.0,
            "result_mean_latency_ns": 5_000_000,
            "result_99.00_percentile_latency_ns": 6_000_000,
        }
    lines = []
    for key, value in (values | changes).items():
        if value is not None:
            entry = {"key": key, "value": value, "metadata": {"is_error": key.startswith("error")}}
            lines.append(":::MLLOG " + json.dumps(entry))
    return "\n".join(lines) + "\n"


SUMMARY = "Result is : VALID\nSamples per second: 4000\nMean latency (ns) : 5000000\n"


def put(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    root = tmp_path_factory.mktemp("good")
    org = root / "closed" / "ORG"
    put(org / "src" / "run.py", "print()\n")
    put(org / "src" / "calibration.md", "Scales are maxima.\n")
    system = {field: "N/A" for field in tree.SYSTEM_FIELDS} | {
        "division": "closed",
        "submitter": "ORG",
        "system_type": "edge",
        "status": "available",
    }
    system |= {field: "1" for field in tree.NUMBERS}
    put(org / "systems" / "SYS.json", json.dumps(system))
    for scenario in ("SingleStream", "MultiStream", "Offline"):
        folder = org / "results" / "SYS" / "resnet" / scenario
        for name in ("user.conf", "README.md"):
            put(folder / name, "# nothing\n")
        put(folder / "measurements.json", json.dumps(dict.fromkeys(tree.MEASUREMENT_FIELDS, "no")))
        put(folder / tree.PERFORMANCE / "mlperf_log_detail.txt", detail(scenario))
        put(folder / tree.PERFORMANCE / "mlperf_log_summary.txt", SUMMARY)
        accuracy = folder / "accuracy"
        put(accuracy / "mlperf_log_detail.txt", detail(scenario, "AccuracyOnly"))
        put(accuracy / "mlperf_log_summary.txt", "No errors\n")
        log = json.dumps([{"seq_id": i, "qsl_idx": i, "data": "00" * 8} for i in range(4000)])
        put(accuracy / "mlperf_log_accuracy.json", truncated(log))
        digest = hashlib.sha256(log.encode()).hexdigest()
        put(accuracy / "accuracy.txt", f"accuracy=76.100%, good=38050\nhash={digest}\n")
        for test in ("TEST01", "TEST04"):
            for name in tree.AUDIT_FILES[test]:
                put(folder / test / name, "TEST PASS\n")
            own = {"TEST01": {"effective_accuracy_log_sampling_target": 128}}.get(
                test, {"effective_performance_issue_same": True}
            )
            run = folder / test / tree.PERFORMANCE
            put(run / "mlperf_log_detail.txt", detail(scenario, **own))
            put(run / "mlperf_log_summary.txt", SUMMARY)
    return root


def test_a_good_tree_has_no_fault(good):
    assert check(good, ROUND) == []


RUN = "results/SYS/resnet/Offline/performance/run_1"
STREAM = "results/SYS/resnet/SingleStream/performance/run_1"
ACCURACY = "results/SYS/resnet/Offline/accuracy"
AUDIT = "results/SYS/resnet/Offline"


def log(path, scenario="Offline", mode="PerformanceOnly", **changes):
    return f"{path}/mlperf_log_detail.txt", detail(scenario, mode, **changes)


def system(**changes):
    def change(text):
        found = json.loads(text) | changes
        return json.dumps({k: v for k, v in found.items() if v is not None})

    return "systems/SYS.json", change


SIX = ACCURACY + "/accuracy.txt"
FAULTS = {
    "verdict": (*log(RUN, result_validity="INVALID"), "verdict INVALID"),
    "errors": (*log(RUN, error_runtime="completed twice"), "completed twice"),
    "duration met": (*log(RUN, result_min_duration_met=False), "result_min_duration_met"),
    "duration": (*log(RUN, effective_min_duration_ms=60000), "effective_min_duration_ms 60000"),
    "mode": (*log(RUN, effective_test_mode="SubmissionRun"), "test mode SubmissionRun"),
    "scenario": (*log(RUN, effective_scenario="Server"), "scenario Server"),
    "seed": (*log(RUN, effective_schedule_rng_seed=1), "effective_schedule_rng_seed 1"),
    "samples": (*log(RUN, effective_performance_sample_count=512), "sample_count 512"),
    "offline samples": (*log(RUN, effective_samples_per_query=24575), "per_query 24575"),
    "early stopping": (
        *log(STREAM, "SingleStream", early_stopping_met=False),
        "early_stopping_met",
    ),
    "few queries": (*log(STREAM, "SingleStream", result_query_count=63), "63 queries"),
    "no result": (*log(RUN, result_validity=None), "no result"),
    "no detail": (f"{RUN}/mlperf_log_detail.txt", None, "is missing"),
    "no summary": (f"{RUN}/mlperf_log_summary.txt", None, "missing or empty"),
    "empty summary": (f"{RUN}/mlperf_log_summary.txt", "", "missing or empty"),
    "other verdict": (f"{RUN}/mlperf_log_summary.txt", "Result is : INVALID\n", "INVALID"),
    "edited": (
        f"{RUN}/mlperf_log_summary.txt",
        SUMMARY.replace("4000", "9000"),
        "result_samples_per_second 9000",
    ),
    "edited latency": (
        f"{RUN}/mlperf_log_summary.txt",
        SUMMARY.replace("5000000", "4000000"),
        "result_mean_latency_ns 4000000",
    ),
    "accuracy mode": (*log(ACCURACY, mode="PerformanceOnly"), "test mode PerformanceOnly"),
    "accuracy set": (
        *log(ACCURACY, mode="AccuracyOnly", effective_accuracy_sample_count=500),
        "500 samples",
    ),
    "accuracy floor": (SIX, f"accuracy=75.6%\nhash={'0' * 64}\n", "acc 75.6"),
    "no accuracy": (SIX, f"hash={'0' * 64}\n", "no acc"),
    "no hash": (SIX, "accuracy=76.1%\n", "no hash"),
    "no accuracy file": (SIX, None, "missing"),
    "other hash": (
        f"{ACCURACY}/mlperf_log_accuracy.json",
        json.dumps([{"seq_id": 0, "qsl_idx": 0, "data": "00"}]),
        "the hash of another file",
    ),
    "large accuracy": (f"{ACCURACY}/mlperf_log_accuracy.json", "[" + " " * 20000 + "]", "bytes"),
    "audit missing": (f"{AUDIT}/TEST04", None, "missing"),
    "audit failed": (f"{AUDIT}/TEST01/verify_accuracy.txt", "TEST FAIL\n", "did not pass"),
    "audit file": (f"{AUDIT}/TEST01/verify_performance.txt", None, "missing"),
    "same": (*log(f"{AUDIT}/TEST04/{tree.PERFORMANCE}"), "performance_issue_same is off"),
    "sampling": (*log(f"{AUDIT}/TEST01/{tree.PERFORMANCE}"), "no outputs were sampled"),
    "audit duration": (
        *log(
            f"{AUDIT}/TEST04/{tree.PERFORMANCE}",
            effective_performance_issue_same=True,
            effective_min_duration_ms=60000,
        ),
        "effective_min_duration_ms 60000",
    ),
    "no scenario": ("results/SYS/resnet/MultiStream", None, "missing"),
    "no system": ("systems/SYS.json", None, "missing"),
    "broken system": ("systems/SYS.json", "{", "no JSON"),
    "list": ("systems/SYS.json", "[]", "a list"),
    "field": (*system(cooling=None), "no field cooling"),
    "empty": (*system(framework=""), "framework is empty"),
    "type": (*system(system_type="cloud"), "system_type is 'cloud'"),
    "number": (*system(number_of_nodes="one"), "number_of_nodes is 'one'"),
    "submitter": (*system(submitter="OTHER"), "submitter is 'OTHER'"),
    "division": (*system(division="open"), "division is 'open'"),
    "network": (*system(is_network="true"), "is_network is True"),
    "status": (*system(status="maybe"), "status is 'maybe'"),
    "datacenter": (*system(system_type="datacenter"), "not a benchmark of datacenter"),
    "no calibration": ("src/calibration.md", None, "no calibration document"),
    "no source": ("src", None, "missing"),
    "measurements": ("results/SYS/resnet/Offline/measurements.json", "{}", "no retraining"),
    "user.conf": ("results/SYS/resnet/Offline/user.conf", None, "missing"),
    "old layout": ("compliance/x", "", "layout of v5.1 and before"),
    "benchmark": ("results/SYS/retinanet/Offline/x", "", "no benchmark of this round"),
    "conf name": ("results/SYS/resnet50/Offline/x", "", "no benchmark of this round"),
    "simulated": ("results/SYS/resnet/Offline/simulated.jsonl", "{}", "simulated"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_named_with_its_path(name, good, tmp_path):
    where, change, message = FAULTS[name]
    root = tmp_path / "tree"
    shutil.copytree(good, root)
    path = root / "closed" / "ORG" / where
    if change is None:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    else:
        put(path, change(path.read_text()) if callable(change) else change)
    faults = check(root, ROUND)
    assert any(message in fault.found for fault in faults), [str(f) for f in faults]
    assert all(fault.expected and fault.next_step for fault in faults)
    if name not in ("datacenter", "no calibration"):  # these are faults of a folder above
        assert any(where.split("/")[0] in str(fault.path) for fault in faults)


def of_v51(good, root):
    """The same tree in the layout of v5.1, with its seeds."""
    org = root / "closed" / "ORG"
    shutil.copytree(good / "closed" / "ORG", org)
    (org / "src").rename(org / "code")
    for scenario in sorted((org / "results" / "SYS" / "resnet").iterdir()):
        spot = f"SYS/resnet/{scenario.name}"
        for name in ("user.conf", "README.md"):
            put(org / "measurements" / spot / name, (scenario / name).read_text())
        fields = (scenario / "measurements.json").read_text()
        put(org / "measurements" / spot / f"SYS_ours_{scenario.name}.json", fields)
        for test in ("TEST01", "TEST04"):
            shutil.move(scenario / test, org / "compliance" / spot / test)
    for log in org.rglob("mlperf_log_detail.txt"):
        text = log.read_text()
        for new, old in zip(
            vars(ROUND.seeds_of()).values(), vars(V51.seeds_of()).values(), strict=True
        ):
            text = text.replace(str(new), str(old))
        log.write_text(text)
    return org


def test_a_tree_of_v51_is_checked_by_its_own_layout_and_seeds(good, tmp_path):
    org = of_v51(good, tmp_path / "tree")
    assert check(tmp_path / "tree", V51) == []
    shutil.rmtree(org / "compliance" / "SYS/resnet/Offline/TEST01")
    (org / "measurements/SYS/resnet/Offline/user.conf").unlink()
    faults = check(tmp_path / "tree", V51)
    assert {str(fault.path.relative_to(org)) for fault in faults} == {
        "compliance/SYS/resnet/Offline/TEST01",
        "measurements/SYS/resnet/Offline/user.conf",
    }


def test_the_other_layout_is_recognised_and_said_once(good, tmp_path):
    of_v51(good, tmp_path / "tree")
    said = [fault for fault in check(tmp_path / "tree", ROUND) if "layout of v5.1" in fault.found]
    assert [fault.next_step.split(";")[0] for fault in said] == ["lydite mlperf check --round v5.1"]
    said = [fault for fault in check(good, V51) if "as since v6.0" in fault.found]
    assert len(said) == 1


def test_a_large_file_and_a_link_are_named(good, tmp_path):
    root = tmp_path / "tree"
    shutil.copytree(good, root)
    with (root / "closed" / "ORG" / "src" / "big.bin").open("wb") as file:
        file.truncate(60 << 20)
    (root / "closed" / "ORG" / "src" / "link").symlink_to("/etc/hostname")
    assert {fault.found for fault in check(root, ROUND)} == {"60 MiB", "a link"}


def opened(good, root, mapping):
    """The good tree as one of the open division, whose model is the submitter's own."""
    shutil.copytree(good / "closed", root / "open")
    org = root / "open" / "ORG"
    (org / "results/SYS/resnet").rename(org / "results/SYS/digits")
    described = json.loads((org / "systems/SYS.json").read_text()) | {"division": "open"}
    put(org / "systems/SYS.json", json.dumps(described))
    for folder in (org / "results/SYS/digits").iterdir():
        shutil.rmtree(folder / "TEST01")  # which open submissions need not have
    if mapping is not None:
        put(org / tree.MAPPING, mapping if isinstance(mapping, str) else json.dumps(mapping))
    return org


OF_QUERIES = {"result_mean_latency_ns": 946197, "result_99.00_percentile_latency_ns": 12839765}
OF_QUERIES |= {"result_mean_query_latency_ns": 5_000_000}
OF_QUERIES |= {"result_99.00_percentile_per_query_latency_ns": 16554152}


@pytest.mark.parametrize(
    ("p99", "found"), [(16554152, []), (12839765, ["result_99.00_percentile_per_query_latency_ns"])]
)
def test_the_summary_of_multistream_is_of_queries(good, tmp_path, p99, found):
    """As LoadGen wrote both for a run whose samples are not done at once."""
    shutil.copytree(good, tmp_path / "tree")
    folder = tmp_path / "tree/closed/ORG/results/SYS/resnet/MultiStream" / tree.PERFORMANCE
    put(folder / "mlperf_log_detail.txt", detail("MultiStream", **OF_QUERIES))
    stated = f"99.00 percentile latency (ns)   : {p99}\n"
    put(folder / "mlperf_log_summary.txt", SUMMARY + stated)
    faults = [fault.found for fault in check(tmp_path / "tree", ROUND)]
    assert faults == [f"{name} {p99}" for name in found]


def test_a_model_of_ones_own_is_judged_as_the_benchmark_that_it_is_mapped_to(good, tmp_path):
    org = opened(good, tmp_path, {"digits": "resnet"})
    assert check(tmp_path, ROUND) == []
    stream, folder = org / "results/SYS/digits/SingleStream", org / "results/SYS/digits/Server"
    shutil.copytree(stream, folder)
    server = {"early_stopping_met": True, "result_scheduled_samples_per_sec": 4000.0}
    put(folder / tree.PERFORMANCE / "mlperf_log_detail.txt", detail("Server", **server))
    put(
        stream / "accuracy/mlperf_log_detail.txt",
        detail("SingleStream", "AccuracyOnly").replace("50000", "5000"),
    )
    put(
        stream / tree.PERFORMANCE / "mlperf_log_detail.txt",
        detail("SingleStream", effective_min_duration_ms=60000),
    )
    found = {fault.found for fault in check(tmp_path, ROUND) if "Server" not in str(fault.path)}
    assert found == {"5,000 samples", "effective_min_duration_ms 60000"}
    few = detail("MultiStream", effective_performance_sample_count=64)
    put(stream.parent / "MultiStream" / tree.PERFORMANCE / "mlperf_log_detail.txt", few)
    slow = detail("Server", **server, effective_target_latency_ns=20_000_000)
    put(folder / tree.PERFORMANCE / "mlperf_log_detail.txt", slow)
    found = {fault.found for fault in check(tmp_path, ROUND)}
    assert {"effective_performance_sample_count 64", "effective_target_latency_ns 2e+07"} < found
    assert not any("no scenario" in fault.found for fault in check(tmp_path, ROUND))


@pytest.mark.parametrize(
    ("mapping", "wanted"),
    [
        (None, ["no benchmark for the model digits"]),
        ({"other": "resnet"}, ["no benchmark for the model digits"]),
        (
            {"digits": "resnet51"},
            ["digits is mapped to resnet51", "no benchmark for the model digits"],
        ),
        ({"digits": ["resnet"]}, ["digits is mapped to ['resnet']", "no benchmark for the"]),
        ("{", ["no JSON", "no benchmark for the model digits"]),
        ("[]", ["a list", "no benchmark for the model digits"]),
    ],
)
def test_a_model_without_a_benchmark_is_a_fault_of_the_mapping(good, tmp_path, mapping, wanted):
    """The official checker knows no other way to judge it, and ends in 'model not known'."""
    org = opened(good, tmp_path, mapping)
    faults = check(tmp_path, ROUND)
    assert {fault.path for fault in faults} == {org / tree.MAPPING}
    for fault, start in zip(faults, wanted, strict=True):
        assert fault.found.startswith(start)
    assert faults[-1].next_step == "lydite mlperf submission --map digits=BENCHMARK"


def test_an_empty_folder_has_no_division(tmp_path):
    (fault,) = check(tmp_path, ROUND)
    assert "no division" in str(fault)


REPORT = {
    "results": [
        {
            "rule": "path-exists",
            "message": "Submission path exists",
            "severity": "info",
            "path": "x",
            "spec_ref": "§1",
            "title": "Submission path",
            "fix": None,
            "passed": True,
        },
        {
            "rule": "required-dir",
            "message": "Missing required directory: docs/",
            "severity": "error",
            "path": "x/docs",
            "spec_ref": "§1",
            "title": "Required directories",
            "fix": "Create docs/.",
            "passed": False,
        },
    ]
}  # shortened from what endpoints-submission-cli 1.5.3.0 prints


def test_a_tree_of_endpoints_is_handed_to_its_own_checker(tmp_path, monkeypatch):
    from lydite.api.mlperf.check import check as verb
    from lydite.mlperf import endpoints

    put(tmp_path / "tree/id/results/SYS/llama3_1-8b/r32/point.yaml", "concurrency: 32\n")
    monkeypatch.setattr(endpoints, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"MLPerf Endpoints.*pip install endpoints-submission"):
        verb(Session(), tmp_path / "tree")
    package = tmp_path / "lib" / "endpoints_submission_cli"
    put(package / "__init__.py", "")
    put(package / "__main__.py", f"print({json.dumps(REPORT)!r})\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "lib"))
    monkeypatch.setattr(endpoints, "find_spec", lambda name: name)
    found = verb(Session(), tmp_path / "tree")
    (fault,) = found.faults
    assert (str(fault.path), fault.next_step) == ("x/docs", "Create docs/.")
    assert "required-dir, error" in fault.found
    assert found.round == "MLPerf Endpoints"
    put(package / "__main__.py", "raise SystemExit('no rules')\n")
    with pytest.raises(InputError, match="gave no report: no rules"):
        verb(Session(), tmp_path / "tree")
