#!/bin/sh
# moved.sh FOLDER...: build folders name the place where they were made (module caches, precompiled headers, manifests). One that was copied or
# moved with its checkout stops builds ("missing required module 'SwiftShims'"): what SwiftPM and pip have made in it is removed, and made anew.
# What was downloaded stays.
set -eu
here=$(pwd -P)
for folder; do
    for manifest in "$folder"/release.yaml "$folder"/debug.yaml; do
        [ -f "$manifest" ] || continue
        grep -qF "\"$here/" "$manifest" && continue
        echo "$folder was made elsewhere: building anew."
        rm -rf "$folder"/release "$folder"/debug "$folder"/*-unknown-linux-gnu "$folder"/*.yaml "$folder"/*.db "$folder"/workspace-state.json \
            "$folder"/plugins "$folder"/ModuleCache "$folder"/*-venv
        break
    done
done
