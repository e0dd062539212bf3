#!/usr/bin/env bash
# The protocol tests: installs what they need below the target folder, once, and runs them. Arguments go to cargo.
set -euo pipefail
cd "$(dirname "$0")/../.."
export LENS_PROTOCOL_TOOLS="${CARGO_TARGET_DIR:-$PWD/target}/protocol"
tests/protocol/setup.sh "$LENS_PROTOCOL_TOOLS"
exec cargo test -p lens --features llm --test models "$@" -- --ignored
