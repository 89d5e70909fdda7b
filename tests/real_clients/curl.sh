#!/usr/bin/env bash
# curl: `curl.sh CA OPTION…`. Cases on standard input, statuses on standard output. Two cases at a time share one
# process, and so its connections; not with prior knowledge of HTTP/2, where curl 7.88 breaks a connection that it
# uses again.
ca=$1
shift
common=(--silent --cacert "$ca" --max-time 60 --output /dev/null --write-out '%{http_code}\n' "$@")

request() { # request NAME METHOD URL KEY FRAMING FILE ENCODING: sets `arguments`
    arguments=("${common[@]}" --request "$2" --header "x-key: $4" --header 'content-type: application/json')
    [ -z "$7" ] || arguments+=(--header "content-encoding: $7")
    case $5 in
    length) arguments+=(--data-binary "@$6") ;;
    chunked) arguments+=(--header 'transfer-encoding: chunked' --data-binary "@$6") ;;
    slow) arguments+=(--upload-file -) ;;
    esac
    arguments+=("$3")
}

while IFS= read -r first && IFS= read -r second; do
    # An empty last field is one, too.
    mapfile -td $'\t' one < <(printf '%s\t' "$first")
    mapfile -td $'\t' two < <(printf '%s\t' "$second")
    request "${one[@]}"
    first_arguments=("${arguments[@]}")
    request "${two[@]}"
    statuses=$(
        { printf '['; [ "${one[4]}" != slow ] || sleep 6; printf ']'; } 2>/dev/null | case " ${common[*]} " in
        *' --http2-prior-knowledge '*) curl "${first_arguments[@]}" && curl "${arguments[@]}" ;;
        *) curl "${first_arguments[@]}" --next "${arguments[@]}" ;;
        esac
        echo "exit code $?"
    )
    printf '%s\t%s\n' "${one[0]}" "$(sed -n 1p <<<"$statuses")" "${two[0]}" "$(sed -n 2p <<<"$statuses")"
    case $statuses in *'exit code 0') ;; *) printf '%s\t%s\n' "${one[0]}" "${statuses##*$'\n'}" ;; esac
done
