#!/usr/bin/env bash
# Proves a repaired wheel on a GPU: upstream's own tests against it, and against a plain upstream build of the same source.
#
#   tests/gpu/verify.sh WHEEL UPSTREAM_SDIST TESTS_DIR OUT_DIR
#
# WHEEL: a repaired wheel for this machine's torch and Python. UPSTREAM_SDIST: the source that it was built from.
# TESTS_DIR: test_selective_scan.py and test_selective_state_update.py of upstream's tag of that version.
# Needs torch, einops, transformers, packaging, pytest and nvcc on the machine; no network. The plain build is upstream's
# setup.py as it is, but for its list of architectures, which is cut to 9.0 to save time.
set -euo pipefail
wheel=$(realpath "$1") sdist=$(realpath "$2") tests=$(realpath "$3")
mkdir -p "$4"
out=$(realpath "$4")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python=${PYTHON:-python3}

"$python" -m pip install -q --no-index --no-deps --target "$work/ours" "$wheel"
echo "== the check of the repaired wheel"
(cd "$work" && PYTHONPATH=$work/ours "$python" -m mamba_ssm_portable) | tee "$out/check.txt"

run_tests() { # NAME SITE
    echo "== upstream's tests, $1"
    (cd "$work" && PYTHONPATH=$2 "$python" -m pytest -q -rA -p no:cacheprovider "$tests"/test_*.py) >"$out/$1.txt" 2>&1 || true
    tail -n 1 "$out/$1.txt"
    grep -E '^PASSED' "$out/$1.txt" | sed 's/ - .*//; s|.*/||' | sort >"$work/$1.passed"
}
run_tests ours "$work/ours"

echo "== a plain upstream build"
mkdir "$work/source"
tar xzf "$sdist" -C "$work/source" --strip-components=1
cd "$work/source"
"$python" - <<'EOF'
import pathlib, re
path = pathlib.Path("setup.py")
text = path.read_text()
for arch in (53, 62, 70, 72, 75, 80, 87, 100, 103, 110, 120, 121):
    text = re.sub(rf'\n *cc_flag.append\("-gencode"\)\n *cc_flag.append\("arch=compute_{arch},code=sm_{arch}"\)', "\n            pass", text)
path.write_text(text)
EOF
start=$(date +%s)
MAMBA_FORCE_BUILD=TRUE MAX_JOBS=$(nproc) "$python" setup.py -q bdist_wheel -d "$work/plain-dist" >"$out/plain-build.txt" 2>&1
echo "built in $(($(date +%s) - start)) s: $(basename "$work"/plain-dist/*.whl), $(stat -c %s "$work"/plain-dist/*.whl) bytes; ours $(stat -c %s "$wheel") bytes"
"$python" -m pip install -q --no-index --no-deps --target "$work/plain" "$work"/plain-dist/*.whl
run_tests plain "$work/plain"

echo "== tests that pass on the plain build and not on the repaired wheel:"
comm -13 "$work/ours.passed" "$work/plain.passed" | tee "$out/lost.txt"
echo "$(wc -l <"$out/lost.txt") lost, $(wc -l <"$work/plain.passed") pass on the plain build, $(wc -l <"$work/ours.passed") on the repaired wheel"
test ! -s "$out/lost.txt"
