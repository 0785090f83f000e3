# fish completion of ffrtmp; made by `ffrtmp completion fish`
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
