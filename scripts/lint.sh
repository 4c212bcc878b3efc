#!/usr/bin/env bash
# Formatting, lints, licences and advisories.
set -euo pipefail
cd "$(dirname "$0")/.."
tools="${FINGERPOST_CACHE:-$HOME/.cache/fingerpost}/tools"
export PATH="$tools/bin:$PATH"

echo "==> rustfmt" >&2
cargo fmt --all --check
echo "==> clippy, native" >&2
cargo clippy --locked --release --workspace --exclude fingerpost-filter --all-targets -- -D warnings
echo "==> clippy, filter" >&2
cargo clippy --locked --profile wasm --target wasm32-wasip1 -p fingerpost-filter -- -D warnings
if ! command -v cargo-deny >/dev/null; then
  echo "==> cargo-deny (once)" >&2
  cargo install --locked --root "$tools" cargo-deny@0.20.2
fi
echo "==> cargo deny: licences, bans, sources" >&2
cargo deny --all-features check --hide-inclusion-graph licenses bans sources
echo "==> cargo deny: advisories" >&2
if cargo deny fetch db >/dev/null 2>&1; then
  cargo deny --all-features check advisories
else
  # The database lives in a Git repository; without the network to it nothing can be said, and that is said.
  echo "skipped: the advisory database cannot be reached from here" >&2
fi
