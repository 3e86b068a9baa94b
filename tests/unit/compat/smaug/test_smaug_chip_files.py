"""A chip from SMAUG's files: every line is honoured, told or refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lydite.compat.smaug import read_smaug_chip
from lydite.errors import InputError
from lydite.hardware.chip import read_chip

DATA = Path(os.environ.get("LYDITE_REFERENCE_DATA", Path(__file__).parents[5] / "shared" / "data"))
ARRAYS = ("inputs", "weights", "results", "a", "b", "inputs0", "inputs1")
ACCELERATOR = "\n".join(
    [
        "# a comment",
        "pipelining,0",
        "cycle_time,1",
        "ready_mode,0",
        "",
        *(f"partition,cyclic,{name},65536,4,8" for name in ARRAYS),
        "partition,complete,act_params,20,4",
        "partition,complete,results_dims,16,4",
        "partition,cyclic,results,65536,4,8",
        "partition,complete,results_dims,8,4",
    ]
)
SYSTEM = """[DEFAULT]
cycle_time = 1
memory_type = cache
[acc0]
memory_type = spad
accelerator_id = 3
input_dir = .
config_file_name = %(input_dir)s/smv-accel.cfg
trace_file_name = %(input_dir)s/__import__('os').gz
cacheline_flush_latency = 20
dma_setup_overhead = 100
tlb_entries = 64
"""


@pytest.fixture
def read(tmp_path):
    """A chip of these texts, and its notes."""

    def _read(accelerator=ACCELERATOR, system=None, **options):
        one, two = tmp_path / "smv-accel.cfg", tmp_path / "gem5.cfg"
        one.write_text(accelerator)
        if system is not None:
            two.write_text(system)
        return read_smaug_chip(one, None if system is None else two, **options)

    return _read


@pytest.mark.parametrize(("pes", "vectors"), [(8, 4), (8, 1), (4, 1), (4, 2)])
def test_registers_say_how_large_the_array_is(read, pes, vectors):
    """A vector is eight lanes of fp32: SMAUG's own file has 1,024 and 128 bytes."""
    lines = f"partition,complete,kernel_reg,{32 * pes * vectors},4\n"
    lines += f"partition,complete,act_reg,{32 * vectors},4"
    chip, _ = read(f"{ACCELERATOR}\n{lines}")
    assert (chip.array.pes, chip.array.vectors, chip.array.lanes) == (pes, vectors, 8)
    with pytest.raises(InputError, match="allowed: 32 bytes for each vector"):
        read(f"{ACCELERATOR}\n{lines.replace('act_reg,', 'act_reg,1')}")


def reference():
    folder = DATA / "smaug" / "config"
    if not folder.is_dir():
        pytest.skip(f"no reference data in {folder}: set LYDITE_REFERENCE_DATA")
    return folder


def test_the_published_pair_is_the_catalogs_smv():
    folder, smv = reference(), read_chip("smv")
    chip, notes = read_smaug_chip(folder / "smv-accel.cfg", folder / "gem5.cfg")
    apart = {name for name in smv.__dataclass_fields__ if getattr(smv, name) != getattr(chip, name)}
    assert apart == {"name", "title", "sources"}
    assert chip.registers_bytes == 3172
    told = "\n".join(notes)
    assert "34: 'results_dims' has 16 bytes before and 8 here: the last counts" in told
    for name in (
        "tlb_miss_latency",
        "dma_setup_overhead",
        "enable_acp",
        "cache_queue_size",
        "cacti_sq_config",
        "trace_file_name",
    ):
        assert name in told
    assert read_chip(str(folder / "gem5.cfg")).scratchpads == smv.scratchpads


def test_loops_other_than_smvs_are_refused(read):
    text = (reference() / "smv-accel.cfg").read_text()
    assert read(text)[0].registers_bytes == 3172
    line = "unrolling,relu_vec,relu_loop,8"
    with pytest.raises(
        InputError, match=r"relu_loop,4: SMV's cycles are not fitted for it; allowed: unrolling 8"
    ):
        read(text.replace(line, "unrolling,relu_vec,relu_loop,4"))
    with pytest.raises(InputError, match="relu_loop: SMV's cycles are not fitted for it"):
        read(f"{text}\npipeline,relu_vec,relu_loop")
    with pytest.raises(InputError, match="no unrolling of relu_vec's relu_loop, for which SMV's"):
        read(text.replace(line, ""))
    with pytest.raises(InputError, match=r"unknown loop 'relu_lop' of relu_vec; .* 'relu_loop'"):
        read(text.replace(line, "unrolling,relu_vec,relu_lop,8"))
    with pytest.raises(InputError, match=r"unknown kernel 'rely_vec'; .* did you mean 'relu_vec'"):
        read(text.replace(line, "unrolling,rely_vec,relu_loop,8"))


def test_arrays_become_scratchpads_and_registers(read):
    text = ACCELERATOR.replace("cyclic,weights,65536,4,8", "block,weights,32768,2,16")
    chip, notes = read(text)
    assert tuple(pad.name for pad in chip.scratchpads) == ARRAYS
    weights = chip.scratchpad("weights")
    assert (weights.bytes, weights.word_bytes, weights.banks) == (32768, 2, 16)
    assert chip.registers_bytes == 20 + 8  # results_dims twice: the last counts
    assert len(notes) == 3  # blocks, results_dims, no loops
    assert chip.dram == read_chip("smv").dram


@pytest.mark.parametrize(
    ("line", "part", "name", "value"),
    [
        ("max_dma_requests = 40", "dma", "requests", 40),
        ("num_dma_channels = 4", "dma", "channels", 4),
        ("dma_chunk_size = 128", "dma", "chunk_bytes", 128),
        ("cache_line_sz = 64", "interface", "line_bytes", 64),
        ("memory_type = CACHE", "interface", "kind", "cache"),
        ("cacheline_flush_latency = 84", "interface", "flush_cycles", 84),
        ("cacheline_invalidate_latency = 71", "interface", "invalidate_cycles", 71),
        ("ignore_cache_flush = 1", "interface", "flush_cycles", 0),
        ("invalidate_on_dma_store = False", "interface", "invalidate_cycles", 0),
        ("acp_cache_mshrs = 8", "interface", "acp_requests", 8),
    ],
)
def test_fields_of_the_system_are_honoured(read, line, part, name, value):
    chip, notes = read(system=f"[acc0]\n{line}\n")
    before = getattr(getattr(read_chip("smv"), part), name)
    assert before != value
    assert getattr(getattr(chip, part), name) == value
    assert not any(line.partition(" ")[0] in note for note in notes)


def test_clock_ports_and_flushes_in_cycles(read):
    slow = SYSTEM.replace("cycle_time = 1", "cycle_time = 2").replace(
        "[acc0]", "[acc0]\nspad_ports=2"
    )
    chip, _ = read(ACCELERATOR.replace("cycle_time,1", "cycle_time,2"), slow)
    assert chip.clock_hz == 5e8
    assert chip.interface.flush_cycles == 10  # 20 ns
    assert {pad.ports for pad in chip.scratchpads} == {2}
    assert read(f"{ACCELERATOR}\nscratchpad_ports,4")[0].scratchpads[0].ports == 4


def test_sections_are_accelerators(read):
    chip, _ = read(
        system=SYSTEM + "[acc1]\n" + SYSTEM.partition("[acc0]\n")[2].replace("= 3", "= 4")
    )
    assert chip.accelerators == 2
    assert chip.interface.kind == "dma"  # acc0's own memory_type, not the default


def test_a_cache_says_what_of_it_is_not_simulated(read):
    _, notes = read(system="[acc0]\nmemory_type = cache\ncache_size = 32kB\ntlb_entries = 64\n")
    assert (
        "gem5.cfg: cache_size, tlb_entries ignored: the cache interface is simulated" in notes[-1]
    )


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("cyclic,weights", "cyclic,weight", r":7: unknown array 'weight'; .* mean 'weights'"),
        ("complete,act_params", "complete,act_param", r":13: unknown array .* mean 'act_params'"),
        ("cyclic,weights", "complete,weights", ":7: 'partition,complete,weights,65536,4,8' cannot"),
        (
            "cyclic,weights,65536,4,8",
            "complete,weights,65536,4",
            ":7: 'weights' cannot be .*cyclic",
        ),
        ("cyclic,weights", "cyclik,weights", r":7: unknown partition 'cyclik'; .* mean 'cyclic'"),
        ("weights,65536,4,8", "weights,65536,4", ":7: 'partition,cyclic,weights,65536,4' cannot"),
        ("weights,65536,4,8", "weights,65536,4,0", ":7: a factor is '0'; allowed: a whole number"),
        ("weights,65536,4,8", "weights,-65536,4,8", ":7: a size is '-65536'"),
        ("weights,65536,4,8", "weights,64KB,4,8", ":7: a size is '64KB'"),
        ("weights,65536,4,8", "weights,65537,4,8", ":7: 65537 bytes of 'weights' are not a mul"),
        ("weights,65536,4,8", "weights,16,4,8", ":7: 8 banks of 'weights' for 4 words"),
        ("\npartition,cyclic,a,65536,4,8", "", "no partition of 'a'; add a line"),
        ("cyclic,a,65536", "cyclic,results,32768", ":9: 'results' is partitioned twice with diff"),
        ("pipelining,0", "piplining,0", r":2: unknown directive 'piplining'; .* 'pipelining'"),
        ("cycle_time,1", "cycle_time,", ":3: 'cycle_time,' cannot be read; allowed: cycle_time,"),
        ("cycle_time,1", "cycle_time,%(cycle_time)s", ":3: cycle_time is '%"),
        ("cycle_time,1", "cycle_time,-1", ":3: cycle_time is '-1'"),
        ("ready_mode,0", "ready_mode,1", ":4: ready_mode is on: ready bits are not simulated"),
        ("ready_mode,0", "ready_mode,maybe", ":4: ready_mode is 'maybe'; allowed: 1, yes"),
        ("pipelining,0", "acp,host_inputs", ":2: acp of single arrays .* leave the line out"),
        ("pipelining,0", "cache,host_a,64", ":2: cache of single arrays"),
    ],
)
def test_a_wrong_accelerator_file_is_refused_with_its_line(read, old, new, words):
    assert old in ACCELERATOR
    with pytest.raises(InputError, match=words):
        read(ACCELERATOR.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("tlb_entries", "tlb_entrys", r":12: unknown field 'tlb_entrys'; .* mean 'tlb_entries'"),
        ("[acc0]", "[gpu0]", ":4: unknown section 'gpu0'; allowed: DEFAULT, acc0"),
        ("= spad", "= ram", ":5: memory_type is 'ram'; allowed: spad, dma, cache"),
        ("= 20", "= -20", ":10: cacheline_flush_latency is '-20'"),
        ("= 20", "= fast", ":10: cacheline_flush_latency is 'fast'"),
        ("tlb_entries = 64", "ready_mode = 1", ":12: ready_mode is on"),
        ("tlb_entries = 64", "dma_multi_channel = 1", "dma_multi_channel is on: say num_dma_ch"),
        ("tlb_entries = 64", "tlb_entries", ":12: 'tlb_entries' is not a field"),
        ("tlb_entries = 64", "dma_setup_overhead = 1", ":12: 'dma_setup_overhead' is given twice"),
        ("cycle_time = 1", "cycle_time = 2", ":2: cycle_time is 2, but 1 in .*smv-accel.cfg:3"),
        ("tlb_entries = 64", "[acc1]\naccelerator_id = 3\nmemory_type = cache", "differ in"),
        ("tlb_entries = 64", "dma_chunk_size = 8192", "smv-accel.cfg: dma: chunks of 8192 bytes"),
    ],
)
def test_a_wrong_system_is_refused_with_its_line(read, old, new, words):
    assert old in SYSTEM
    with pytest.raises(InputError, match=words):
        read(system=SYSTEM.replace(old, new, 1))


def test_accelerators_need_their_own_numbers(read):
    twice = SYSTEM + "[acc1]\n" + SYSTEM.partition("[acc0]\n")[2]
    with pytest.raises(InputError, match="two accelerators with one accelerator_id"):
        read(system=twice)
    with pytest.raises(InputError, match="no accelerators; allowed: sections"):
        read(system="[DEFAULT]\ncycle_time = 1\n")


def test_the_systems_file_finds_the_accelerators(read, tmp_path):
    read(system=SYSTEM)
    chip = read_chip(str(tmp_path / "gem5.cfg"))
    assert chip.interface.flush_cycles == 20
    assert chip.registers_bytes == 28
    assert any("trace_file_name" in text for name, text in chip.sources.items() if "note" in name)
    assert read_chip(str(tmp_path / "smv-accel.cfg")).interface.flush_cycles == 12


def test_another_accelerators_file_than_the_systems_is_told(read):
    assert not any("config_file_name" in note for note in read(system=SYSTEM)[1])
    _, notes = read(system=SYSTEM.replace("smv-accel.cfg", "other.cfg"))
    assert "config_file_name is %(input_dir)s/other.cfg, but" in notes[-1]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("%(input_dir)s/../smv-accel.cfg", "leaves the folder"),
        ("/etc/passwd", "leaves the folder"),
        ("%(home)s/smv-accel.cfg", r"'%\(home\)s' cannot be filled in"),
        ("%(config_file_name)s", "cannot be filled in"),
        ("%d", "'%' cannot be filled in"),
        ("%(input_dir)d", "'%' cannot be filled in"),
        ("x" * 501, "config_file_name is too long"),
        ("%%", r"%: cannot read: No such file"),
        ("${HOME}.cfg", r"\$\{HOME\}.cfg: cannot read"),
    ],
)
def test_paths_stay_in_the_folder_and_nothing_is_evaluated(tmp_path, value, words):
    path = tmp_path / "gem5.cfg"
    path.write_text(SYSTEM.replace("%(input_dir)s/smv-accel.cfg", value))
    with pytest.raises(InputError, match=words):
        read_chip(str(path))


def test_no_file_is_named(tmp_path):
    path = tmp_path / "gem5.cfg"
    path.write_text("[acc0]\nspad_ports = 1\n")
    with pytest.raises(InputError, match="no config_file_name; give the accelerator's file"):
        read_chip(str(path))


def test_other_configurations_are_refused(tmp_path, read):
    path = tmp_path / "other.cfg"
    path.write_text("[server]\nport = 80\n")
    with pytest.raises(InputError, match="allowed: SCALE-Sim's, or SMAUG's smv-acc"):
        read_chip(str(path))
    with pytest.raises(InputError, match="systolic-32: has no SMV"):
        read(base="systolic-32")
