"""Tables of energy, leakage and area: what they say, how they scale, what they refuse."""

import numpy as np
import pytest

from lydite.chip.units import (
    ALADDIN,
    CACTI_BANK,
    NODES,
    operation_pj,
    sram_access_pj,
    sram_bank,
    unit,
)
from lydite.errors import InputError


def test_a_multiplication_costs_what_aladdin_prints_of_it():
    # The header's own MUL_*ns_dynamic_energy, which it states beside the powers.
    wanted = (12.68341, 9.554858, 8.803084, 8.663723, 8.625412, 8.633185, 8.796144)
    assert [one.energy_pj for one in ALADDIN["mul"]] == pytest.approx(wanted, rel=1e-5)
    assert ALADDIN["float32 mul"][0].energy_pj == pytest.approx(35.32019, rel=1e-5)


def test_a_unit_keeps_up_with_its_clock():
    for period in (1.0, 1.5, 2.0, 3.9, 7.0, 40.0):
        for name in ("mul", "add", "bit", "shift", "register bit"):
            assert unit(name, period).column_ns <= period
    assert [unit("mul", ns).column_ns for ns in (1.5, 6.5, 0.5)] == [1, 6, 1]


def test_a_bank_of_cactis_size_is_cactis():
    assert sram_bank(8192) == CACTI_BANK
    # SMV's 56 banks: the memory lines of SMAUG's tutorial.
    assert 56 * sram_bank(8192).leakage_mw == pytest.approx(18.911, rel=1e-5)
    assert 56 * sram_bank(8192).area_um2 == pytest.approx(1.13989e6, rel=1e-5)


def test_larger_banks_never_cost_less():
    banks = [sram_bank(size) for size in 2.0 ** np.arange(8, 24)]
    for name in ("read_pj", "write_pj", "leakage_mw", "area_um2"):
        assert (np.diff([getattr(bank, name) for bank in banks]) > 0).all()
    # A memory in one bank or in many of the same total takes the same area, less energy in many.
    assert sram_bank(65536).area_um2 == pytest.approx(8 * sram_bank(8192).area_um2)
    assert sram_bank(65536).read_pj > sram_bank(8192).read_pj
    assert sram_bank(8192, ports=2).area_um2 > sram_bank(8192).area_um2


def test_sizes_of_memories_are_taken_logarithmically():
    for nm, row in NODES.items():
        for size, energy in row.sram_pj:
            assert sram_access_pj(nm, size) == pytest.approx(energy)
    assert sram_access_pj(45, 16384) == pytest.approx(np.sqrt(10 * 20))
    assert sram_access_pj(45, 8192, 32) == pytest.approx(5.0)
    # At 40 nm it is the bank's own rule at any size.
    assert sram_access_pj(40, 32768) == pytest.approx(sram_bank(32768, 8).read_pj)
    assert 0 < sram_access_pj(7, 1024) < 7.5 and sram_access_pj(7, 4 * 2**20) > 14


def test_a_wider_type_never_costs_less_at_a_node():
    for nm in (7, 45):
        for kind in ("add", "mul"):
            wide = [operation_pj(nm, f"{one} {kind}") for one in ("int8", "float16", "float32")]
            assert (np.diff(wide) > 0).all()
    assert all(row.source and row.scope for row in NODES.values())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: operation_pj(16, "int8 mul"), ("16 nm", "7, 40, 45 nm")),
        (lambda: operation_pj(40, "int8 mul"), ("int8 mul", "int32 mul")),
        (lambda: unit("mull", 1.0), ("mull", "mul")),
        (lambda: unit("mul", 0.0), ("period", "more than 0")),
        (lambda: sram_bank(0), ("0 bytes",)),
        (lambda: sram_access_pj(45, -1), ("-1 bytes",)),
    ],
)
def test_what_no_table_has_is_refused(call, words):
    with pytest.raises(InputError) as error:
        call()
    assert all(word in str(error.value) for word in words)
