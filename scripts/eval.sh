#!/usr/bin/env bash
# Prints the tables of docs/quality.md. With `train`, of heads trained anew from the data, into target/eval; seeds are fixed.
set -euo pipefail
cd "$(dirname "$0")/.."

cache="${FINGERPOST_CACHE:-$HOME/.cache/fingerpost}"
classifier=target/release/fingerpost-classifier
config=classifier-svc/classifier.yaml
data=classifier-svc/data
attacks="$cache/jailbreak"

step() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }

if [ ! -f "$attacks/test.jsonl" ]; then
  step "Data of the jailbreak head, into $attacks"
  "$cache/venv/bin/python" scripts/jailbreak_data.py "$attacks"
fi

train() {
  mkdir -p target/eval
  step "Category head"
  $classifier train --task category --config $config --data $data/category --out target/eval/heads/category --background other
  step "Jailbreak head"
  $classifier train --task jailbreak --config $config --data "$attacks/train.jsonl" --validation "$attacks/validation.jsonl" \
    --test "$attacks/test.jsonl" --mean-layers 1,3,5 --max-layers 3,5 --epochs 8 --label-smoothing 0.05 --out target/eval/heads/jailbreak
  step "Names head"
  # shellcheck disable=SC2086 # several options
  $classifier train --task names --config $config --prompts $data/category --out target/eval/heads/names $names_options
  cp $config target/eval/classifier.yaml
  config=target/eval/classifier.yaml
}

names_options="--texts 10000 --members 1 --hidden 192 --batch 256 --epochs 4 --learning-rate 1e-3 --input-dropout 0.2 --hidden-dropout 0.3 --label-smoothing 0.05"
[ "${1:-}" = train ] && train

step "Category"
for set in blind blind2 blind3; do
  echo "$set.jsonl"
  $classifier eval --task category --config $config --data $data/category/eval/$set.jsonl
done
step "Jailbreaks"
$classifier eval --task jailbreak --config $config --data "$attacks/test.jsonl" --long "$attacks/long-test.jsonl"
step "Personal data"
$classifier eval --task pii --config $config --generated 2000 --data $data/pii/eval/independent.jsonl
step "Patterns"
cargo test --locked --release --quiet -p fingerpost-classifier --lib pii::tests -- --nocapture sets_meet
