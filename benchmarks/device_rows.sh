#!/usr/bin/env bash
# Measures operators and whole models on a GPU with PyTorch, and exports the rows for
# src/lydite/store/shipped. Needs an installed lydite with torch, and CUDA.
#   benchmarks/device_rows.sh FOLDER SECONDS_PER_OPERATOR [MODEL AND OPTIONS]...
set -uo pipefail
out=$1 budget=$2
shift 2
if [ $# -eq 0 ]; then
    set -- "resnet50 --batch 1 --dtype float16" "resnet50 --batch 32 --dtype float16" \
        "bert-base --batch 8 --sequence 128 --dtype float16" \
        "gpt2 --phase prefill --sequence 512 --dtype float16" \
        "gpt2 --phase decode --context 512 --dtype float16" \
        "llama3-8b --phase decode --context 1024 --dtype bfloat16"
fi
export LYDITE_DB=$out/rows.db
python3 -m lydite doctor > "$out/doctor.txt"
number=0
for model in "$@"; do
    number=$((number + 1))
    # shellcheck disable=SC2086 # the words of a model are options
    timeout 150 python3 -m lydite profile $model --backend torch --device cuda --quiet \
        --budget "$budget" >> "$out/profile.txt" 2>> "$out/errors.txt"
    # shellcheck disable=SC2086
    timeout 60 python3 -m lydite bench $model --backend torch --device cuda --quiet --json \
        --budget 3 > "$out/bench-$number.json" 2>> "$out/errors.txt"
done
name=$(python3 -c 'from lydite.hardware.accelerators import accelerators as a; print(a()[0].name)')
python3 -m lydite db export "$out/$name.jsonl.gz" --device "$name" --force
rm -f "$out"/rows.db*
