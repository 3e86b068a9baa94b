"""The "Aladdin Results" that gem5-Aladdin prints of an invocation."""

from __future__ import annotations

from lydite.chip.smv.power import Power

_RULE = "==============================="


def aladdin_results(
    power: Power, row: int, kernel: str, program: str = "./outputs/nnet_fwd"
) -> str:
    """The results of an invocation in the format in which SMAUG prints them.

    Args:
        power: Power of all invocations.
        row: Index of the invocation.
        kernel: Name of its kernel (`Invocations.kernel_names`).
        program: Name of the program to print.
    """
    p, at = power, row
    units = [round(float(column[at])) for column in p.units.columns.values()]
    names = ("Multipliers", "Adders", "Bit-wise Operators", "Shifters", "Registers")
    milliwatts = {
        "Avg Power": p.average[at],
        "Avg FU Power": (p.units_dynamic + p.unit_leakage)[at],
        "Avg FU Dynamic Power": p.units_dynamic[at],
        "Avg FU leakage Power": p.unit_leakage[at],
        "Avg MEM Power": (p.memory + p.memory_leakage)[at],
        "Avg MEM Dynamic Power": p.memory[at],
        "Avg MEM Leakage Power": p.memory_leakage[at],
    }
    areas = {
        "Total Area": p.area_um2[at],
        "FU Area": p.unit_area_um2[at],
        "MEM Area": p.memory_area_um2[at],
    }
    powers = [f"{name}: {value:.6g} mW" for name, value in milliwatts.items()]
    idle = f"Idle FU Cycles: {round(float(p.idle_cycles[at]))} cycles"
    return "\n".join(
        [
            _RULE,
            "Aladdin Results",
            _RULE,
            f"Running : {program}",
            f"Top level function: {kernel}",
            f"Cycle : {round(float(p.cycles[at]))} cycles",
            f"Upsampled Cycle : {round(float(p.upsampled_cycles[at]))} cycles",
            powers[0],
            idle,
            *powers[1:],
            *(f"{name}: {value:.6g} uM^2" for name, value in areas.items()),
            *(f"Num of {name} (32-bit): {n}" for name, n in zip(names, units, strict=True)),
            _RULE,
            "Aladdin Results",
            _RULE,
        ]
    )
