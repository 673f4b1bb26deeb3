#!/bin/sh
# Leaves a Ballast vault with Bitcoin Core alone. README.md in this folder tells how, step by step.
# It is plain text so that you, or somebody you trust, can read all of it before it runs. It talks to
# your own node through bitcoin-cli and to nobody else, and it never writes a secret to a file.
#
#   ./exit.sh check                    is this kit whole, and is this the right node?
#   ./exit.sh coins                    the coins, and when each one opens
#   ./exit.sh alone ADDRESS FEE        all open coins to ADDRESS, to be signed by the user alone
#   ./exit.sh together ADDRESS FEE     all coins to ADDRESS, to be signed by any two of the three
#   ./exit.sh sign FILE                signs with a private key that it asks for
#   ./exit.sh send FILE [FILE]         puts signatures together, shows the payment, sends it
#   ./exit.sh watch [BIRTH]            a watch-only wallet in the node, to look at
#
# FEE is in sats a virtual byte, a whole number. What it may be told by the environment:
#   BITCOIN_CLI   how to call bitcoin-cli, with options: "bitcoin-cli -signet -datadir=/my/node"
#   LAST_INDEX    the last address number that is looked at (otherwise 1999)
set -eu
umask 077
LC_ALL=C
export LC_ALL

NETWORK=@NETWORK@
VAULT=@VAULT@
FIRST_ADDRESS=@FIRST_ADDRESS@
EXIT_BLOCKS=@EXIT_BLOCKS@   # 0: nobody can leave alone
ALONE_WEIGHT=@ALONE_WEIGHT@   # weight units of an input that the user alone signs
TOGETHER_WEIGHT=@TOGETHER_WEIGHT@   # and of one that two sign
# Who holds which key of the descriptor, one a line.
KEYS=@KEYS@

CLI=${BITCOIN_CLI:-bitcoin-cli}
LAST_INDEX=${LAST_INDEX:-1999}
HERE=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

die() {
  echo "exit.sh: $*" >&2
  exit 1
}

# Calls the node. What is piped in becomes arguments, one a line: other programs on this machine see
# the arguments on a command line, but not these.
node() {
  # BITCOIN_CLI is split at its spaces on purpose.
  # shellcheck disable=SC2086
  $CLI -rpcclienttimeout=0 -stdin "$@"
}

# The value of a key at the outermost level of the JSON that bitcoin-cli prints.
field() {
  sed -n "s/^  \"$1\": \"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}\$/\1/p"
}

# Unlike echo, it leaves backslashes alone in every shell.
say() {
  printf '%s\n' "$1"
}

# Whole and not negative, and small enough to be counted with.
number() {
  case $1 in '' | *[!0-9]* | ?????????????????*) return 1 ;; esac
}

# ---- the kit and the node -----------------------------------------------------------------------

check() {
  chain=$(node getblockchaininfo </dev/null | field chain) || true
  [ -n "$chain" ] || die "no node answers to: $CLI
Start bitcoind (Bitcoin Core 29 or newer), or say how to reach it with BITCOIN_CLI."
  case "$NETWORK $chain" in
    'bitcoin main' | 'testnet test' | 'testnet testnet4' | 'signet signet' | 'regtest regtest') ;;
    *) die "this kit is for $NETWORK, and the node runs the chain \"$chain\". Nothing was done." ;;
  esac
  version=$(node getnetworkinfo </dev/null | field version)
  [ "${version:-0}" -ge 290000 ] ||
    die "this node is too old for descriptors of two branches: use Bitcoin Core 29 or newer"
  [ -r "$HERE/descriptor.txt" ] || die "descriptor.txt is missing beside exit.sh"
  DESCRIPTOR=$(tr -d ' \r\n' <"$HERE/descriptor.txt")
  case $DESCRIPTOR in
    *'#'????????) ;;
    *) die "descriptor.txt has lost its checksum, the eight characters after #" ;;
  esac
  say "$DESCRIPTOR" | node getdescriptorinfo >/dev/null ||
    die "descriptor.txt is not what was written into this kit (see the words above).
Take another copy of the kit. Nothing was done."
  first=$(printf '%s\n[0,0]\n' "$DESCRIPTOR" | node deriveaddresses | first_address)
  [ "$first" = "$FIRST_ADDRESS" ] ||
    die "descriptor.txt is another vault's: its first address is $first, not $FIRST_ADDRESS"
  number "$LAST_INDEX" || die "LAST_INDEX is a number"
  TIP=$(node getblockcount </dev/null)
}

first_address() {
  sed -n 's/^ *"\([a-z0-9]*\)",\{0,1\}$/\1/p' | sed -n 1p
}

scanned() {
  printf '[{"desc":"%s","range":%s}]\n' "$1" "$LAST_INDEX"
}

# ---- coins --------------------------------------------------------------------------------------

# Writes one line a coin: txid, output, sats, height. The node reads its whole set of unspent coins:
# minutes on mainnet. It needs no wallet and no old blocks, so a pruned node will do.
find_coins() {
  echo "Asking the node for the vault's coins. This can take some minutes ..." >&2
  found=$({ echo start; scanned "$DESCRIPTOR"; } | node scantxoutset) ||
    die "the node could not look for coins (see the words above)"
  say "$found" | awk '
    /^      "txid":/   { gsub(/[",]/, "", $2); txid = $2 }
    /^      "vout":/   { gsub(/,/, "", $2); vout = $2 }
    /^      "amount":/ {
      # Eight places always: without the point they are sats, and no float is asked.
      gsub(/,/, "", $2); split($2, part, "."); sats = part[1] part[2]; sub(/^0+/, "", sats)
      if (length(part[2]) != 8 || sats == "") { print "an amount cannot be read" > "/dev/stderr"; exit 1 }
    }
    /^      "height":/ { gsub(/,/, "", $2); print txid, vout, sats, $2 }'
}

coins() {
  check
  list=$(find_coins)
  echo "Vault $VAULT on $NETWORK, best block $TIP, addresses 0 to $LAST_INDEX"
  [ -n "$list" ] || { echo "It has no confirmed coins there."; return; }
  say "$list" | while read -r txid vout sats height; do
    echo "$txid:$vout  $sats sats, confirmed in block $height"
    age=$((TIP - height + 1))
    if [ "$EXIT_BLOCKS" -eq 0 ]; then
      echo "    takes two of the three keys, for ever"
    elif [ "$age" -ge "$EXIT_BLOCKS" ]; then
      echo "    OPEN since block $((height + EXIT_BLOCKS)): the user's key alone is enough"
    else
      left=$((EXIT_BLOCKS - age))
      echo "    opens at block $((height + EXIT_BLOCKS)), in $left blocks, about $((left / 144)) days"
    fi
  done
}

# ---- the payment --------------------------------------------------------------------------------

# As "1.23000000", which the node reads back as exactly these sats.
btc() {
  printf '%d.%08d' $(($1 / 100000000)) $(($1 % 100000000))
}

# make MODE ADDRESS FEE: the coins that the mode can spend, all to one address.
make() {
  mode=$1 address=$2 rate=$3
  if ! number "$rate" || [ "$rate" -lt 1 ] || [ "$rate" -gt 5000 ]; then
    die "the fee is a whole number of sats a virtual byte, 1 to 5000"
  fi
  if [ "$mode" = alone ]; then
    [ "$EXIT_BLOCKS" -gt 0 ] ||
      die "nobody can leave this vault alone: every spend takes two of its three keys.
Use: ./exit.sh together ADDRESS FEE"
    sequence=$EXIT_BLOCKS weight=$ALONE_WEIGHT rest=$EXIT_BLOCKS
  else
    sequence=4294967293 weight=$TOGETHER_WEIGHT rest=1
  fi
  check
  valid=$(say "$address" | node validateaddress | field isvalid)
  [ "$valid" = true ] || die "$address is no address of $NETWORK"
  found=$(find_coins)
  open=$(say "$found" | awk -v tip="$TIP" -v rest="$rest" 'NF == 4 && tip - $4 + 1 >= rest')
  [ -n "$open" ] || die "no coin is open yet. ./exit.sh coins tells when each one opens."
  # A coin that costs more than it holds stays behind; more than 500 are for another payment.
  list=$(say "$open" | awk -v cost="$((rate * weight / 4))" '$3 > cost' | sed 500q)
  [ -n "$list" ] || die "at this fee every coin costs more than it holds"

  count=0 total=0 inputs=''
  while read -r txid vout sats height; do
    count=$((count + 1)) total=$((total + sats))
    inputs="$inputs${inputs:+,}{\"txid\":\"$txid\",\"vout\":$vout,\"sequence\":$sequence}"
  done <<EOF
$list
EOF
  # Everything but the inputs is at most 56 bytes, with the longest kind of address.
  fee=$((rate * (56 + (count * weight + 3) / 4)))
  out=$((total - fee))
  [ "$out" -ge 1000 ] || die "$count coins hold $total sats, and the fee would be $fee sats"

  psbt=$(printf '%s\n' "[$inputs]" "[{\"$address\":$(btc $out)}]" | node createpsbt)
  psbt=$({ say "$psbt"; scanned "$DESCRIPTOR"; } | node utxoupdatepsbt)
  say "$psbt" >"$mode.psbt"
  left=$(($(say "$open" | grep -c .) - count))
  echo "$count coins, $total sats together"
  [ "$left" -eq 0 ] || echo "($left more stay behind: too small for this fee, or for another payment)"
  echo "$out sats to $address"
  echo "$fee sats fee"
  echo "Written to $mode.psbt. It moves nothing until it is signed and sent."
}

# The payments in the JSON of decodepsbt or decoderawtransaction, one a line.
payments() {
  awk '
    function told(to) { if (value != "") print "  " value " BTC to " to; value = "" }
    { indent = match($0, /[^ ]/) }
    /^ *"vout": \[$/ { inside = indent; next }
    inside && indent == inside { told("a script without an address"); exit }
    inside && $1 == "\"value\":" { told("a script without an address"); sub(/,/, "", $2); value = $2 }
    inside && $1 == "\"address\":" { gsub(/[",]/, "", $2); told($2) }'
}

# ---- signing ------------------------------------------------------------------------------------

# swap TEXT OLD NEW: all of OLD become NEW. In the shell itself: the secret is in no command line.
swap() {
  rest=$1 out=''
  while :; do
    case $rest in *"$2"*) ;; *) break ;; esac
    out=$out${rest%%"$2"*}$3
    rest=${rest#*"$2"}
  done
  printf '%s\n' "$out$rest"
}

# Finds which key of the vault the secret is, as the account's own key or as the master key above it:
# the one with which the descriptor still has the vault's first address.
recognise() {
  body=${DESCRIPTOR%'#'*}
  while read -r role text; do
    origin=${text%%]*}
    for expression in "$origin]$1" "$1/${origin#*/}"; do
      candidate=$(swap "$body" "$text" "$expression")
      sum=$(say "$candidate" | node getdescriptorinfo 2>/dev/null | field checksum) || continue
      first=$(printf '%s\n[0,0]\n' "$candidate#$sum" | node deriveaddresses 2>/dev/null |
        first_address) || continue
      if [ "$first" = "$FIRST_ADDRESS" ]; then
        ROLE=$role SECRET_DESCRIPTOR=$candidate#$sum
        return 0
      fi
    done
  done <<EOF
$KEYS
EOF
  return 1
}

sign() {
  [ -r "$1" ] || die "there is no file $1"
  psbt=$(tr -d ' \r\n' <"$1")
  check
  decoded=$(say "$psbt" | node decodepsbt) || die "$1 is no PSBT"
  echo "This payment is about to be signed:"
  say "$decoded" | payments
  echo "  fee $(say "$decoded" | field fee) BTC"
  if [ -t 0 ]; then
    printf 'Extended private key (it is not shown while you type): '
    trap 'stty echo; exit 130' INT TERM
    stty -echo
    read -r secret || true
    stty echo
    trap - INT TERM
    echo
  else
    read -r secret || true
  fi
  case $secret in
    [xt]prv*) case $secret in *[!0-9A-Za-z]*) die "there is more than a key in that line" ;; esac ;;
    *) die "an extended private key begins with xprv or tprv. Nothing was done." ;;
  esac
  recognise "$secret" || die "this key is none of the vault's three. Nothing was done."
  echo "This is the key of: $ROLE"
  case $decoded in
    *"\"sequence\": $EXIT_BLOCKS"*)
      [ "$ROLE" = user ] || die "only the user's key can leave alone. Nothing was done." ;;
  esac
  signed=$({ say "$psbt"; scanned "$SECRET_DESCRIPTOR"; } |
    node descriptorprocesspsbt | field psbt)
  [ -n "$signed" ] || die "the node did not sign"
  [ "$signed" != "$psbt" ] || die "nothing in $1 is for this key to sign"
  say "$signed" >"signed-by-$ROLE.psbt"
  echo "Written to signed-by-$ROLE.psbt. Nothing is sent yet."
}

# ---- sending ------------------------------------------------------------------------------------

send() {
  check
  list=''
  for file in "$@"; do
    [ -r "$file" ] || die "there is no file $file"
    list="$list${list:+,}\"$(tr -d ' \r\n' <"$file")\""
  done
  psbt=$(say "[$list]" | node combinepsbt) || die "these files are not of one payment"
  final=$(say "$psbt" | node finalizepsbt)
  raw=$(say "$final" | field hex)
  [ "$(say "$final" | field complete)" = true ] && [ -n "$raw" ] ||
    die "signatures are missing: one of the user for alone.psbt, two for together.psbt"
  echo "This payment is ready:"
  say "$raw" | node decoderawtransaction | payments
  echo "  fee $(say "$psbt" | node decodepsbt | field fee) BTC"
  verdict=$(say "[\"$raw\"]" | node testmempoolaccept)
  case $verdict in
    *'"allowed": true'*) ;;
    *non-BIP68-final*) die "too early: a coin has not rested its $EXIT_BLOCKS blocks.
./exit.sh coins tells when each one opens. Keep the file, and send it then." ;;
    *) die "the node would not take it: $(say "$verdict" | sed -n 's/^ *"reject-reason": //p')" ;;
  esac
  printf 'Type yes to send it: '
  read -r answer
  [ "$answer" = yes ] || die "not sent"
  echo "Sent: $(say "$raw" | node sendrawtransaction)"
}

# ---- looking ------------------------------------------------------------------------------------

watch() {
  birth=${1:-0}
  number "$birth" || die "BIRTH is in seconds since 1970: the node looks at blocks from there on"
  check
  wallet=ballast-$(say "$VAULT" | cut -c1-8)
  # Name, no private keys, blank.
  printf '%s\ntrue\ntrue\n' "$wallet" | node createwallet >/dev/null || die "no wallet was made"
  echo "The node now reads its blocks, which can take hours; it needs all of them, unpruned."
  said=$(printf '[{"desc":"%s","timestamp":%s,"range":[0,%s]}]\n' "$DESCRIPTOR" "$birth" "$LAST_INDEX" |
    node "-rpcwallet=$wallet" importdescriptors)
  case $said in
    *'"success": true'*) echo "Done: the wallet $wallet shows the vault, and can sign nothing." ;;
    *) die "$said" ;;
  esac
}

usage() {
  sed -n '/^#   /s/^# //p' "$0"
  exit 2
}

command=${1:-}
[ $# -eq 0 ] || shift
case "$command $#" in
  'check 0') check; echo "The kit is whole, and the node runs $NETWORK (best block $TIP)." ;;
  'coins 0') coins ;;
  'alone 2' | 'together 2') make "$command" "$@" ;;
  'sign 1') sign "$@" ;;
  'send 1' | 'send 2') send "$@" ;;
  'watch 0' | 'watch 1') watch "$@" ;;
  *) usage ;;
esac
