"""Readers against recorded and faulty trees and libraries: the right figure, or a named refusal."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from lydite.errors import InputError
from lydite.measure.telemetry import SENSORS, NoSensor, SensorDevice, survey, wanted_sensors
from lydite.measure.telemetry.amd import Amd, imported
from lydite.measure.telemetry.base import Cumulative, checked, number
from lydite.measure.telemetry.cpu import Cpu
from lydite.measure.telemetry.hwmon import Hwmon
from lydite.measure.telemetry.moore_threads import MooreThreads, boards_of_json, boards_of_text
from lydite.measure.telemetry.null import Null
from lydite.measure.telemetry.nvidia import Nvidia, throttle_text
from lydite.measure.telemetry.powercap import Powercap
from lydite.measure.telemetry.sophgo import Sophgo


def tree(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return str(root)


RAPL = {
    "intel-rapl:0/name": "package-0",
    "intel-rapl:0/energy_uj": 5_000_000,
    "intel-rapl:0/max_energy_range_uj": 262_143_328_850,
    "intel-rapl:0/constraint_0_power_limit_uw": 125_000_000,
    "intel-rapl:0:0/name": "core",
    "intel-rapl:0:0/energy_uj": 3_000_000,
    "intel-rapl:0:0/max_energy_range_uj": 262_143_328_850,
    "intel-rapl:1/name": "psys",
    "intel-rapl:1/energy_uj": 9_000_000,
    "intel-rapl:1/max_energy_range_uj": 262_143_328_850,
}


def test_powercap_reads_packages_without_their_subdomains(tmp_path):
    sensor = Powercap(tree(tmp_path, RAPL))
    package, psys = sensor.devices()
    assert (package.id, package.name, package.power_limit_w) == ("powercap:0", "package-0", 125.0)
    assert package.whole_card is False
    assert (psys.name, psys.whole_card) == ("psys", True)
    assert "never add them" in psys.note
    assert sensor.read(package) == {"energy_j": 5.0}


def test_powercap_unwraps(tmp_path):
    sensor = Powercap(tree(tmp_path, RAPL))
    package, _ = sensor.devices()
    counter = tmp_path / "intel-rapl:0" / "energy_uj"
    counter.write_text("262143000000")
    assert sensor.read(package)["energy_j"] == pytest.approx(262_143.0)
    sensor._zones[package.id][1]._before = (262_143.0, sensor._zones[package.id][1]._before[1] - 1)
    counter.write_text("700000")
    assert sensor.read(package)["energy_j"] == pytest.approx(262_143.328850 + 0.7)


def test_a_step_back_that_is_no_wrap_stays_a_step_back():
    counter = Cumulative(262_143.0)
    assert counter.add(1000.0, 0.0) == 1000.0
    assert counter.add(5.0, 0.1) == 5.0  # a wrap would mean 2.6 MW
    assert counter.add(9.0, 0.2) == 9.0
    unknown = Cumulative(None)
    assert (unknown.add(10.0, 0.0), unknown.add(4.0, 1.0)) == (10.0, 4.0)


def test_two_wraps_add_up():
    counter = Cumulative(100.0)
    sums = [counter.add(raw, second) for second, raw in enumerate((90.0, 20.0, 70.0, 10.0, 60.0))]
    assert sums == [90.0, 120.0, 170.0, 210.0, 260.0]


def test_powercap_that_is_absent_or_forbidden(tmp_path, monkeypatch):
    with pytest.raises(NoSensor, match="no RAPL zone"):
        Powercap(str(tmp_path / "nowhere")).devices()
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(NoSensor, match="only root may read") as caught:
        Powercap(tree(tmp_path, RAPL)).devices()
    assert "sudo chmod a+r" in caught.value.hint
    assert "udev" in caught.value.hint


def test_powercap_with_text_for_a_number_is_refused_by_name(tmp_path):
    sensor = Powercap(tree(tmp_path, RAPL | {"intel-rapl:0/energy_uj": "N/A"}))
    with pytest.raises(OSError, match="energy_uj holds no number: 'N/A'"):
        sensor.read(sensor.devices()[0])


def test_hwmon(tmp_path):
    files = {
        "hwmon0/name": "acpitz",
        "hwmon0/temp1_input": 40_000,
        "hwmon1/name": "amdgpu",
        "hwmon1/power1_average": 71_000_000,
        "hwmon1/power1_cap": 300_000_000,
        "hwmon1/temp1_input": 55_000,
        "hwmon1/freq1_input": 1_900_000_000,
        "hwmon2/name": "amd_energy",
        "hwmon2/energy1_input": 12_500_000,
        "hwmon2/energy1_label": "Esocket0",
    }
    sensor = Hwmon(tree(tmp_path, files))
    gpu, socket = sensor.devices()
    assert (gpu.id, gpu.name, gpu.power_limit_w) == ("hwmon:1", "amdgpu", 300.0)
    assert socket.name == "amd_energy Esocket0"
    assert sensor.read(gpu) == {"power_w": 71.0, "temperature_c": 55.0, "clock_hz": 1.9e9}
    assert sensor.read(socket) == {"energy_j": 12.5}
    with pytest.raises(NoSensor, match="no monitor"):
        Hwmon(str(tmp_path / "hwmon0")).devices()


@pytest.mark.parametrize(
    ("reading", "told"),
    [
        ({"power_w": 7100.0}, "power_w 7100 is above 3 times the power limit of 300 W"),
        ({"power_w": 71e6}, "outside 0 to 20000 W: a wrong unit"),
        ({"power_w": -1.0}, "power_w -1.0 is outside"),
        ({"temperature_c": 55_000.0}, "temperature_c 55000.0 is outside -50 to 200 °C"),
        ({"utilisation_percent": 101.0}, "utilisation_percent 101.0 is outside"),
        ({"energy_j": float("nan")}, "energy_j nan is outside"),
        ({"energy_j": float("inf")}, "energy_j inf is outside"),
        ({"power_w": "N/A"}, "power_w N/A is outside"),
        ({"watts": 3.0}, "unknown channel 'watts'"),
    ],
)
def test_what_is_not_plausible_is_left_out_by_name(reading, told):
    device = SensorDevice("x:0", "x", power_limit_w=300.0)
    kept, (refused,) = checked(device, {**reading, "memory_bytes": 1.0})
    assert kept == {"memory_bytes": 1.0}
    assert told in refused


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12.5 W", 12.5),
        ("900mW", 0.9),
        ("N/A", None),
        ("", None),
        ("[Not Supported]", None),
        (7, None),
        (True, None),
        ("5 apples", None),
        ("1 2", None),
    ],
)
def test_numbers_in_texts_of_drivers(text, value):
    assert number(text, {"w": 1.0, "mw": 1e-3}) == (None if value is None else pytest.approx(value))


class NVMLError(Exception):
    pass


class NVMLError_NotSupported(NVMLError):
    pass


class NVMLError_LibraryNotFound(NVMLError):
    pass


class FakeNvml:
    """NVML of one board; what is in `missing` is not supported."""

    NVMLError = NVMLError
    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU = 1, 2, 0

    def __init__(self, missing=(), start=None):
        self.missing, self.start, self.asked = set(missing), start, []

    def nvmlInit(self):
        if self.start:
            raise self.start

    def nvmlShutdown(self):
        self.asked.append("shutdown")

    def __getattr__(self, name):
        if not name.startswith("nvml"):
            raise AttributeError(name)
        answers = {
            "nvmlDeviceGetCount": 1,
            "nvmlDeviceGetHandleByIndex": "handle",
            "nvmlDeviceGetName": b"NVIDIA H100 80GB HBM3",
            "nvmlDeviceGetPciInfo": SimpleNamespace(busId=b"00000000:19:00.0"),
            "nvmlDeviceGetMigMode": (0, 0),
            "nvmlDeviceGetEnforcedPowerLimit": 700_000,
            "nvmlDeviceGetTotalEnergyConsumption": 123_456_789,
            "nvmlDeviceGetPowerUsage": 411_000,
            "nvmlDeviceGetFieldValues": [
                SimpleNamespace(nvmlReturn=0, value=SimpleNamespace(uiVal=415_500))
            ],
            "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=97, memory=40),
            "nvmlDeviceGetMemoryInfo": SimpleNamespace(used=5 << 30),
            "nvmlDeviceGetTemperature": 61,
            "nvmlDeviceGetCurrentClocksEventReasons": 0x24,
        }

        def call(*arguments):
            self.asked.append(name)
            if name in self.missing:
                raise NVMLError_NotSupported("Not Supported")
            if name == "nvmlDeviceGetClockInfo":
                return 1980 if arguments[1] == self.NVML_CLOCK_SM else 2619
            return answers[name]

        return call


def test_nvidia():
    sensor = Nvidia(FakeNvml())
    (board,) = sensor.devices()
    assert (board.id, board.name, board.power_limit_w) == (
        "nvidia:0",
        "NVIDIA H100 80GB HBM3",
        700.0,
    )
    assert board.whole_card is True
    assert board.note == "PCI 00000000:19:00.0, numbered by PCI bus"
    assert sensor.read(board) == {
        "energy_j": 123_456.789,
        "power_w": 415.5,
        "utilisation_percent": 97.0,
        "memory_bytes": 5.0 * 2**30,
        "clock_hz": 1.98e9,
        "memory_clock_hz": 2.619e9,
        "temperature_c": 61.0,
        "throttle": "software power cap; software thermal slowdown",
    }


def test_an_old_board_lacks_what_it_does_not_support_and_is_asked_once():
    nvml = FakeNvml({"nvmlDeviceGetTotalEnergyConsumption", "nvmlDeviceGetFieldValues"})
    sensor = Nvidia(nvml)
    (board,) = sensor.devices()
    assert "average over the last second" in board.note
    first, second = sensor.read(board), sensor.read(board)
    assert "energy_j" not in first
    assert first["power_w"] == second["power_w"] == 411.0
    assert nvml.asked.count("nvmlDeviceGetTotalEnergyConsumption") == 1
    sensor.close()
    assert nvml.asked[-1] == "shutdown"


def test_nvidia_that_is_absent():
    with pytest.raises(NoSensor, match=r"libnvidia-ml\.so"):
        Nvidia(FakeNvml(start=NVMLError_LibraryNotFound("x"))).devices()
    with pytest.raises(NoSensor, match="NVML does not start"):
        Nvidia(FakeNvml(start=NVMLError("odd"))).devices()


def test_throttle_bits():
    assert throttle_text(0) == "none"
    assert throttle_text(0x1 | 0x800) == "idle; bits 0x800"


def fake_smi(**changes):
    def refuse(*_):
        raise RuntimeError("AMDSMI_STATUS_NOT_SUPPORTED")

    made = {
        "amdsmi_init": lambda: None,
        "amdsmi_shut_down": lambda: None,
        "amdsmi_get_processor_handles": lambda: ["h"],
        "amdsmi_get_gpu_asic_info": lambda _: {"market_name": "MI300X"},
        "amdsmi_get_power_cap_info": lambda _: {"power_cap": 750_000_000},
        "amdsmi_get_energy_count": lambda _: {
            "energy_accumulator": 2_000_000,
            "counter_resolution": 15.3,
            "timestamp": 1,
        },
        "amdsmi_get_power_info": lambda _: {
            "current_socket_power": "N/A",
            "average_socket_power": 412,
        },
        "amdsmi_get_gpu_activity": lambda _: {"gfx_activity": "N/A"},
        "amdsmi_get_gpu_vram_usage": lambda _: {"vram_used": 10},
        "amdsmi_get_clock_info": lambda _, kind: {"clk": 2100 if kind == "gfx" else 1300},
        "amdsmi_get_temp_metric": lambda _, kind, __: refuse() if kind == "hot" else 48,
        "amdsmi_get_violation_status": lambda _: {"active_ppt_pwr": True, "active_vr_thrm": False},
        "AmdSmiClkType": SimpleNamespace(GFX="gfx", MEM="mem"),
        "AmdSmiTemperatureType": SimpleNamespace(HOTSPOT="hot", EDGE="edge"),
        "AmdSmiTemperatureMetric": SimpleNamespace(CURRENT=0),
    }
    return SimpleNamespace(**(made | changes))


def test_amd():
    sensor = Amd(fake_smi())
    (board,) = sensor.devices()
    assert (board.name, board.power_limit_w) == ("MI300X", 750.0)
    assert sensor.read(board) == {
        "energy_j": pytest.approx(30.6),
        "power_w": 412.0,
        "memory_bytes": 10.0 * 2**20,
        "clock_hz": 2.1e9,
        "memory_clock_hz": 1.3e9,
        "temperature_c": 48.0,
        "throttle": "power limit",
    }


def test_amd_without_boards_or_driver():
    with pytest.raises(NoSensor, match="lists no board"):
        Amd(fake_smi(amdsmi_get_processor_handles=list)).devices()

    def fail():
        raise RuntimeError("driver not loaded")

    with pytest.raises(NoSensor, match="driver not loaded"):
        Amd(fake_smi(amdsmi_init=fail)).devices()


@pytest.mark.parametrize("fault", ["KeyError('libamd_smi.so')", "SystemExit(3)", "OSError('x')"])
def test_the_import_of_amdsmi_may_fail_and_print_as_it_likes(tmp_path, fault):
    package = (
        f"import os; os.write(1, b'noise'); os.write(2, b'noise'); print('noise'); raise {fault}"
    )
    (tmp_path / "amdsmi.py").write_text(package)
    code = (
        "from lydite.measure.telemetry import NoSensor\n"
        "from lydite.measure.telemetry.amd import imported\n"
        "try: imported()\n"
        "except NoSensor as error: print(error.reason, flush=True)\n"
    )
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.startswith("the package 'amdsmi' does not start (")
    assert "noise" not in done.stdout + done.stderr


def test_amdsmi_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "amdsmi", None)
    with pytest.raises(NoSensor, match="not installed"):
        imported()


GMI_TEXT = """\
==============MTGMI Log==============
Timestamp                      : Mon May  6 2024
Driver Version                 : 2.6.0
Attached GPUs                  : 1

GPU 00000000:01:00.0
    Product Name               : MTT S80
    FB Memory Usage
        Total                  : 16384MiB
        Used                   : 1024MiB
    Utilization
        Gpu                    : 87%
    Temperature
        GPU Current Temp       : 61C
    Power
        Power Draw             : 182.4W
    Clocks
        Graphics               : 1750MHz
        Memory                 : N/A
"""
GMI_JSON = (
    '{"driver_version": "2.7", "gpus": [{"product_name": "MTT S80", "gpu_utilization": "87%", '
    '"memory_used": "1024MiB", "temperature": "61C", "power_draw": "182.4W", '
    '"memory_clock": "N/A", "clocks": {"graphics": "1750MHz"}}]}'
)
S80 = {
    "power_w": 182.4,
    "utilisation_percent": 87.0,
    "memory_bytes": 1024.0 * 2**20,
    "clock_hz": 1.75e9,
    "temperature_c": 61.0,
}


@pytest.mark.parametrize("text", [GMI_TEXT, GMI_JSON], ids=["text", "json"])
def test_moore_threads(tmp_path, text):
    (tmp_path / "told").write_text(text)
    tool = tmp_path / "mthreads-gmi"
    answers_json = text == GMI_JSON
    condition = "" if answers_json else '[ "$2" = "-j" ] && echo "unknown option" && exit 1\n'
    tool.write_text(f"#!/bin/sh\n{condition}cat {tmp_path}/told\n")
    tool.chmod(0o755)
    sensor = MooreThreads(str(tool))
    (board,) = sensor.devices()
    assert (board.id, board.name) == ("moore_threads:0", "MTT S80")
    assert sensor.read(board) == S80


def test_moore_threads_that_is_absent_or_broken(tmp_path):
    with pytest.raises(NoSensor, match="is not on this machine"):
        MooreThreads(str(tmp_path / "none")).devices()
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\necho no driver >&2\nexit 9\n")
    tool.chmod(0o755)
    with pytest.raises(NoSensor, match="failed with code 9: no driver"):
        MooreThreads(str(tool)).devices()
    tool.write_text("#!/bin/sh\necho '[]'\n")
    with pytest.raises(NoSensor, match="lists no board"):
        MooreThreads(str(tool)).devices()
    assert boards_of_json("{]") is None
    assert boards_of_json('{"gpus": 3}') is None
    assert boards_of_text("nothing : here") == []


CARD = {
    "card0/board_type": "SC7_HP75",
    "card0/chipid": "0x1684x",
    "card0/chip_num_on_card": 3,
    "card0/board_power": "35 W",
    "card0/bmsophon0/chip_temp": "47 C",
    "card0/bmsophon0/tpu_freq": "1000 MHz",
    "card0/bmsophon1/chip_temp": "N/A",
}


def test_sophgo_says_whose_power_it_is(tmp_path):
    sail = SimpleNamespace(get_dev_stat=lambda chip: [16384, 512, 90 + chip])
    sensor = Sophgo(tree(tmp_path, CARD), sail)
    first, second = sensor.devices()
    assert (first.id, first.name) == ("sophgo:0", "SC7_HP75 0x1684x")
    assert "whole card with 3 chips; this chip's share is unknown" in first.note
    assert sensor.read(first) == {
        "power_w": 35.0,
        "temperature_c": 47.0,
        "clock_hz": 1e9,
        "utilisation_percent": 90.0,
        "memory_bytes": 512.0 * 2**20,
    }
    assert "temperature_c" not in sensor.read(second)
    (only,) = Sophgo(tree(tmp_path / "one", {"card0/board_power": "12 W"}), object()).devices()
    assert only.whole_card is None
    assert "unknown" in only.note
    with pytest.raises(NoSensor, match="no card in"):
        Sophgo(str(tmp_path / "none")).devices()


def test_cpu_has_no_use_before_its_second_reading_and_never_any_power():
    sensor = Cpu()
    (machine,) = sensor.devices()
    first = sensor.read(machine)
    assert "utilisation_percent" not in first
    assert first["memory_bytes"] > 0
    sensor._times = sensor._times._replace(user=sensor._times.user - 1, idle=sensor._times.idle - 3)
    assert 0 <= sensor.read(machine)["utilisation_percent"] <= 100
    assert not {"power_w", "energy_j"} & first.keys()


def test_null():
    with pytest.raises(NoSensor):
        Null().devices()
    assert Null().read(SensorDevice("null:0", "")) == {}


def test_the_registry():
    assert wanted_sensors(None).keys() == set(SENSORS) - {"null", "replay"}
    assert wanted_sensors(["cpu"]) == {"cpu": {}}
    with pytest.raises(InputError, match="did you mean 'nvidia'"):
        wanted_sensors(["nvidea"])


class Broken:
    def devices(self):
        raise KeyError("libodd.so")


def test_a_sensor_whose_library_fails_is_absent_with_the_reason():
    with SENSORS.added("odd", f"{__name__}:Broken"):
        present, absent = survey({"odd": {}, "null": {}})
    assert not present
    assert [each.sensor for each in absent] == ["odd", "null"]
    assert "KeyError" in absent[0].reason
