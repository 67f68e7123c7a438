#!/bin/bash
# Packs a stage as a Debian package with the Node runtime inside: dtunnel_VERSION_ARCH.deb.
# usage: deb.sh STAGE x64|arm64
. "$(dirname "$0")/lib.sh"
stage=$1 arch=$2
need dpkg-deb dpkg
debian=$(debian_arch "$arch")
node=$(node_runtime "$arch")

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree=$work/tree
lib=$tree/usr/lib/dtunnel
share=$tree/usr/share/dtunnel
doc=$tree/usr/share/doc/dtunnel

install -d "$lib/bin" "$share" "$doc" "$tree/usr/bin" "$tree/DEBIAN"
install -d -m 0755 "$tree/etc/dtunnel"
install -m 0755 "$node" "$lib/bin/node"
cp -r "$stage/dist" "$stage/node_modules" "$stage/package.json" "$stage/COMMIT" "$lib/"
install -D -m 0755 "$stage/native/prebuilt/linux-$arch/dtunnel.node" "$lib/native/prebuilt/linux-$arch/dtunnel.node"
install -m 0755 "$here/debian/dtunnel" "$tree/usr/bin/dtunnel"

for shell in bash:bash-completion/completions/dtunnel zsh:zsh/vendor-completions/_dtunnel \
  fish:fish/vendor_completions.d/dtunnel.fish; do
  file=$tree/usr/share/${shell#*:}
  mkdir -p "$(dirname "$file")"
  node "$stage/dist/main.js" completion "${shell%%:*}" > "$file"
done

# Examples, rules and dashboards for the administrator; the documentation by Debian's conventions.
cp -r "$stage/config/." "$share/"
for file in README.md ARCHITECTURE.md; do [ ! -f "$stage/$file" ] || cp "$stage/$file" "$doc/"; done
{ cat "$stage/LICENSE"; printf '\n\nNode.js runtime (/usr/lib/dtunnel/bin/node):\n\n'; cat "$(dirname "$node")/../LICENSE"; } > "$doc/copyright"
printf 'dtunnel (%s) stable; urgency=medium\n\n  * Release %s.\n\n -- dtunnel <dtunnel@localhost>  %s\n' \
  "$version" "$version" "$(date -R -d "@$SOURCE_DATE_EPOCH")" | gzip -9n > "$doc/changelog.Debian.gz"

install -D -m 0644 "$stage/systemd/dtunnel@.service" "$tree/lib/systemd/system/dtunnel@.service"
install -D -m 0644 "$stage/systemd/dtunnel.sysusers" "$tree/usr/lib/sysusers.d/dtunnel.conf"
install -D -m 0644 "$stage/systemd/dtunnel.tmpfiles" "$tree/usr/lib/tmpfiles.d/dtunnel.conf"
install -D -m 0644 "$stage/config/sysctl/60-dtunnel.conf" "$tree/usr/lib/sysctl.d/60-dtunnel.conf"

find "$tree" -type d -exec chmod 0755 {} +
for script in postinst prerm postrm; do install -m 0755 "$here/debian/$script" "$tree/DEBIAN/$script"; done
size=$(du -sk --apparent-size "$tree" | cut -f 1)
sed "s/@VERSION@/$version/; s/@ARCH@/$debian/; s/@SIZE@/$size/" "$here/debian/control" > "$tree/DEBIAN/control"
(cd "$tree" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | sort -z | xargs -0 md5sum) > "$tree/DEBIAN/md5sums"
find "$tree" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +

mkdir -p "$out"
file=$out/dtunnel_${version}_$debian.deb
dpkg-deb --root-owner-group --threads-max=1 -Zxz -z6 --build "$tree" "$file" > /dev/null
say "$file"
