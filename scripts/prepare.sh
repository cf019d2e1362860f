# shellcheck shell=bash
# Sourced by the entry points. `prepare LOCK` makes $root/.venv hold what LOCK lists and returns at once
# when it already does.

candidates() {
  printf '%s\n' ${DETOUR_PYTHON:+"$DETOUR_PYTHON"} python3.13 python3.12 python3.14 python3 python
  if command -v uv >/dev/null 2>&1; then
    uv python find --no-python-downloads '>=3.12' 2>/dev/null || true
  fi
  local uvs=${UV_PYTHON_INSTALL_DIR:-${XDG_DATA_HOME:-${HOME-}/.local/share}/uv/python} minor found
  for minor in 13 12 14; do
    for found in "$uvs"/cpython-3.$minor*/bin/python3 "${PYENV_ROOT:-${HOME-}/.pyenv}"/versions/3.$minor*/bin/python3; do
      [ -x "$found" ] && printf '%s\n' "$found"
    done
  done
  return 0
}

# Each candidate is run, because a pyenv shim exists for versions that it then refuses to start,
# and Debian ships python3 without the modules that make a virtual environment. Free-threaded builds and
# other implementations have no wheels to install.
find_python() {
  local python
  while IFS= read -r python; do
    if "$python" -I -c '
import sys, sysconfig, venv, ensurepip
sys.exit(
    sys.version_info < (3, 12) or sys.implementation.name != "cpython" or sysconfig.get_config_var("Py_GIL_DISABLED")
)' >/dev/null 2>&1; then
      printf '%s\n' "$python"
      return 0
    fi
  done <<EOF
$(candidates)
EOF
  return 1
}

# The stamp is the checkout's path and the lock as it was installed: a moved checkout has stale
# paths in its scripts, and a changed lock means work to do.
is_prepared() {
  [ -x "$root/.venv/bin/python" ] &&
    { printf '%s\n' "$root" && cat "$root/$1"; } | cmp -s - "$root/.venv/installed-$1"
}

prepare() {
  if is_prepared "$1"; then return 0; fi
  local python
  if ! python=$(find_python); then
    cat >&2 <<'EOF'
Detour needs Python 3.12 or newer, with its venv and ensurepip modules, and found none.
Tried: $DETOUR_PYTHON, python3.13, python3.12, python3.14, python3, python, and uv's and pyenv's versions.
Install one and run this again, for example:
  Debian, Ubuntu   apt-get install python3.12 python3.12-venv
  macOS            brew install python@3.13
  anywhere         uv python install 3.13, or pyenv install 3.13
or name one: DETOUR_PYTHON=/path/to/python3.13
EOF
    exit 1
  fi
  "$python" -I "$root/scripts/prepare.py" "$root" "$1"
}
