"""`ffrtmp completion`: what a shell reads to complete commands. It asks `ffrtmp __complete` at each TAB."""

from typing import Final

from ffrtmp_tui.command import Argument, Noun, Verb
from ffrtmp_tui.failures import Exit
from ffrtmp_tui.run import Run

_BASH: Final = r"""# bash completion of ffrtmp; made by `ffrtmp completion bash`
_ffrtmp() {
    local line="${COMP_LINE:0:COMP_POINT}" words current entry head
    read -ra words <<< "$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    current="${words[-1]}"
    # bash takes a word apart at these and puts back only what is behind the last.
    head="${current%"${current##*[:=]}"}"
    COMPREPLY=()
    while IFS= read -r entry; do
        if [[ $entry == :files ]]; then
            compopt -o default 2>/dev/null
            return
        fi
        entry="${entry%%$'\t'*}"
        [[ $entry == *: || $entry == *= ]] && compopt -o nospace 2>/dev/null
        COMPREPLY+=("${entry#"$head"}")
    done < <("${words[0]}" __complete "${words[@]:1}" 2>/dev/null)
}
complete -F _ffrtmp ffrtmp
"""
_ZSH: Final = r"""#compdef ffrtmp
# zsh completion of ffrtmp; made by `ffrtmp completion zsh`
_ffrtmp() {
    local -a lines shown
    local line
    lines=("${(@f)$(ffrtmp __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ ${lines[1]} == :files ]]; then
        _files
        return
    fi
    for line in $lines; do
        shown+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
    done
    (( $#shown )) && _describe -V ffrtmp shown
}
if [[ $funcstack[1] == _ffrtmp ]]; then
    _ffrtmp "$@"
else
    compdef _ffrtmp ffrtmp
fi
"""
_FISH: Final = r"""# fish completion of ffrtmp; made by `ffrtmp completion fish`
function __ffrtmp_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l lines (ffrtmp __complete $words[2..-1] "$current" 2>/dev/null)
    if test "$lines[1]" = ":files"
        __fish_complete_path "$current"
    else
        printf '%s\n' $lines
    end
end
complete -c ffrtmp -f -a '(__ffrtmp_complete)'
"""
SCRIPTS: Final = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def write(run: Run) -> int:
    """Write the script of a shell."""
    run.terminal.write(SCRIPTS[run.args.shell])
    return Exit.OK


NOUN: Final = Noun(
    name="completion",
    help="print what completes commands in bash, zsh or fish",
    verbs=(
        Verb(
            name="",
            help="print what a shell reads to complete commands, and ids of jobs and nodes as the master knows them",
            run=write,
            arguments=(Argument(names=("shell",), help="bash, zsh or fish", choices=tuple(SCRIPTS)),),
            examples=(
                ("ffrtmp completion bash > ~/.local/share/bash-completion/completions/ffrtmp", "for bash, for good"),
                ("ffrtmp completion zsh > ~/.zfunc/_ffrtmp", "for zsh, where ~/.zfunc is in fpath"),
                ("ffrtmp completion fish > ~/.config/fish/completions/ffrtmp.fish", "for fish"),
            ),
        ),
    ),
)
