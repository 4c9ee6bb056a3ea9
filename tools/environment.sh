# Sourced by the other scripts: makes .venv with the pinned packages and this one, or reuses it. Sets $PYTHON.
#
# The interpreter is $TF_LANDMARKS_PYTHON, or the first of python3.11, 3.10, 3.12, 3.13 and python3
# that is one of these versions. $TF_LANDMARKS_VENV moves the environment elsewhere.

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$root"
venv="${TF_LANDMARKS_VENV:-$root/.venv}"
PYTHON="$venv/bin/python"

supported() {
  "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

stamp="$venv/requirements.installed"
if ! { [ -x "$PYTHON" ] && cmp -s requirements.txt "$stamp"; }; then
  interpreter=""
  for candidate in ${TF_LANDMARKS_PYTHON:-python3.11 python3.10 python3.12 python3.13 python3}; do
    if supported "$candidate"; then
      interpreter="$candidate"
      break
    fi
  done
  if [ -z "$interpreter" ]; then
    echo "error: no Python 3.10 to 3.13 found; install one, or name it in TF_LANDMARKS_PYTHON" >&2
    exit 1
  fi
  echo "making $venv with $("$interpreter" --version) (once; some 600 MB of packages)"
  "$interpreter" -m venv --clear "$venv" || {
    echo "error: $interpreter cannot make a virtual environment; on Debian and Ubuntu: apt install python3-venv" >&2
    exit 1
  }
  "$PYTHON" -m pip install --quiet --disable-pip-version-check -r requirements.txt
  cp requirements.txt "$stamp"
fi

# The package itself, in place: tools and `tf-landmarks` find it from any folder. Needs no network.
# An environment remembers one tree, so that its stamp holds the folder too.
installed="$venv/package.installed"
if ! { echo "$root"; cat pyproject.toml; } | cmp -s - "$installed"; then
  "$PYTHON" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
  "$PYTHON" -m pip check
  { echo "$root"; cat pyproject.toml; } >"$installed"
fi
