#!/usr/bin/env bash
# Measures operators and whole models on a GPU with PyTorch, and exports the rows for
# src/lydite/store/shipped. Needs an installed lydite with torch, and CUDA.
#   benchmarks/device_rows.sh FOLDER [SECONDS_PER_OPERATOR]
set -uo pipefail
out=$1 budget=${2:-0.05}
export LYDITE_DB=$out/rows.db
run() { python3 -m lydite "$@" --backend torch --device cuda --quiet; }

python3 -m lydite doctor > "$out/doctor.txt"
profile() { run profile "$@" --budget "$budget" --timeout 60 >> "$out/profile.txt" 2>> "$out/errors.txt"; }
bench() { run bench "$@" --budget 4 --json > "$out/bench-$1.json" 2>> "$out/errors.txt"; }

for batch in 1 32; do profile resnet50 --batch $batch --dtype float16; done
profile bert-base --batch 8 --sequence 128 --dtype float16
profile gpt2 --phase prefill --sequence 512 --dtype float16
profile gpt2 --phase decode --context 512 --dtype float16
bench resnet50 --batch 32 --dtype float16
bench bert-base --batch 8 --sequence 128 --dtype float16
for phase in prefill decode; do
    profile llama3-8b --phase $phase --sequence 1024 --context 1024 --dtype bfloat16
done
python3 -m lydite db stats
name=$(python3 -c 'from lydite.hardware.accelerators import accelerators as a; print(a()[0].name)')
python3 -m lydite db export "$out/$name.jsonl.gz" --device "$name" --force
