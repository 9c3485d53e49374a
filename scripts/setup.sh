#!/usr/bin/env bash
# Creates the virtual environment that every other script uses. Idempotent; returns at once when nothing changed.
#
#   bash scripts/setup.sh                                  # both frameworks, in .venv
#   TWINDA_VENV=/big/disk/venv bash scripts/setup.sh       # another folder
#   TWINDA_FRAMEWORKS=torch bash scripts/setup.sh          # only one framework (mindspore | torch)
#   TWINDA_PYTHON=/opt/python3.11/bin/python bash scripts/setup.sh
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=${TWINDA_VENV:-$root/.venv}
frameworks=${TWINDA_FRAMEWORKS:-mindspore torch}

fail() { echo "setup: $*" >&2; exit 2; }

case ${1:-} in
    '') ;;
    -h | --help) sed -n '2,/^set /{/^set /!s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; exit 0 ;;
    *) fail "takes no arguments but --help; got '$1'" ;;
esac

for name in $frameworks; do
    case $name in mindspore | torch) ;; *) fail "TWINDA_FRAMEWORKS: unknown framework '$name'; known: mindspore torch" ;; esac
done

wanted=$( (cat "$root/requirements.txt" "$root/scripts/constraints.txt"; echo "$frameworks") | sha256sum | cut -d' ' -f1)
stamp=$venv/.twinda-setup
if [ -x "$venv/bin/python" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
    exit 0
fi

served() { "$1" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; }
if [ ! -x "$venv/bin/python" ]; then
    python=
    for candidate in ${TWINDA_PYTHON:-python3.11 python3 python}; do
        if command -v "$candidate" >/dev/null && served "$candidate"; then python=$candidate; break; fi
    done
    if [ -z "$python" ]; then
        fail "Python 3.11 is needed (MindSpore 2.10 with NumPy 1.26); found $(python3 --version 2>&1 || echo none)." \
            "Install it, or name it: TWINDA_PYTHON=/path/to/python3.11"
    fi
    echo "setup: creating $venv"
    "$python" -m venv "$venv" || fail "could not create $venv (is the package python3.11-venv installed?)"
fi
served "$venv/bin/python" || fail "$venv holds another Python than 3.11; remove the folder or set TWINDA_VENV"

list=$(mktemp)
trap 'rm -f "$list"' EXIT
for name in mindspore torch; do
    case " $frameworks " in *" $name "*) ;; *) leave_out=${leave_out:+$leave_out|}$name ;; esac
done
grep -vE "^(${leave_out:-none})==" "$root/requirements.txt" >"$list"
echo "setup: installing packages ($frameworks); a few minutes the first time"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$list" -c "$root/scripts/constraints.txt" || fail "pip could not install the packages; see the lines above"
echo "$wanted" >"$stamp"
echo "setup: ready in $venv"
