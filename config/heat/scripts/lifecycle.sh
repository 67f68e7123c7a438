#!/bin/sh
# Takes one tunnel through one step of its life, as Heat names it in $deploy_action:
#
#   CREATE, UPDATE   key made here if there is none, configuration written, tunnel started or reloaded, readiness awaited
#   SUSPEND          drained and stopped, starts again with RESUME
#   RESUME           started, readiness awaited
#   DELETE           drained and stopped for good; succeeds whatever happens, since the server goes next
#
# Every step may be repeated and ends within a bound. Inputs come as environment variables; outputs go to files named
# $heat_outputs_path.NAME, or to standard output as NAME=VALUE when that is unset. The private key is made on this
# machine and never leaves it; what leaves is the certificate's fingerprint.
#
# Outputs: fingerprint, tunnel_address, version, tunnel_state, drain_result, sessions_left; error when a step failed.
set -u
umask 022
PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

action=${deploy_action:-CREATE}
name=${tunnel_name:-site}
drain_limit=${drain_timeout:-30}
ready_limit=${ready_timeout:-120}
etc=${DTUNNEL_CONFIG_DIR:-/etc/dtunnel}
conf=$etc/$name.conf

# Seconds: for a question to a running daemon, for a change, and beyond what a command was told to wait for (the start
# of the runtime on a busy machine).
ask=10
change=30
margin=5

main() {
  trap 'fail interrupted; report; exit 143' TERM INT
  if ! check_inputs; then
    drain_result=failed
    [ "$action" = DELETE ]
    return
  fi
  case $action in
    CREATE | UPDATE) require_dtunnel && make_key && configure && wait_ready ;;
    RESUME) require_dtunnel && start && wait_ready ;;
    SUSPEND) drain; stop ;;
    # Heat keeps a stack whose DELETE fails, and the server with it: say what happened, and let it go.
    DELETE) drain; stop; disable_unit; return 0 ;;
    *) fail "unknown deploy_action '$action': CREATE, UPDATE, SUSPEND, RESUME and DELETE are known" ;;
  esac
}

# --- steps ---------------------------------------------------------------------------------------------------------

make_key() {
  [ -d "$etc" ] || install -d -m 0755 "$etc" || { fail "cannot create $etc"; return 1; }
  bounded "$change" dtunnel keygen "$name" --if-missing || { fail "no key: $(complaint)"; return 1; }
  bounded "$change" dtunnel fingerprint "$etc/$name.crt" || { fail "no fingerprint: $(complaint)"; return 1; }
  fingerprint=$(tail -n 1 "$said")
}

# The new file takes the old one's place only after dtunnel has accepted it, and a running tunnel takes over the
# difference without dropping a packet.
configure() {
  resolve_tunnel_address
  if ! render > "$conf.new"; then fail "cannot write $conf.new"; return 1; fi
  chmod 0644 "$conf.new"
  bounded "$change" dtunnel check "$conf.new" || { fail "configuration refused: $(complaint)"; return 1; }
  mv -f "$conf.new" "$conf" || { fail "cannot write $conf"; return 1; }
  if is_running; then
    enable_unit
    bounded "$change" dtunnel reload "$name" || { fail "reload refused: $(complaint)"; return 1; }
  else
    start
  fi
}

start() {
  [ -f "$conf" ] || { fail "$conf does not exist: the tunnel was never created"; return 1; }
  is_running && { enable_unit; return 0; }
  if has_systemd; then
    systemctl reset-failed "dtunnel@$name" 2> /dev/null
    bounded "$ready_limit" systemctl enable --now "dtunnel@$name"
  else
    bounded "$ready_limit" dtunnel up "$name" --no-wait
  fi || { fail "tunnel does not start: $(complaint)"; return 1; }
}

# Listening is enough unless the template says that the peer must be there too; others of a hub may come when they like.
wait_ready() {
  left=$ready_limit
  until is_running; do
    [ "$left" -gt 0 ] || { fail "tunnel does not listen after ${ready_limit}s: $(complaint)"; return 1; }
    left=$((left - 1))
    sleep 1
  done
  [ "$(lower "${wait_for_peer:-false}")" = true ] || return 0
  set -- "$name"
  [ -z "${peer_fingerprint:-}" ] || set -- "$name" "${peer_name:-peer}"
  bounded "$((ready_limit + margin))" dtunnel status "$@" --wait --timeout "${ready_limit}s" || {
    fail "peer is not up after ${ready_limit}s: $(complaint)"
    return 1
  }
}

drain() {
  bounded "$((drain_limit + margin))" dtunnel drain "$name" --timeout "${drain_limit}s" --json
  drain_status=$?
  left=$(sed -n 's/.*"sessions_left": *\([0-9][0-9]*\).*/\1/p' "$said" | head -n 1)
  case $drain_status in
    0) drain_result=drained; sessions_left=${left:-0} ;;
    3 | 4 | 127) drain_result=not_running; sessions_left=0 ;;
    8 | 124 | 137) drain_result=timeout; sessions_left=${left:-unknown} ;;
    *) drain_result=failed; sessions_left=${left:-unknown} ;;
  esac
  say "drain: $drain_result, sessions left: $sessions_left"
}

stop() {
  if has_systemd; then
    bounded 15 systemctl stop "dtunnel@$name"
  elif is_running; then
    bounded 15 dtunnel down "$name"
  fi || { fail "tunnel does not stop: $(complaint)"; return 1; }
}

enable_unit() { if has_systemd; then systemctl enable "dtunnel@$name" 2> /dev/null; fi; }
disable_unit() { if has_systemd; then systemctl disable "dtunnel@$name" 2> /dev/null; fi; }

# --- configuration -------------------------------------------------------------------------------------------------

# `auto`: an address in a unique local prefix (RFC 4193 §3.2), taken from the fingerprint, so that members of a group
# that grows and shrinks have distinct ones without anybody counting.
resolve_tunnel_address() {
  tunnel_address=${tunnel_address:-auto}
  [ "$tunnel_address" = auto ] || return 0
  bytes=$(printf '%s' "$fingerprint" | tr -d ':' | cut -c 1-16 | tr 'A-F' 'a-f')
  tunnel_address=$(printf 'fd64:7475:6e00::%s:%s:%s:%s/128' "$(slice "$bytes" 1)" "$(slice "$bytes" 5)" \
    "$(slice "$bytes" 9)" "$(slice "$bytes" 13)")
}

# Four hex digits of $1 from the one at $2, without leading zeros.
slice() { printf '%x' "0x$(printf '%s' "$1" | cut -c "$2-$(($2 + 3))")"; }

render() {
  echo "# Written by the life cycle of this instance; changes made here are overwritten by the next UPDATE."
  echo "[Interface]"
  echo "Name        = $name"
  echo "Address     = $tunnel_address"
  echo "ListenPort  = ${port:-4433}"
  echo "Certificate = $etc/$name.crt"
  echo "PrivateKey  = $etc/$name.key"
  echo "MTU         = ${mtu:-auto}"
  if [ -n "${peer_fingerprint:-}" ]; then
    echo
    echo "[Peer]"
    echo "Name        = ${peer_name:-peer}"
    echo "Fingerprint = $peer_fingerprint"
    [ -z "${peer_address:-}" ] || echo "Endpoint    = $(with_port "$peer_address")"
    echo "AllowedIPs  = ${remote_subnets:-}"
  fi
  if [ -n "${more_peers:-}" ]; then
    echo
    printf '%s\n' "$more_peers"
  fi
}

# An address with our own port added where it names none: `host`, `host:port`, `v6`, `[v6]`, `[v6]:port`.
with_port() {
  case $1 in
    \[*\]:* | \[*\]) case $1 in *\]) echo "$1:${port:-4433}" ;; *) echo "$1" ;; esac ;;
    *:*:*) echo "[$1]:${port:-4433}" ;;
    *:*) echo "$1" ;;
    *) echo "$1:${port:-4433}" ;;
  esac
}

# One value cannot grow into two settings: inputs of one line have no line ends, only `more_peers` has several.
check_inputs() {
  for input in tunnel_name tunnel_address port mtu peer_name peer_address peer_fingerprint remote_subnets; do
    value=''
    eval "value=\${$input:-}"
    case $value in
      *[[:cntrl:]]*) fail "input $input contains a control character"; return 1 ;;
    esac
  done
  case $name in
    '' | *[!A-Za-z0-9_=+.-]* | ????????????????*) fail "tunnel_name must be 1 to 15 letters, digits or _=+.-"; return 1 ;;
  esac
  case $drain_limit$ready_limit in
    *[!0-9]*) fail 'drain_timeout and ready_timeout must be whole seconds'; return 1 ;;
  esac
}

# --- tools ---------------------------------------------------------------------------------------------------------

has_systemd() { [ -d /run/systemd/system ] && command -v systemctl > /dev/null; }

# 0 or 6 (degraded): it answers. 3: it answers, and no peer is up; `not running` says so in its own words.
is_running() {
  bounded "$ask" dtunnel status "$name" --json && return 0
  case $? in 6) return 0 ;; 3) grep -q '"tunnel"' "$said" ;; *) return 1 ;; esac
}

require_dtunnel() {
  command -v dtunnel > /dev/null || { fail 'dtunnel is not installed on this image'; return 1; }
  bounded "$ask" dtunnel version && version=$(head -n 1 "$said")
  return 0
}

# Runs a command for at most $1 seconds; what it said is kept in $said for complaint().
bounded() {
  limit=$1
  shift
  timeout -k 2 "$limit" "$@" > "$said" 2>&1
}

# The last command's own words in one line, from its first error on: warnings before it are not the reason.
complaint() {
  if grep -q '^error' "$said"; then sed -n '/^error/,$p' "$said"; else cat "$said"; fi | tr -s '\n\t ' ' ' | cut -c 1-400
}

fail() {
  error=${error:-$1}
  say "error: $1"
  return 1
}

say() { echo "dtunnel lifecycle $action $name: $1" >&2; }
lower() { printf '%s' "$1" | tr '[:upper:]' '[:lower:]'; }

report() {
  if [ -z "$fingerprint" ] && [ -f "$etc/$name.crt" ] && bounded "$ask" dtunnel fingerprint "$etc/$name.crt"; then
    fingerprint=$(tail -n 1 "$said")
  fi
  bounded "$ask" dtunnel status "$name" --json
  tunnel_state=$(tr -d ' \n' < "$said" | sed -n 's/.*"tunnel":{[^{}]*"state":"\([a-z]*\)".*/\1/p')
  [ ! -f "$conf" ] || tunnel_address=$(sed -n 's/^Address *= *//p' "$conf" | head -n 1)
  output fingerprint "$fingerprint"
  output tunnel_address "${tunnel_address:-}"
  output version "$version"
  output tunnel_state "${tunnel_state:-stopped}"
  output drain_result "$drain_result"
  output sessions_left "$sessions_left"
  # Heat takes the very presence of this output for a failure.
  if [ -n "$error" ] && [ "$action" != DELETE ]; then output error "$error"; fi
  rm -f "$said" "$conf.new"
}

output() {
  if [ -n "${heat_outputs_path:-}" ]; then printf '%s' "$2" > "$heat_outputs_path.$1"; else echo "$1=$2"; fi
}

error='' fingerprint='' version='' tunnel_state='' drain_result='' sessions_left=''
said=$(mktemp) || exit 1
main
status=$?
report
exit $status
