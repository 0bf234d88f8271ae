# shellcheck shell=bash disable=SC2154 # $script comes from whoever sources this
# Sourced by scripts that run programs of the system, to install Debian's packages for them.

say() { echo "$script: $*" >&2; }

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  else
    sudo -n "$@"
  fi
}

can_install() {
  command -v apt-get >/dev/null 2>&1 && { [ "$(id -u)" -eq 0 ] || sudo -n true 2>/dev/null; }
}

# install_packages PACKAGE...
install_packages() {
  local log policy=/usr/sbin/policy-rc.d held=no result=0
  log=$(mktemp)
  say "installing $* (a minute or two)"
  # The packages come without their services: ours are started by themselves, on free ports.
  if [ ! -e "$policy" ] && printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null 2>>"$log"; then
    as_root chmod +x "$policy" && held=yes
  fi
  as_root apt-get -qq -o DPkg::Lock::Timeout=300 update >>"$log" 2>&1 &&
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 \
      -o Dpkg::Use-Pty=0 install -y --no-install-recommends "$@" >>"$log" 2>&1 </dev/null || result=1
  [ "$held" = no ] || as_root rm -f "$policy"
  [ "$result" -eq 0 ] || {
    tail -n 15 "$log" | sed "s/^/$script:   | /" >&2
    say "failed: apt-get could not install $* (see above)"
    say "next: install them by hand, then run scripts/$script again"
  }
  rm -f "$log"
  return "$result"
}

# need_packages [PACKAGE...]: installs them, or ends the script and names them.
need_packages() {
  [ $# -gt 0 ] || return 0
  if can_install; then
    install_packages "$@"
  else
    say "failed: these are missing: $*"
    say "next: install them with your system's packages, then run scripts/$script again"
    exit 1
  fi
}
