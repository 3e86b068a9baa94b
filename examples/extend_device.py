"""A device that no catalog knows, in one file of text: predict on it, and put it into a cluster."""

import tempfile
from pathlib import Path

import lydite as ly

DEVICE = """\
schema_version: 1
name: example-npu
title: Example NPU
kind: gpu
vendor: Example
peak:
  float32: 20 TFLOP/s
  float16: 160 TFLOP/s
memory: 32 GB
memory_bandwidth: 800 GB/s
units: 64
clock: 1.5 GHz
power: 150 W
sources:
  "": invented for this example
"""

CLUSTER = """\
schema_version: 1
name: example-box
title: Eight NPUs behind one switch
hosts: 1
device: {file}
devices_per_host: 8
intra: {{kind: nvswitch, bandwidth: 200 GB/s, latency: 2 us}}
"""

with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / "example-npu.yaml"
    file.write_text(DEVICE)
    for name in (str(file), "l4", "a100"):
        print(ly.predict("resnet50", on=name, batch=8, dtype="float16"))
