#!/bin/bash
# Puts what runs on every architecture into a folder: compiled JavaScript and production dependencies.
# usage: stage.sh FOLDER
. "$(dirname "$0")/lib.sh"
stage=$1

rm -rf "$stage"
mkdir -p "$stage"
cp "$root/package.json" "$stage/"

# From the checkout, which npm filled by the lock file and its hashes: a release needs no network for them.
say 'production dependencies'
[ -d "$root/node_modules" ] || die 'node_modules is missing: npm install'
(cd "$root" && npm ls --omit=dev --all --parseable 2> /dev/null) | sed -n "s,^$root/\(node_modules/\),\1,p" | sort -u \
  | while read -r module; do
    mkdir -p "$stage/$(dirname "$module")"
    [ -d "$stage/$module" ] || cp -r "$root/$module" "$stage/$module"
  done
[ -d "$stage/node_modules/pino" ] || die 'node_modules is incomplete: npm install'

say 'compiled JavaScript'
"$root/node_modules/.bin/tsc" -p "$root/tsconfig.build.json" --outDir "$stage/dist" --declaration false

# Only what runs stays: headers for building the addon, types, sources, documentation and tests of dependencies go.
rm -rf "$stage/node_modules/node-addon-api"
find "$stage/node_modules" -type d -name .bin -prune -exec rm -rf {} +
find "$stage/node_modules" -mindepth 2 -type d \( -name test -o -name tests -o -name benchmarks -o -name docs \
  -o -name example -o -name examples -o -name .github \) -prune -exec rm -rf {} +
find "$stage/node_modules" -type f \( -name '*.md' -o -name '*.map' -o -name '*.ts' -o -name '*.mts' -o -name '*.cts' \
  -o -name '.*' \) ! -iname 'licen[cs]e*' -delete

cp "$root/LICENSE" "$stage/"
for file in README.md ARCHITECTURE.md; do [ ! -f "$root/$file" ] || cp "$root/$file" "$stage/"; done
mkdir -p "$stage/config"
for part in cloud-init examples grafana heat prometheus schema sysctl; do
  [ ! -d "$root/config/$part" ] || cp -r "$root/config/$part" "$stage/config/"
done
cp -r "$root/systemd" "$stage/"
git -C "$root" rev-parse HEAD > "$stage/COMMIT"
find "$stage" -type d -exec chmod 0755 {} + -o -type f -perm /111 -exec chmod 0755 {} + -o -type f -exec chmod 0644 {} +
