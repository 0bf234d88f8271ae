# shellcheck shell=bash disable=SC2154 # the names without a value here come from scripts/setup
# The slow part of scripts/setup, which sources this file: finds or brings Python, makes .venv.
# Works with the bash 3.2 of macOS.

say() { echo "setup: $*" >&2; }

# die CAUSE NEXT: every failure names its cause and the next step.
die() {
  said=yes
  echo "setup: failed: $1" >&2
  echo "setup: next: $2" >&2
  exit 1
}

# logged COMMAND...: runs it in silence and keeps what it said for show_log.
logged() { "$@" >>"$log" 2>&1; }
begin_log() { : >"$log"; }
show_log() { tail -n "${1:-15}" "$log" | sed 's/^/setup:   | /' >&2; }

make_environment() {
  cache=${XDG_CACHE_HOME:-${HOME:-$root/.cache}/.cache}/hy_heating
  mkdir -p "$cache" 2>/dev/null || die "cannot write to the cache folder $cache" \
    "make it writable, or set XDG_CACHE_HOME to a folder that is"
  [ -w "$root" ] || die "cannot write to $root" "run this in a checkout that belongs to you"

  cd "$root" || exit 1 # uv reads settings from the folder it is started in

  take_lock
  if in_place; then # another run made it while this one waited
    [ "$quiet" = yes ] || say "everything is in place in .venv"
    return 0
  fi
  find "$cache" -maxdepth 1 -name 'work.*' -mtime +1 -exec rm -rf {} + 2>/dev/null || true # of killed runs
  work=$(mktemp -d "$cache/work.XXXXXX") || die "cannot write to the cache folder $cache" \
    "free some disk space or set XDG_CACHE_HOME to another folder"
  log=$work/log
  trap clean_up EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP

  # Settings of the person's shell that would lead pip and uv elsewhere.
  unset PYTHONHOME PYTHONPATH VIRTUAL_ENV CONDA_PREFIX PIP_TARGET PIP_PREFIX PIP_USER PIP_REQUIRE_VIRTUALENV
  unset UV_PYTHON UV_PROJECT_ENVIRONMENT UV_SYSTEM_PYTHON
  export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_NO_INPUT=1 UV_NO_PROGRESS=1
  # uv brings certificates of its own; the system's include those of a company's proxy.
  if [ -z "${SSL_CERT_FILE-}" ] && { [ "$(uname -s)" = Darwin ] ||
    [ -s /etc/ssl/certs/ca-certificates.crt ] || [ -s /etc/pki/tls/certs/ca-bundle.crt ]; }; then
    export UV_SYSTEM_CERTS=true UV_NATIVE_TLS=true # the second is its older name
  fi

  find_uv
  if ! keep_environment; then
    find_python
    begin_log
    say "making .venv with Python $(python_version "$python")"
    logged "$uv" venv --no-project --clear --python "$python" "$venv" || {
      show_log
      die "uv could not make .venv with $python" "remove .venv and run scripts/setup again"
    }
  fi
  install_requirements
  { echo "$venv"; cat "$requirements"; } >"$stamp.new"
  mv "$stamp.new" "$stamp"
  say "done: .venv is ready"
}

clean_up() {
  local status=$?
  if [ "$status" -ne 0 ] && [ "$status" -lt 128 ] && [ -z "${said-}" ]; then
    [ ! -s "$log" ] || show_log
    say "failed: a step ended with status $status without a word of its own"
    say "next: see the lines above, run scripts/setup again, and report it if it stays"
  fi
  rm -rf "$work"
  [ -z "${lock_dir-}" ] || rm -rf "$lock_dir"
}

# One setup per checkout at a time.
take_lock() {
  if command -v flock >/dev/null 2>&1; then
    exec 9>"$root/.setup-lock"
    flock -n 9 || {
      say "waiting for another scripts/setup in this folder"
      flock -w 1200 9 || die "another scripts/setup has been running for 20 minutes" \
        "end it and run scripts/setup again"
    }
    return 0
  fi
  local tries=0 holder
  until mkdir "$root/.setup-lock.d" 2>/dev/null; do
    holder=$(cat "$root/.setup-lock.d/pid" 2>/dev/null || true)
    if [ -n "$holder" ] && ! kill -0 "$holder" 2>/dev/null; then
      rm -rf "$root/.setup-lock.d" # left by a run that was killed
      continue
    fi
    [ "$tries" -ne 0 ] || say "waiting for another scripts/setup in this folder"
    tries=$((tries + 1))
    [ "$tries" -lt 1200 ] || die "another scripts/setup has been running for 20 minutes" \
      "end it, remove .setup-lock.d and run scripts/setup again"
    sleep 1
  done
  lock_dir=$root/.setup-lock.d
  trap 'rm -rf "$lock_dir"' EXIT
  echo "$$" >"$lock_dir/pid"
}

# ------------------------------------------------------------------------------------------ Python

python_version() { "$1" -c 'import platform; print(platform.python_version())' 2>/dev/null; }

# usable PYTHON: new enough, of the right series, and built with all that Home Assistant needs.
usable() {
  "$1" - "$PYTHON_LOWEST" "$PYTHON_SERIES" <<'PY' >>"$log" 2>&1
import sys

lowest, series = (tuple(int(part) for part in text.split(".")) for text in sys.argv[1:])
if sys.version_info[:2] != series or sys.version_info[:3] < lowest:
    sys.exit(f"{sys.executable} is Python {sys.version.split()[0]}")
if sys.implementation.name != "cpython" or not getattr(sys, "_is_gil_enabled", lambda: True)():
    sys.exit(f"{sys.executable} is not the ordinary CPython")
import ctypes, lzma, sqlite3, ssl, zlib

if sqlite3.sqlite_version_info < (3, 40, 1):
    sys.exit(f"{sys.executable} has SQLite {sqlite3.sqlite_version}, too old for Home Assistant")
PY
}

find_python() {
  local candidate
  for candidate in "python$PYTHON_SERIES" python3 python; do
    candidate=$(command -v "$candidate" 2>/dev/null) || continue
    if usable "$candidate"; then
      python=$candidate
      say "found Python $(python_version "$python") at $python"
      return 0
    fi
  done
  candidate=$("$uv" python find --no-project --system --no-python-downloads \
    ">=$PYTHON_LOWEST,<3.15" 2>>"$log") || candidate=
  if [ -n "$candidate" ] && usable "$candidate"; then
    python=$candidate
    say "found Python $(python_version "$python") through uv"
    return 0
  fi

  candidate=$(debian_home)/usr/bin/python$PYTHON_SERIES
  if [ -x "$candidate" ] && usable "$candidate"; then
    python=$candidate
    say "found Python $(python_version "$python") in the cache"
    return 0
  fi

  say "bringing Python $PYTHON_SERIES with uv"
  # Not worth many tries where Debian's packages can step in.
  if UV_PYTHON_INSTALL_BIN=0 UV_HTTP_RETRIES=$(can_use_debian && echo 0 || echo 3) \
    logged "$uv" python install "$PYTHON_SERIES" &&
    candidate=$("$uv" python find --no-project --system --managed-python \
      --no-python-downloads ">=$PYTHON_LOWEST,<3.15" 2>>"$log") && usable "$candidate"; then
    python=$candidate
    return 0
  fi
  if can_use_debian; then
    say "uv cannot download it here: bringing Debian's Python $PYTHON_SERIES into the cache folder"
    # shellcheck source=scripts/lib/debian-python.sh
    . "$root/scripts/lib/debian-python.sh"
    debian_python
    return 0
  fi
  show_log
  die "no Python $PYTHON_LOWEST or newer of the $PYTHON_SERIES series, and uv could not download one" \
    "install Python $PYTHON_SERIES so that python$PYTHON_SERIES is on the PATH, then run scripts/setup again"
}

can_use_debian() {
  command -v apt-get >/dev/null 2>&1 && command -v dpkg >/dev/null 2>&1 &&
    grep -qE '^ID(_LIKE)?=.*debian' /etc/os-release 2>/dev/null
}

debian_home() { echo "$cache/debian-python$PYTHON_SERIES-$(dpkg --print-architecture 2>/dev/null || uname -m)"; }

# ---------------------------------------------------------------------------------------------- uv

uv_works() { "$1" pip sync --help >/dev/null 2>&1 && "$1" venv --help 2>/dev/null | grep -q -e --clear; }

find_uv() {
  if uv=$(command -v uv 2>/dev/null) && uv_works "$uv"; then
    return 0
  fi
  uv=
  install_tool uv "$UV_VERSION" || {
    [ -n "$pip" ] || die "neither uv nor a Python with pip was found" \
      "install one of them (on Debian: apt-get install python3-pip), then run scripts/setup again"
    show_log
    die "pip could not bring uv $UV_VERSION (see above)" "check the network, then run scripts/setup again"
  }
  uv=$tool
  uv_works "$uv" || die "the uv in $uv does not run on this system" \
    "install uv with your system's packages, then run scripts/setup again"
}

# find_pip: sets $pip to a Python that has pip.
find_pip() {
  local candidate
  pip=
  for candidate in python3 "python$PYTHON_SERIES" python /usr/bin/python3; do
    command -v "$candidate" >/dev/null 2>&1 || continue
    if "$candidate" -m pip --version >>"$log" 2>&1; then
      pip=$candidate
      return 0
    fi
    if logged "$candidate" -m venv "$work/pip-venv"; then # brings a pip of its own
      pip=$work/pip-venv/bin/python
      return 0
    fi
  done
  return 1
}

# install_tool NAME VERSION: a program that comes inside a Python wheel, into the cache folder; sets
# $tool. --target leaves the person's Python alone, and works where pip is marked externally managed.
install_tool() {
  local home found
  home=$cache/$1-$2-$(uname -m)
  tool=$home/bin/$1
  [ ! -x "$tool" ] || return 0
  say "fetching $1 $2 into the cache folder"
  begin_log
  if [ -z "$uv" ] || ! logged "$uv" pip install --no-deps --only-binary :all: --no-python-downloads \
    --target "$work/$1" "$1==$2"; then
    find_pip || return 1
    logged "$pip" -m pip install --quiet --no-deps --only-binary :all: --target "$work/$1" "$1==$2" || return 1
  fi
  found=$(find "$work/$1" -type f -name "$1" -path '*/bin/*' | head -n 1)
  [ -n "$found" ] || return 1
  mkdir -p "$work/$1-home/bin"
  mv "$found" "$work/$1-home/bin/$1"
  chmod +x "$work/$1-home/bin/$1"
  rm -rf "$home"
  mv "$work/$1-home" "$home" 2>/dev/null || [ -x "$tool" ] # another checkout's setup was faster
}

# ------------------------------------------------------------------------------------- environment

# An environment that was finished once is brought up to date; anything else is made anew.
keep_environment() {
  [ -f "$stamp" ] && [ "$(head -n 1 "$stamp")" = "$venv" ] && usable "$venv/bin/python" || return 1
  rm -f "$stamp"
  say "bringing .venv up to date"
}

install_requirements() {
  local count
  count=$(grep -c == "$requirements")
  begin_log
  say "installing the $count pinned packages (under a minute)"
  logged "$uv" pip sync --python "$venv/bin/python" "$requirements" || {
    show_log
    die "uv could not install the packages of scripts/lib/requirements.txt (see above)" \
      "check the network and the disk space, then run scripts/setup again"
  }
}
