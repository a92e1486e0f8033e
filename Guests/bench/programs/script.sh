# 1,000 commands, of which 250 are programs: processes of their own, as the subshells of $(...) and pipes are. $1: BusyBox.
n=0
while [ $n -lt 125 ]; do
    n=$((n + 1))
    text=$("$1" expr $n + $n)
    "$1" test $n -gt 60 || echo below
    echo "$n $text" | read -r first second
    case $text in *0) echo ten ;; *) : ;; esac
    [ "$text" -gt $n ] && echo ok "$text"
done
