# complete.zsh zsh|fish LINE: prints the command line, between brackets, that the interactive shell makes of LINE when Tab is pressed.
setopt extendedglob
zmodload zsh/zpty
case $1 in
zsh)
    zpty shell zsh -f -i
    zpty -w shell 'autoload -Uz compinit && compinit -u; show() { print -r -- "[$BUFFER]" }; zle -N show; bindkey "^G" show'
    ;;
fish)
    zpty shell fish --private --interactive
    zpty -w shell 'bind \cg "echo [(commandline)]"'
    ;;
esac
zpty -w -n shell "$2"$'\t'
screen=
for attempt in {1..100}; do
    zpty -w -n shell $'\a'
    sleep 0.1
    while zpty -r -t shell text; do screen+=$text; done
    if [[ $screen = *("["$2[^]]##"]")* ]]; then break; fi
done
print -r -- "$screen" | grep -aoE '\[backplane[^]]*\]' | tail -n 1
