"""The layout of a submission of the rounds since v6.0, and what its files have to say.

Sources: mlcommons/inference, Submission_Guidelines.md, and the constants of its submission checker
(b66003e, 2026-08-20).
"""

from __future__ import annotations

DIVISIONS = ("closed", "open", "network")
SYSTEM_TYPES = ("datacenter", "edge", "datacenter,edge", "edge,datacenter")
"""Values of `system_type`; both stand for a system that is submitted as either."""

SYSTEM_FIELDS = (
    "division",
    "submitter",
    "status",
    "system_type",
    "system_type_detail",
    "system_name",
    "number_of_nodes",
    "host_processor_model_name",
    "host_processors_per_node",
    "host_processor_core_count",
    "host_processor_frequency",
    "host_processor_caches",
    "host_processor_interconnect",
    "host_memory_capacity",
    "host_memory_configuration",
    "host_storage_type",
    "host_storage_capacity",
    "host_networking",
    "host_networking_topology",
    "host_network_card_count",
    "accelerators_per_node",
    "accelerator_model_name",
    "accelerator_frequency",
    "accelerator_host_interconnect",
    "accelerator_interconnect",
    "accelerator_interconnect_topology",
    "accelerator_memory_capacity",
    "accelerator_memory_configuration",
    "accelerator_on-chip_memories",
    "cooling",
    "framework",
    "operating_system",
    "other_software_stack",
    "hw_notes",
    "sw_notes",
)
"""Fields that a system's JSON has to hold."""

MAY_BE_EMPTY = (
    "system_type_detail",
    "host_processor_frequency",
    "host_processor_caches",
    "host_processor_interconnect",
    "accelerator_frequency",
    "accelerator_interconnect_topology",
    "accelerator_on-chip_memories",
    "hw_notes",
    "sw_notes",
)
"""Those of them that may be empty."""

NUMBERS = ("number_of_nodes", "host_processors_per_node", "accelerators_per_node")
"""Those that hold a number."""

STATUSES = ("available", "preview", "rdi")

MEASUREMENT_FIELDS = (
    "input_data_types",
    "retraining",
    "starting_weights_filename",
    "weight_data_types",
    "weight_transformations",
)
"""Fields of measurements.json."""

MAPPING = "model_mapping.json"
"""File of a submitter in the open division: the benchmark of each model, by its folder's name."""

PERFORMANCE = "performance/run_1"
ACCURACY = "accuracy"
ACCURACY_FILES = ("accuracy.txt", "mlperf_log_accuracy.json")
LOGS = ("mlperf_log_summary.txt", "mlperf_log_detail.txt")
SCENARIO_FILES = ("user.conf", "README.md")

MOST_FILE_BYTES = 50 << 20
"""Largest file of a submission."""
MOST_ACCURACY_BYTES = 10 << 10
"""Largest accuracy log of a submission, which holds only its beginning and end."""
KEPT_CHARACTERS = 4096
"""Characters of the accuracy log that are kept at either end."""

AUDIT_FILES = {
    "TEST01": ("verify_accuracy.txt", "verify_performance.txt"),
    "TEST04": ("verify_performance.txt",),
    "TEST06": ("verify_accuracy.txt",),
    "TEST07": ("verify_accuracy.txt",),
    "TEST08": ("verify_accuracy.txt",),
    "TEST09": ("verify_output_len.txt",),
}
"""Files of each audit test beside its logs."""

AUDIT_RUNS = ("TEST01", "TEST04")
"""Audit tests whose logs are a performance run of full length."""

OLD_FOLDERS = ("code", "compliance", "measurements")
"""Folders that lie apart in the layout before v6.0."""
