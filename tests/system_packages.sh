#!/bin/sh
# Programs the tests use as real peers. Root installs what is missing; anybody else is told what to ask for.
set -eu
PATH="$PATH:/usr/sbin:/sbin" # where Debian keeps mosquitto and ldconfig, off an ordinary user's path
missing=""
command -v mosquitto >/dev/null 2>&1 || missing="$missing mosquitto"
command -v dcmsend >/dev/null 2>&1 || missing="$missing dcmtk"
command -v chromium-headless-shell >/dev/null 2>&1 || missing="$missing chromium-headless-shell"
command -v systemd-analyze >/dev/null 2>&1 || missing="$missing systemd"
command -v tc >/dev/null 2>&1 || missing="$missing iproute2"
command -v nft >/dev/null 2>&1 || missing="$missing nftables"
command -v mkfs.ext4 >/dev/null 2>&1 || missing="$missing e2fsprogs"
command -v mkfs.xfs >/dev/null 2>&1 || missing="$missing xfsprogs"
command -v faketime >/dev/null 2>&1 || missing="$missing faketime"
command -v sslscan >/dev/null 2>&1 || missing="$missing sslscan"
command -v gcc >/dev/null 2>&1 || missing="$missing gcc libc6-dev"
command -v Orthanc >/dev/null 2>&1 || missing="$missing orthanc"
[ -e /usr/share/orthanc/plugins/libOrthancDicomWeb.so ] || missing="$missing orthanc-dicomweb"
ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || missing="$missing postgresql"
# playwright's own driver program is linked against it
ldconfig -p 2>/dev/null | grep -q 'libatomic\.so\.1' || missing="$missing libatomic1"
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ]; then
    export DEBIAN_FRONTEND=noninteractive
    # The tests start what they need on ports of their own: no service of these packages is to start by itself.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap 'rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    apt-get update -qq
    # shellcheck disable=SC2086
    apt-get install -y -qq --no-install-recommends $missing >/dev/null
else
    echo "The tests need these packages; ask an administrator for: apt-get install$missing" >&2
    exit 1
fi
