# complete.bash SCRIPT PROGRAM LINE: what bash offers, a line for each, where `PROGRAM LINE` was typed and Tab pressed. SCRIPT defines
# the completion of programs of that name.
. "$1"
COMP_LINE="$2 $3"
COMP_POINT=${#COMP_LINE}
read -ra COMP_WORDS <<<"$COMP_LINE"
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
"_${2##*/}" "$2" "${COMP_WORDS[-1]}" "${COMP_WORDS[-2]}"
printf '%s\n' "${COMPREPLY[@]}"
