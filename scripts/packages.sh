# Sourced by lint and test. The workspace has packages for this machine and packages for bare metal: the root package and
# what lies in guests/. Sets `bare` to the latter's names, `only_bare` and `no_bare` to cargo's options for either.
mapfile -t bare < <(
    for manifest in Cargo.toml guests/*/Cargo.toml; do
        [ ! -f "$manifest" ] || awk '/^\[/ { section = $1 }
            section == "[package]" && $1 == "name" { gsub(/"/, "", $3); print $3 }' "$manifest"
    done
)
only_bare=("${bare[@]/#/--package=}")
no_bare=(--workspace "${bare[@]/#/--exclude=}")
