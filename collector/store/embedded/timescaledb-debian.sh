#!/usr/bin/env bash
# TimescaleDB (Apache edition) with its PostgreSQL, unpacked into one folder on Debian 12 or newer.
# Prints the folder of the programs; fetches only what is not there yet.
#
# Debian's own packages are downloaded and unpacked beside their own libc and loader: nothing is
# installed, no apt source is added, dpkg's state is not touched, and root is not needed unless the
# target folder needs it. The archives are the ones this machine's apt uses already.
#
#   TIMESCALEDB_HOME   target folder; to undo, remove it. It cannot be moved afterwards.
#   TIMESCALEDB_SUITE  Debian suite (trixie)
#   TIMESCALEDB_PG     PostgreSQL major in that suite (17)
set -Eeuo pipefail
umask 022

say() { printf '%s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
trap 'say "failed at line $LINENO"' ERR

suite=${TIMESCALEDB_SUITE:-trixie}
pg=${TIMESCALEDB_PG:-17}
home=${TIMESCALEDB_HOME:?target folder}
case $home in /*) ;; *) home=$PWD/$home ;; esac
case $home in *"'"*) die "the folder's name must not hold a quote: $home" ;; esac
tree=$home/$suite-pg$pg
bin=$tree/usr/lib/postgresql/$pg/bin

good() { [ -f "$tree/.complete" ] && "$bin/postgres" -V >/dev/null 2>&1; }

fetch() {
    local id='' codename='' sources lists uri rel apt pkgs missing loader libdir f name
    [ -r /etc/os-release ] && id=$(. /etc/os-release; echo "$ID") && codename=$(. /etc/os-release; echo "${VERSION_CODENAME:-}")
    [ "$id" = debian ] || die "this is '${id:-unknown}', not Debian: use the vendor's packages"
    for f in apt-get dpkg-deb flock awk tar; do command -v "$f" >/dev/null || die "$f is missing"; done
    mkdir -p "$home" 2>/dev/null && [ -w "$home" ] || die "cannot write $home: run as its owner, or choose a folder of yours"

    exec 9>"$home/.lock"; flock 9
    if good; then return; fi
    work=$(mktemp -d "$home/.work.XXXXXX"); trap 'rm -rf "$work"' EXIT
    mkdir -p "$work"/{lists/partial,cache/archives/partial,debs,root}; : >"$work/status"

    # The machine's own Debian archives (either format of apt source), with the suite's name replaced.
    {
        { cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null || true; } |
            sed -nE 's/^deb[[:space:]]+(\[[^]]*\][[:space:]]+)?([^[:space:]]+)[[:space:]]+([^[:space:]]+)[[:space:]]+(.*)$/\2 \3 \4/p'
        for f in /etc/apt/sources.list.d/*.sources; do
            if [ -r "$f" ]; then cat "$f"; echo; fi
        done | sed '/^#/d' | awk -v RS= -F '\n' '{ u = s = c = ""; ok = 0
            for (i = 1; i <= NF; i++) { v = $i; sub(/^[^:]*:[ \t]*/, "", v)
                if ($i ~ /^URIs:/) u = v; else if ($i ~ /^Suites:/) s = v; else if ($i ~ /^Components:/) c = v
                else if ($i ~ /^Types:/) ok = (" " v " " ~ / deb /); else if ($i ~ /^Enabled:[ \t]*no/) { ok = 0; break } }
            if (ok) { n = split(u, U, " "); m = split(s, S, " "); for (i = 1; i <= n; i++) for (j = 1; j <= m; j++) print U[i], S[j], c } }'
    } | awk -v name="${codename:-none}" '(" " $0 " ") ~ / main / { split($2, p, /-/)
            if (p[1] == name || p[1] ~ /^((old)*stable|testing|unstable|sid)$/) print $1, $2 }' | sort -u >"$work/repos"
    [ -s "$work/repos" ] || die "no Debian archive found among this machine's apt sources"
    local key='' ring=/usr/share/keyrings/debian-archive-keyring.gpg
    if [ -r "$ring" ]; then key="[signed-by=$ring] "; fi
    sed -E "s#^([^ ]+) [a-z]+(-updates|-security)?\$#deb $key\1 $suite\2 main#" "$work/repos" |
        { case $suite in sid|unstable) grep -E " $suite main\$" ;; *) grep -E " $suite(-updates|-security)? main\$" ;; esac; } |
        sort -u >"$work/sources.list"
    apt=(-q -o Dir::State="$work" -o Dir::State::status="$work/status" -o Dir::State::lists="$work/lists"
         -o Dir::Cache="$work/cache" -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null
         -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null -o APT::Sandbox::User=root
         -o APT::Install-Recommends=0 -o APT::Update::Post-Invoke= -o APT::Update::Post-Invoke-Success=
         -o Acquire::Languages=none -o Acquire::Retries=3 -o Debug::NoLocking=1)
    say "reading $suite's package index"
    apt-get "${apt[@]}" update >"$work/update.log" 2>&1 || say "some of the archives did not answer; going on with the rest"

    # Everything timescaledb needs, less what only the packaging scripts and the JIT need.
    pkgs=$(apt-get "${apt[@]}" -qq --print-uris -y install "postgresql-$pg-timescaledb" 2>"$work/log" |
           awk '{ split($2, p, "_"); print p[1] }' |
           grep -E "^lib|^postgresql-(client-)?$pg|^tzdata$" | grep -vE '^lib(perl|llvm|z3|debconf|apt|pam-|semanage|sepol)|-perl$|^libc-' | sort -u) || true
    [ -n "$pkgs" ] || { cat "$work/update.log" "$work/log" >&2; die "postgresql-$pg-timescaledb cannot be had from $suite"; }
    say "downloading $(wc -w <<<"$pkgs") packages"
    (cd "$work/debs" && apt-get "${apt[@]}" download $pkgs >"$work/log" 2>&1) || { cat "$work/log" >&2; die "download failed"; }
    for f in "$work"/debs/*.deb; do dpkg-deb --fsys-tarfile "$f" |
        tar -x -C "$work/root" --no-same-owner --keep-directory-symlink --exclude='./usr/share/doc' --exclude='./usr/share/man' --exclude='./usr/share/locale'; done

    # One wrapper a program: its own loader and libraries, argv[0] kept so that PostgreSQL finds its folders.
    loader=$(cd "$work/root" && find . -name 'ld-linux*.so.*' \( -type f -o -type l \) -path '*-linux-gnu*' | head -n 1)
    libdir=$(cd "$work/root" && dirname "$(find . -name libc.so.6 | head -n 1)")
    [ -n "$loader" ] && [ -n "$libdir" ] || die "no loader among the unpacked packages"
    mkdir -p "$work/root/usr/lib/postgresql/$pg/elf"
    for f in "$work/root/usr/lib/postgresql/$pg/bin"/*; do
        name=${f##*/}
        [ "$(head -c 4 "$f" | tail -c 3)" = ELF ] || continue
        mv "$f" "$work/root/usr/lib/postgresql/$pg/elf/$name"
        cat >"$f" <<W
#!/bin/sh
exec '$tree/$loader' --library-path '$tree/$libdir' --argv0 '$bin/$name' '$tree/usr/lib/postgresql/$pg/elf/$name' "\$@"
W
        chmod 755 "$f"
    done
    missing=$(for f in "$work/root/usr/lib/postgresql/$pg"/elf/{postgres,initdb,psql} "$work/root/usr/lib/postgresql/$pg"/lib/timescaledb-*.so; do
        "$work/root/$loader" --inhibit-cache --library-path "$work/root/$libdir" --list "$f"; done 2>&1 | grep -E 'not found|error' || true)
    [ -z "$missing" ] || die "unpacked tree is incomplete: $missing"
    (cd "$work/debs" && ls | sed 's/%3a/:/g') >"$work/root/packages.txt"
    chmod 755 "$work/root"; : >"$work/root/.complete"
    rm -rf "$tree"; mv "$work/root" "$tree"
    exec 9>&-
}

good || fetch
echo "$bin"
