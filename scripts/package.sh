#!/usr/bin/env bash
# Builds the clients' packages, a wheel and an npm tarball, into target/packages, with what set-up installed and nothing from the network.
set -euo pipefail
cd "$(dirname "$0")/.."
python="${FINGERPOST_CACHE:-$HOME/.cache/fingerpost}/venv/bin/python"
out="$PWD/target/packages"

# Setuptools would pack what an earlier build left there.
rm -rf "$out" clients/typescript/dist clients/python/build clients/python/src/fingerpost.egg-info
mkdir -p "$out"
echo "==> wheel of clients/python" >&2
"$python" -m build --wheel --no-isolation --outdir "$out" clients/python >/dev/null
echo "==> npm tarball of clients/typescript" >&2
cd clients/typescript
npm run --silent build
npm pack --silent --pack-destination "$out" >/dev/null
ls -l "$out"
