"""Names that SMAUG's files may use: SMV's arrays, its kernels' loops, gem5-Aladdin's fields."""

from __future__ import annotations

from collections.abc import Mapping

SCRATCHPADS = ("inputs", "weights", "results", "a", "b", "inputs0", "inputs1")
"""Arrays in banked memories."""

REGISTERS = (
    "inputs_dims",
    "weights_dims",
    "results_dims",
    "inputs_halo_pad",
    "act_params",
    "kernel_reg",
    "results_buffer",
    "smv_conv_product_reg",
    "act_reg",
    "accum_vec_reg",
    "accum_reg",
    "a_dims",
    "b_dims",
    "partial_sums_inner",
    "a_reg",
    "b_reg",
    "product_reg",
    "curr_results",
    "mean_vec",
    "recip_sqrt_var_vec",
    "gamma_vec",
    "beta_vec",
    "sampling",
)
"""Arrays that are partitioned completely."""

_CONV, _PRODUCT = "smv_conv3d_nhwc_vec_fxp", "smv_matrix_multiply_transpose_nc_vec_fxp"
_NORM = "smv_batch_norm_post_{}_vec_fxp"
_LOOPS: Mapping[str, str] = {
    _CONV: "ofmap_block_iteration=1 k_row=1 k_col=1 pe_iteration=1 conv3d_row=1 conv3d_col=1p "
    "load_kern_pe! load_kern_mu! load_act_mu! pe_groups! mu_groups! reduction_1! "
    "reduction_2!",
    _PRODUCT: "a_act=1p b_row=1p b_col=1p a_reg_load! b_reg_load! pe_insts! core_mul! reduce_1! "
    "reduce_2! copy_psums!",
    "smv_maxpooling_nhwc_vec_fxp": "maxpool_input_row=1 maxpool_input_col=1 maxpool_chan_grp=4 "
    "maxpool_pool_row=1p maxpool_pool_col=1p maxpool_compare!",
    "smv_avgpooling_nhwc_vec_fxp": "avgpool_input_row=1 avgpool_input_col=1 avgpool_chan_grp=4 "
    "avgpool_pool_row=1p avgpool_pool_col=1p",
    _NORM.format("conv_nchw"): "bn_batch=1 bn_chan=1 bn_chan_vec=1 bn_row=1 bn_col=8p",
    _NORM.format("conv_nhwc"): "bn_batch=1 bn_chan=8 bn_row=1 bn_col=1",
    _NORM.format("fc_nc"): "bn_batch=1 bn_input=1p",
    "smv_eltwise_add_nc_vec_fxp": "eltwise_add_loop=8",
    "host_load_fp16": "host_fp16_to_fp32=1p vector_fp16_to_fp32=8p",
    "host_store_fp16": "host_fp32_to_fp16=1p vector_fp32_to_fp16=8p",
    **{
        f"{name}_vec": f"{name}_loop=8"
        for name in ("relu", "lrelu", "elu", "selu", "sigmoid", "tanh", "hard_tanh")
    },
    **{
        f"{name}_vec_unit": f"{name}_unit_loop!" for name in ("elu", "selu", "sigmoid", "hard_tanh")
    },
}
"""Loops of each kernel: `=` unroll factor, `p` pipelined, `!` flattened."""


def modelled_loops() -> dict[tuple[str, str, str], int]:
    """Directives that SMV's cycles are fitted for: (kind, kernel, loop) -> factor, 0 for none."""
    directives: dict[tuple[str, str, str], int] = {}
    for kernel, loops in _LOOPS.items():
        for text in loops.split():
            if text.endswith("!"):
                directives["flatten", kernel, text[:-1]] = 0
                continue
            loop, _, factor = text.partition("=")
            directives["unrolling", kernel, loop] = int(factor.rstrip("p"))
            if factor.endswith("p"):
                directives["pipeline", kernel, loop] = 0
    return directives


HONOURED = (
    "accelerator_id",
    "cache_line_sz",
    "cacheline_flush_latency",
    "cacheline_invalidate_latency",
    "config_file_name",
    "cycle_time",
    "dma_chunk_size",
    "ignore_cache_flush",
    "invalidate_on_dma_store",
    "max_dma_requests",
    "memory_type",
    "num_dma_channels",
    "acp_cache_mshrs",
    "spad_ports",
)
"""Fields of `gem5.cfg` that determine the chip."""

REFUSED = {
    "ready_mode": "ready bits are not simulated",
    "dma_multi_channel": "say num_dma_channels",
}
"""Fields that must be off, and why."""

_FILES, _CACTI = "a file or a record of the run", "the chip's node has the tables"
_BUFFER = "ACP's small buffer for flags is not simulated"
_TLBS = (
    "tlb_hit_latency",
    "tlb_miss_latency",
    "tlb_page_size",
    "tlb_entries",
    "tlb_assoc",
    "tlb_max_outstanding_walks",
    "tlb_bandwidth",
    "is_perfect_tlb",
)
_CACHES = (
    "cache_size",
    "cache_assoc",
    "cache_hit_latency",
    "cache_queue_size",
    "cache_bandwidth",
    "load_bandwidth",
    "load_queue_size",
    "store_bandwidth",
    "store_queue_size",
)
OF_CACHES = frozenset((*_TLBS, *_CACHES))
"""Fields that only apply with `memory_type = cache`."""
WITH_CACHE = "the cache interface is simulated with the chip's cache, whole tensors in it or out"
IGNORED: Mapping[str, str] = {
    "dma_setup_overhead": "the original reads it and never charges it",
    "pipelined_dma": "runs with it on show no overlap of flushes and transfers to take away",
    "enable_acp": "the port is there, but networks choose who takes it: set the chip's interface",
    "acp_cache_size": _BUFFER,
    "acp_cache_latency": _BUFFER,
    **dict.fromkeys(
        (
            "input_dir",
            "bench_name",
            "trace_file_name",
            "use_db",
            "experiment_name",
            "record_memory_trace",
        ),
        _FILES,
    ),
    **dict.fromkeys(
        ("cacti_cache_config", "cacti_tlb_config", "cacti_lq_config", "cacti_sq_config"), _CACTI
    ),
    **dict.fromkeys(_TLBS, "scratchpads go without TLB"),
    **dict.fromkeys(_CACHES, "scratchpads go without a cache of their own"),
}
"""Fields of `gem5.cfg` that do not affect the chip's time here, and why."""
