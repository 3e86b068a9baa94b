"""Flags of gem5's and SMAUG's command lines as data: how each is treated, and why.

A flag is honoured (it changes what is simulated or printed), ignored with its reason (it cannot
change the answer here), or refused with its reason (leaving it out would change the answer).
"""

from __future__ import annotations

from typing import Literal

from lydite.records import dataclass

Fate = Literal["honoured", "ignored", "refused"]


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag.

    Attributes:
        names: Spellings, the usual one first.
        fate: "honoured", "ignored" or "refused".
        reason: Effect of the flag, or why it is ignored or refused.
        takes_value: Whether a value follows, after "=" or as the next word.
        optional: Whether the value may be left out (it must then follow "=").
    """

    names: tuple[str, ...]
    fate: Fate
    reason: str
    takes_value: bool = True
    optional: bool = False


def _honoured(names: str, reason: str, takes_value: bool = True) -> Flag:
    return Flag(tuple(names.split()), "honoured", reason, takes_value)


def _ignored(names: str, reason: str, takes_value: bool = True) -> Flag:
    return Flag(tuple(names.split()), "ignored", reason, takes_value)


def _refused(names: str, reason: str, takes_value: bool = True, optional: bool = False) -> Flag:
    return Flag(tuple(names.split()), "refused", reason, takes_value, optional)


_L1 = "the processor's rates are the chip's; its first-level caches are part of them"
_RUBY = "coherence is simulated as flushes, or as the coherent port"
_PART = "the whole network is simulated, never a part of it"

SIMULATOR = (
    _ignored("--debug-flags", "Aladdin's results are printed in any case"),
    _ignored("--debug-file --debug-start --debug-end", "no trace of gem5's events is kept"),
    _honoured("--outdir -d", "names the run in Aladdin's results; statistics are in --json"),
    _ignored("--stats-file --dump-config", "statistics are in --json"),
    _ignored("--redirect-stdout -r --redirect-stderr -e", "redirect in the shell", False),
)
"""gem5's own flags, before its script."""

SCRIPT = (
    _honoured("--num-cpus -n", "cores of the processor"),
    _honoured("--cpu-clock", "clock of the processor, also after gem5 would have forgotten it"),
    _honoured("--cpu-type", "DerivO3CPU, whose rates the chip has; any other is refused"),
    _honoured("--mem-type", "DRAM by gem5's name, its peak computed from the name"),
    _honoured("--mem-size", "bytes that the DRAM holds"),
    _honoured("--mem-channels", "channels of the DRAM, each with the peak of the name"),
    _honoured("--l2_size", "bytes of the last-level cache"),
    _ignored("--l2_assoc", "a tensor is in the last-level cache whole or not at all"),
    _honoured("--l2_hit_latency", "cycles of a hit in the last-level cache"),
    _honoured("--cacheline_size", "bytes of a line: of flushes, requests and energy"),
    _honoured("--accel_cfg_file", "the accelerators, with the file that it names"),
    _honoured("--cmd -c", "which binary of SMAUG: smaug or smaug-instrumented"),
    _honoured("--options -o", "SMAUG's own command line"),
    _ignored("--fast-forward", "loading and tiling before the network take no simulated time"),
    _ignored("--ruby", _RUBY, False),
    _ignored("--access-backing-store", "no numbers are computed, so none are stored", False),
    _ignored("--caches --l2cache", _RUBY, False),
    _ignored("--num-dirs --num-l2caches --topology --network", _RUBY),
    _ignored("--l1d_size --l1i_size --l1d_assoc --l1i_assoc", _L1),
    _ignored("--l1d_hit_latency --l1i_hit_latency", _L1),
    _ignored("--sys-clock", "the accelerators' clock is cycle_time of their file"),
    _ignored("--sys-voltage", "energies are those of the chip's node"),
    _ignored("--mem-ranks", "the capacity is --mem-size; ranks hide refreshes only"),
    _ignored("--enable_prefetchers --enable-stats-dump --enable_stats_dump", _L1, False),
    _refused("--maxinsts -I --abs-max-tick -m --maxtime", _PART),
    _refused("--checkpoint-restore -r --take-checkpoints --checkpoint-dir", _PART),
    _refused("--standard-switch -s --warmup-insts -W", _PART),
    _refused("--smt", "a core runs one thread", False),
)
"""Flags of configs/aladdin/aladdin_se.py."""

SMAUG = (
    _honoured("--gem5", "prints Aladdin's results of every invocation", False),
    _honoured("--debug-level", "0 prints what the manual shows; 1 adds tiles and cycles"),
    _honoured("--sample-level", "which loops Aladdin's results have sampled; cycles stay whole"),
    _ignored("--sample-num", "cycles are computed for all iterations; samples are of one"),
    _honoured("--num-accels", "number of accelerators"),
    _honoured("--num-threads", "threads that copy tiles, at most --num-cpus"),
    _ignored("--dump-graph", "`lydite inspect` shows the graph", False),
    _refused(
        "--print-last-output", "times are simulated, no numbers are computed", True, optional=True
    ),
    _refused(
        "--use-systolic-array",
        "SMAUG's array is not simulated; `lydite chip MODEL --chip systolic-32` is",
        False,
    ),
)
"""SMAUG's own flags."""
