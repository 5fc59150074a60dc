# Sourced by the scripts that use apt. Finds out which archive this machine uses, so that no host name is written here.
# The tests put another folder in place of /etc.
etc=${PARTITA_ETC:-/etc}

# Progress and errors go to stderr, with the script's name.
say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { say "$*"; exit 125; }

# The distribution's name and its release's codename, e.g. debian and bookworm; empty where there is none.
distribution() { sed -n 's/^ID="\{0,1\}\([^"]*\).*/\1/p' "$etc/os-release"; }
codename() { sed -n 's/^VERSION_CODENAME="\{0,1\}\([^"]*\).*/\1/p' "$etc/os-release"; }

# Every enabled binary source of the machine in one form, a line each: URIs|Suites|options, the options being deb822 lines
# joined with "\n" (what says whom to trust; architectures are left out on purpose).
apt_sources() {
    local dir=$etc/apt file
    for file in "$dir"/sources.list "$dir"/sources.list.d/*.list; do
        [ -r "$file" ] || continue
        # deb [signed-by=/usr/share/keyrings/x.gpg arch=amd64] URI SUITE COMPONENT...
        awk '$1 == "deb" {
            sub(/#.*/, ""); options = ""
            if (match($0, /\[[^]]*\]/)) {
                n = split(substr($0, RSTART + 1, RLENGTH - 2), words, " ")
                $0 = substr($0, 1, RSTART - 1) substr($0, RSTART + RLENGTH)
                for (i = 1; i <= n; i++) {
                    value = words[i]; sub(/^[^=]*=/, "", value); gsub(/,/, " ", value)
                    if (words[i] ~ /^signed-by=/) options = options "Signed-By: " value "\\n"
                    if (words[i] ~ /^trusted=/) options = options "Trusted: " value "\\n"
                }
            }
            print $2 "|" $3 "|" options
        }' "$file"
    done
    for file in "$dir"/sources.list.d/*.sources; do
        [ -r "$file" ] || continue
        awk '
            function flush() {
                if (types ~ /(^| )deb( |$)/ && enabled !~ /^(no|false|off|0)$/ && uris != "")
                    print uris "|" suites "|" options
                types = uris = suites = options = enabled = key = ""
            }
            /^#/ { next }
            /^[ \t]*$/ { flush(); next }
            # A key block written into the file goes on in indented lines.
            /^[ \t]/ { if (key == "signed-by") options = options $0 "\\n"; next }
            {
                key = tolower($0); sub(/:.*/, "", key)
                value = $0; sub(/^[^:]*:[ \t]*/, "", value)
                if (key == "types") types = value
                if (key == "uris") uris = value
                if (key == "suites") suites = value
                if (key == "enabled") enabled = tolower(value)
                if (key == "signed-by" || key == "trusted") options = options $0 "\\n"
            }
            END { flush() }' "$file"
    done
}

# apt_stanza SUITE [OTHER]: a deb822 entry for SUITE's archive as this machine has it, or for OTHER in the same archive.
# Fails where the machine has no such suite.
apt_stanza() {
    local suite=$1 uris suites options
    while IFS='|' read -r uris suites options; do
        case " $suites " in *" $suite "*) ;; *) continue ;; esac
        printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\n%b\n' "$uris" "${2:-$suite}" "$options"
        return 0
    done < <(apt_sources)
    return 1
}
